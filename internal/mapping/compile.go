package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/decimal"
)

// mapping is one file, compiled.
type mapping struct {
	name, version string
	inbound       bool

	kind        string // out: what it takes
	fromVersion int
	target      string // out: the operation that it feeds
	params      []*rule

	document              string // in: what it takes, for a person
	makes                 int    // in: the version of the message that it makes
	when                  *expr
	toKind, toKey, toTime *rule

	tables map[string]*table
	fields []*rule
	whole  bool // the body goes through as it is
}

// rule makes one field, parameter or attribute.
type rule struct {
	name     string
	path     string // "fields.items.material"
	at       place
	value    *expr
	constant []byte // JSON text, if the value is one
	when     *expr
	absent   *expr // default
	required bool
	as       string // "string", "number" or ""
	scale    *int32
	round    decimal.Mode
	length   int // maxLength, 0 for none
	cut      bool
	each     *expr
	item     string
	fields   []*rule
}

// expr is one CEL expression, ready to run.
type expr struct {
	text string
	at   place
	prog cel.Program
}

// table is the rows of a lookup.
type table struct {
	rows      map[string]string
	otherwise *string
}

// compiler collects every mistake of every file.
type compiler struct {
	out, in  *cel.Env
	mistakes []error

	src    *source // of the file in hand
	m      *mapping
	env    *cel.Env // of the level in hand: each loop adds its variable
	locals []string
}

// compile reads one file; nil if it has a mistake.
func (c *compiler) compile(file string, text []byte) *mapping {
	before := len(c.mistakes)
	c.src = &source{file: file, lines: strings.Split(string(text), "\n")}
	root, ok := c.parse(text)
	if !ok {
		return nil
	}
	c.m, c.locals = &mapping{tables: map[string]*table{}}, nil
	top := c.object(root, "the mapping", "from", "to", "tables", "when", "params", "fields", "body")
	c.head(root, top)
	if n := top["tables"]; n != nil {
		c.readTables(n)
	}
	if n := top["when"]; n != nil {
		if c.m.inbound {
			c.m.when = c.condition(n, "when")
		} else {
			c.wrong(n, "when", "whether a message is sent is decided by its route, not by its mapping", "leave the kind out of the route")
		}
	}
	if n := top["params"]; n != nil {
		if c.m.inbound {
			c.wrong(n, "params", "a mapping in makes a message, which has no parameters", "")
		}
		c.m.params = c.rules(n, "params", true)
	}
	if n := top["body"]; n != nil {
		if c.m.whole = true; !c.scalar(n, "body") || n.Value != "event" {
			c.wrong(n, "body", "it can only be event: the body that came, as it is", "write body: event, or leave it out and write fields")
		}
	}
	if n := top["fields"]; n != nil {
		if c.m.fields = c.rules(n, "fields", false); c.m.whole {
			c.wrong(n, "fields", "the body goes through as it is, so that no field is made", "leave out either fields or body")
		}
	} else if c.m.inbound && !c.m.whole {
		c.wrong(root, "the mapping", "fields are missing", "say how each field of the message is made")
	}
	if len(c.mistakes) > before {
		return nil
	}
	return c.m
}

// parse reads the YAML to its root object.
func (c *compiler) parse(text []byte) (*yaml.Node, bool) {
	var doc, second yaml.Node
	l, err := yaml.NewLoader(bytes.NewReader(text))
	if err == nil {
		err = l.Load(&doc)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.yamlError(err)
		return nil, false
	}
	if err := l.Load(&second); !errors.Is(err, io.EOF) {
		c.add(place{c.src.file, max(1, second.Line), max(1, second.Column)}, "the file", "it holds more than one YAML document", "write one mapping in each file")
		return nil, false
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		c.add(place{c.src.file, 1, 1}, "the mapping", "the file is not one YAML object", "begin with from:, to: and fields:")
		return nil, false
	}
	return doc.Content[0], true
}

func (c *compiler) yamlError(err error) {
	at, why := place{c.src.file, 1, 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if e, ok := asLoadError(err); ok {
		at.line, at.col, why = max(1, e.Mark.Line), max(1, e.Mark.Column), e.Message
	}
	c.add(at, "the file", "it is not YAML: "+why, "put an expression that holds ': ' or ' #' or begins with a sign in quotes")
}

// head reads from and to, which tell the direction.
func (c *compiler) head(root *yaml.Node, top map[string]*yaml.Node) {
	from, to := top["from"], top["to"]
	if from == nil || to == nil {
		c.wrong(root, "the mapping", "from or to is missing", "write from: {kind: …} and to: {operation: …}, or from: {document: …} and to: {kind: …, key: …}")
		c.env = c.out
		return
	}
	f := c.object(from, "from", "kind", "version", "document")
	c.m.inbound = f["document"] != nil
	if c.m.inbound {
		c.headIn(f, to)
		return
	}
	c.env, c.m.fromVersion = c.out, 1
	t := c.object(to, "to", "operation")
	c.m.kind = c.word(from, f, "from", "kind")
	c.m.target = c.word(to, t, "to", "operation")
	if n := f["version"]; n != nil {
		c.m.fromVersion = c.count(n, "from.version", 1, 1_000_000)
	}
}

func (c *compiler) headIn(f map[string]*yaml.Node, to *yaml.Node) {
	c.env, c.m.makes = c.in, 1
	for _, key := range []string{"kind", "version"} {
		if n := f[key]; n != nil {
			c.wrong(n, "from."+key, "a mapping takes either a kind of message or a document", "write either from.kind or from.document")
		}
	}
	if n := f["document"]; c.scalar(n, "from.document") {
		c.m.document = n.Value
	}
	t := c.object(to, "to", "kind", "version", "key", "time")
	if n := t["version"]; n != nil {
		c.m.makes = c.count(n, "to.version", 1, 1_000_000)
	}
	for key, r := range map[string]**rule{"kind": &c.m.toKind, "key": &c.m.toKey, "time": &c.m.toTime} {
		n := t[key]
		if n == nil {
			if key != "time" {
				c.wrong(to, "to", key+" is missing", "a message needs a kind and a key")
			}
			continue
		}
		*r = c.rule(key, n, "to."+key, true)
	}
}

// readTables reads tables: {name: {rows: {code: value}, otherwise: value}}.
func (c *compiler) readTables(n *yaml.Node) {
	for _, e := range c.entries(n, "tables") {
		path := "tables." + e.key.Value
		t, keys := &table{rows: map[string]string{}}, c.object(e.value, path, "rows", "otherwise")
		c.m.tables[e.key.Value] = t
		if o := keys["otherwise"]; o != nil && c.text(o, path+".otherwise") {
			t.otherwise = &o.Value
		}
		if keys["rows"] == nil {
			c.wrong(e.value, path, "it has no rows", "write rows: {code: value, …}")
			continue
		}
		for _, row := range c.entries(keys["rows"], path+".rows") {
			at := path + ".rows." + row.key.Value
			if c.text(row.key, at) && c.text(row.value, at) {
				t.rows[row.key.Value] = row.value.Value
			}
		}
	}
}

// rules reads an object of fields; flat ones (parameters) have no fields of their own.
func (c *compiler) rules(n *yaml.Node, path string, flat bool) []*rule {
	entries := c.entries(n, path)
	if len(entries) == 0 && n.Kind == yaml.MappingNode {
		c.wrong(n, path, "it is empty", "leave it out")
	}
	out := make([]*rule, 0, len(entries))
	for _, e := range entries {
		if e.key.Value == "" {
			c.wrong(e.key, path, "a field needs a name", "")
			continue
		}
		out = append(out, c.rule(e.key.Value, e.value, path+"."+e.key.Value, flat))
	}
	return out
}

// rule reads one field: an expression, or an object that says more.
func (c *compiler) rule(name string, n *yaml.Node, path string, flat bool) *rule {
	r := &rule{name: name, path: path, at: place{c.src.file, n.Line, n.Column}, item: "item"}
	if n.Kind != yaml.MappingNode {
		r.value = c.value(n, path, r, flat)
		return r
	}
	k := c.object(n, path, "value", "const", "fields", "each", "item", "when", "default", "required", "as", "scale", "round", "maxLength", "cut")
	c.combination(n, k, path, flat)
	if v := k["when"]; v != nil {
		r.when = c.condition(v, path+".when")
	}
	c.format(r, k, path)
	if v := k["default"]; v != nil {
		r.absent = c.value(v, path+".default", r, flat)
	}
	leave := c.loop(r, k, path)
	defer leave()
	switch {
	case k["const"] != nil:
		r.constant = c.constant(k["const"], path+".const", flat)
	case k["fields"] != nil:
		r.fields = c.rules(k["fields"], path, false)
	case k["value"] != nil:
		r.value = c.value(k["value"], path+".value", r, flat)
	}
	return r
}

// combination refuses keys that say nothing together.
func (c *compiler) combination(n *yaml.Node, k map[string]*yaml.Node, path string, flat bool) {
	has := func(keys ...string) (found []string) {
		for _, key := range keys {
			if k[key] != nil {
				found = append(found, key)
			}
		}
		return found
	}
	if sources := has("value", "const", "fields"); len(sources) != 1 {
		c.wrong(n, path, fmt.Sprintf("it has %d of value, const and fields", len(sources)), "write exactly one of them")
	}
	for _, need := range []struct{ key, needs string }{{"round", "scale"}, {"cut", "maxLength"}, {"item", "each"}} {
		if k[need.key] != nil && k[need.needs] == nil {
			c.wrong(k[need.key], path+"."+need.key, "it needs "+need.needs, "add "+need.needs+": or leave it out")
		}
	}
	idle := func(because string, keys ...string) {
		for _, key := range has(keys...) {
			c.wrong(k[key], path+"."+key, "it has no effect beside "+because, "leave one of them out")
		}
	}
	if k["fields"] != nil {
		idle("fields", "as", "scale", "maxLength")
		if k["each"] == nil {
			idle("fields", "default", "required")
		}
	}
	if k["const"] != nil {
		idle("const", "each", "default", "required", "as", "scale", "maxLength")
	}
	if flat {
		for _, key := range has("fields", "each") {
			c.wrong(k[key], path+"."+key, "a parameter is one text", "write a value")
		}
	}
	if k["required"] != nil && k["default"] != nil {
		c.wrong(k["required"], path+".required", "a field with a default is never absent", "leave one of them out")
	}
}

// format reads how a value is written.
func (c *compiler) format(r *rule, k map[string]*yaml.Node, path string) {
	if n := k["required"]; n != nil {
		r.required = c.yes(n, path+".required")
	}
	if n := k["as"]; n != nil {
		r.as = c.oneOf(n, path+".as", "string", "number")
	}
	if n := k["scale"]; n != nil {
		s := int32(c.count(n, path+".scale", 0, decimal.MaxDigits))
		r.scale = &s
	}
	if n := k["round"]; n != nil {
		r.round = decimal.Mode(c.oneOf(n, path+".round", roundings()...))
	}
	if n := k["maxLength"]; n != nil {
		r.length = c.count(n, path+".maxLength", 1, maxText)
	}
	if n := k["cut"]; n != nil {
		r.cut = c.yes(n, path+".cut")
	}
	if r.length > 0 && (r.scale != nil || r.as == "number") {
		c.wrong(k["maxLength"], path+".maxLength", "a number has digits, not characters", "leave maxLength out, or scale and as")
	}
}

func roundings() []string {
	return []string{string(decimal.HalfUp), string(decimal.HalfEven), string(decimal.Up), string(decimal.Down)}
}

// loop reads each and opens a level that knows its variable; the function returned closes it.
func (c *compiler) loop(r *rule, k map[string]*yaml.Node, path string) func() {
	if k["each"] == nil {
		return func() {}
	}
	r.each = c.list(k["each"], path+".each")
	if n := k["item"]; n != nil && c.scalar(n, path+".item") {
		r.item = n.Value
	}
	outer, locals := c.env, c.locals
	leave := func() { c.env, c.locals = outer, locals }
	if taken := slices.Contains(append([]string{"src", "event"}, c.locals...), r.item); taken || !isWord(r.item) {
		c.wrong(k["each"], path+".item", fmt.Sprintf("%q cannot name the element here", r.item), "choose a word that is not used around it: item: part")
		return leave
	}
	inner, err := c.env.Extend(cel.Variable(r.item, cel.DynType), cel.Variable(r.item+"Index", cel.IntType))
	if err != nil {
		c.wrong(k["each"], path+".item", err.Error(), "")
		return leave
	}
	c.env, c.locals = inner, append(slices.Clone(locals), r.item, r.item+"Index")
	return leave
}
