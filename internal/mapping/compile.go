package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/interpreter"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// mapping is one file, compiled.
type mapping struct {
	name, version string
	inbound       bool

	kind        string // out: what it takes
	kindAt      place  // of what it takes
	fromVersion int
	target      string // out: the operation that it feeds
	params      []*rule

	document              string // in: what it takes, for a person
	makes                 int    // in: the version of the message that it makes
	when                  *rule  // a condition alone
	toKind, toKey, toTime *rule

	tables map[string]*table
	looks  []Mistake // what does no harm, and is hardly meant
	newer  []Mistake // what would be refused if it were not used already
	fields []*rule
	partly bool // a mistake may have left fields out
	whole  bool // the body goes through as it is

	source *schema.Type // of the body that it takes; nil if nothing is known of it
	file   string
	text   []byte // of the file
	folder fs.FS  // in which it and its tables stand
	own    bool   // the folder is not the first
	root   place  // of from: and to:
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
	format
	each   *expr
	most   *schema.Type // of a list that the plant limits; nil otherwise
	item   string
	fields []*rule
	half   bool // a mistake has left a part of it out
	number int  // among all rules of the mapping, for coverage
}

// format is how a value is written.
type format struct {
	as        string // "string", "number" or ""
	scale     *int32 // exactly so many places
	maxScale  *int32 // at most so many
	maxDigits int    // before the point, 0 for no limit
	round     decimal.Mode
	length    int // maxLength, 0 for none
	cut       bool

	target *schema.Type // of a number that the plant limits; nil otherwise
}

// expr is one CEL expression, ready to run.
type expr struct {
	text    string
	at      place
	prog    cel.Program
	shape   shape
	choices []choice
	loops   bool                                                                  // it has a filter, map or the like
	tracked func(watch interpreter.InterpretableDecoratorV2) (cel.Program, error) // one whose parts are watched
}

// compiler collects every mistake of every file.
type compiler struct {
	out, in   *cel.Env // without src
	envs      map[*schema.Type]typed
	documents func(name string) (*schema.Type, bool) // of what comes in; nil if nothing is known of it
	units     *units
	fragments map[string]*fragment
	expanded  map[string]bool // the fragments that mappings use; nil where that is not counted
	mistakes  []error
	draft     bool // what has mistakes is kept, to be checked
	was       bool // what is compiled was published before

	unitTables []byte // the texts of the shipped units, unless they are the first, and of the plant's own

	compiled map[phrase]*program // expressions that mappings have in common are compiled once
	inner    map[level]*cel.Env

	fsys   fs.FS
	own    bool    // fsys is not the first
	src    *source // of the file in hand
	m      *mapping
	env    *cel.Env // of the level in hand: each loop adds its variable
	known  *provider
	locals map[string]shape
	guards []string // fields that are there
	stops  bool     // the value in hand is required: a message without it shall stop
	room   int      // its maxLength, which stops a longer one; 0 for none
	used   uses     // of the mapping in hand
	rulesN int
}

// phrase is an expression on a level of the language.
type phrase struct {
	env  *cel.Env
	text string
}

// program is an expression that CEL has compiled. It belongs to no place.
type program struct {
	parsed, checked *cel.Ast
	prog            cel.Program
}

// level is one that a loop opens, within another.
type level struct {
	outer    *cel.Env
	item, as string
}

// typed is the language with a type for src.
type typed struct {
	env   *cel.Env
	known *provider
}

// uses are what a mapping uses beside its own text.
type uses struct {
	tables map[string]bool
	read   map[[2]string]bool // table and function
	asked  map[string]*asking // by table
	files  []byte             // the texts of fragments and tables, for the version
	stack  []string
}

func newCompiler() (*compiler, error) {
	if _, err := plantTypes(); err != nil {
		return nil, fmt.Errorf("read the types of the plant's messages: %w", err)
	}
	c := (&compiler{units: &units{}, fragments: map[string]*fragment{}}).again(nil)
	out, errOut := newEnv(false, c.units)
	in, errIn := newEnv(true, c.units)
	if err := errors.Join(errOut, errIn); err != nil {
		return nil, fmt.Errorf("prepare the mapping language: %w", err)
	}
	c.out, c.in = out, in
	return c, nil
}

// again begins anew with the same language, units and fragments, none of which a compiler changes. The types of what comes in are those
// that documents knows.
func (c *compiler) again(documents func(name string) (*schema.Type, bool)) *compiler {
	return &compiler{
		out: c.out, in: c.in, units: c.units, fragments: c.fragments, unitTables: c.unitTables, documents: documents,
		envs: map[*schema.Type]typed{}, compiled: map[phrase]*program{}, inner: map[level]*cel.Env{},
	}
}

// compile reads one file; nil if it has a mistake.
func (c *compiler) compile(file string, text []byte) *mapping {
	before := len(c.mistakes)
	c.src = &source{file: file, lines: strings.Split(string(text), "\n")}
	root, ok := c.parse(text)
	if !ok {
		return nil
	}
	c.m, c.guards, c.used, c.rulesN = &mapping{tables: map[string]*table{}, file: file}, nil, uses{tables: map[string]bool{}, read: map[[2]string]bool{}, asked: map[string]*asking{}}, 0
	top := c.object(root, "the mapping", "from", "to", "tables", "when", "params", "use", "fields", "body")
	if n := top["tables"]; n != nil {
		c.readTables(n)
	}
	c.head(root, top)
	if n := top["when"]; n != nil {
		if c.m.inbound {
			if e := c.condition(n, "when"); e != nil {
				c.m.when = &rule{path: "when", at: e.at, when: e}
				c.guards = append(c.guards, e.shape.guards...)
			}
		} else {
			c.wrong(n, "when", "whether a message is sent is decided by its route, not by its mapping", "leave the kind out of the route")
		}
	}
	if n := top["params"]; n != nil {
		if c.m.inbound {
			c.wrong(n, "params", "a mapping in makes a message, which has no parameters", "leave params out, and write what the message needs under fields")
		}
		c.m.params = c.rules(n, "params", true)
	}
	if n := top["body"]; n != nil {
		if c.m.whole = true; !c.scalar(n, "body") || n.Value != "event" {
			c.wrong(n, "body", "it can only be event: the body that came, as it is", "write body: event, or leave it out and write fields")
		}
	}
	c.body(root, top)
	c.unused(top["tables"])
	c.bothWays()
	c.deadRows()
	if len(c.mistakes) > before {
		c.m.partly = top["use"] != nil || top["fields"] == nil
		if !c.draft {
			return nil
		}
	}
	return c.m
}

// advise notes what a mapping is refused for, unless it was published before.
func (c *compiler) advise(at place, what, why, hint string) {
	if !c.was {
		c.add(at, what, why, hint)
		return
	}
	if m := (Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint}); !slices.Contains(c.m.newer, m) {
		c.m.newer = append(c.m.newer, m)
	}
}

// look notes what does no harm and is hardly meant.
func (m *mapping) look(at place, what, why, hint string) {
	m.looked(Mistake{File: at.file, Line: at.line, Col: at.col, What: what, Why: why, Hint: hint})
}

func (m *mapping) looked(l Mistake) {
	if !slices.Contains(m.looks, l) {
		m.looks = append(m.looks, l)
	}
}

// body reads the fields, those of fragments first.
func (c *compiler) body(root *yaml.Node, top map[string]*yaml.Node) {
	if top["fields"] == nil && top["use"] == nil {
		if c.m.inbound && !c.m.whole {
			c.wrong(root, "the mapping", "fields are missing", "say how each field of the message is made")
		}
		return
	}
	if c.m.fields = c.members(top, "fields"); c.m.inbound {
		c.plantTargets()
	}
	if c.m.whole {
		for _, key := range []string{"fields", "use"} {
			if n := top[key]; n != nil {
				c.wrong(n, key, "the body goes through as it is, so that no field is made", "leave out either fields or body")
			}
		}
	}
}

// source makes the level in hand know the type of src.
func (c *compiler) source(base *cel.Env, t *schema.Type) {
	c.m.source = t
	if _, ok := c.envs[t]; !ok || t == nil {
		if err := c.addEnv(base, t); err != nil {
			c.add(place{c.src.file, 1, 1}, "the mapping", err.Error(), "it is no mistake of the mapping: report it with the file")
			c.env, c.known, c.locals = base, nil, map[string]shape{}
			return
		}
	}
	c.env, c.known = c.envs[t].env, c.envs[t].known
	c.locals = map[string]shape{}
	if t != nil {
		c.locals["src"] = shapeOf(t)
	}
}

func (c *compiler) addEnv(base *cel.Env, t *schema.Type) error {
	if t == nil {
		env, err := base.Extend(cel.Variable("src", cel.DynType))
		c.envs[t] = typed{env: env}
		return err
	}
	known := newProvider(base.CELTypeProvider(), t)
	env, err := base.Extend(cel.CustomTypeProvider(known), cel.Variable("src", known.of(t)))
	c.envs[t] = typed{env, known}
	return err
}

// parse reads the YAML to its root object.
func (c *compiler) parse(text []byte) (*yaml.Node, bool) {
	if at := firstInvalid(text); at < len(text) && !utf16(text) {
		line := text[bytes.LastIndexByte(text[:at], '\n')+1 : at]
		c.add(place{c.src.file, 1 + bytes.Count(text[:at], []byte("\n")), 1 + utf8.RuneCount(line)}, "the file", fmt.Sprintf("it is not UTF-8: a byte %#x stands here, as in a file of Latin-1 or Windows-1252", text[at]), "save it as UTF-8")
		return nil, false
	}
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

// head reads from and to, which tell the direction.
func (c *compiler) head(root *yaml.Node, top map[string]*yaml.Node) {
	from, to := top["from"], top["to"]
	if from == nil || to == nil {
		c.wrong(root, "the mapping", "from or to is missing", "write from: {kind: …} and to: {operation: …}, or from: {document: …} and to: {kind: …, key: …}")
		c.source(c.out, nil)
		return
	}
	c.m.root = place{c.src.file, to.Line, to.Column}
	f := c.object(from, "from", "kind", "version", "document")
	c.m.inbound = f["document"] != nil
	if c.m.inbound {
		c.headIn(f, to)
		return
	}
	c.m.fromVersion = 1
	c.m.kind = c.word(from, f, "from", "kind")
	c.m.target = c.feeds(to)
	if n := f["version"]; n != nil {
		c.m.fromVersion = c.count(n, "from.version", 1, 1_000_000)
	}
	c.takes(f)
	c.source(c.out, PlantType(c.m.kind, c.m.fromVersion))
}

// takes looks at the kind that a mapping out is for: a route finds the file by it.
func (c *compiler) takes(from map[string]*yaml.Node) {
	kind, version := from["kind"], from["version"]
	if kind == nil {
		return
	}
	c.m.kindAt = place{c.src.file, kind.Line, kind.Column}
	if what, why, hint := unknownKind(c.m.kind, c.m.fromVersion); what == "version" && version != nil {
		c.wrong(version, "from.version", why, hint)
	} else if what != "" {
		c.wrong(kind, "from.kind", why, hint)
	}
	if named := strings.TrimSuffix(path.Base(c.src.file), ".yaml"); named != c.m.kind && slices.Contains(PlantKinds(), named) {
		c.wrong(kind, "from.kind", fmt.Sprintf("the file is named after %s, and maps %s", named, clip(c.m.kind)),
			fmt.Sprintf("write kind: %s, or name the file %s.yaml", named, clip(c.m.kind)))
	}
}

// unknownKind says what is wrong with a kind of message: a version that a known kind has not, or a name that is meant to be another. What
// resembles no kind of the plant is one of its user's own, of which nothing is known.
func unknownKind(kind string, version int) (what, why, hint string) {
	if PlantType(kind, version) != nil {
		return "", "", ""
	}
	for _, known := range PlantKinds() {
		switch {
		case known == kind:
			return "version", fmt.Sprintf("messages of kind %s have no version %d", kind, version), "write version: 1"
		case resembles(strings.ToLower(kind), known):
			return "kind", "the plant has no kind " + kind,
				"did you mean " + known + "? A kind of your own differs from the plant's by more than two letters of a word"
		}
	}
	return "", "", ""
}

// resembles tells whether each word of a kind is that of another, or a long one that two letters would make so.
func resembles(kind, known string) bool {
	words := strings.Split(clip(kind), ".")
	return slices.EqualFunc(words, strings.Split(known, "."), func(a, b string) bool { return a == b || len(b) > 4 && distance(a, b) <= 2 })
}

// feeds reads what a mapping out is for: an operation of a contract, an entity set of an OData service, an IDoc or a CloudEvent.
func (c *compiler) feeds(to *yaml.Node) string {
	kinds := []string{"operation", "entity", "idoc", "event"}
	t := c.object(to, "to", kinds...)
	if len(t) > 1 {
		c.wrong(to, "to", "it names more than one thing", "write one of operation, entity, idoc and event")
	}
	for _, kind := range kinds[1:] {
		if t[kind] != nil {
			return c.word(to, t, "to", kind)
		}
	}
	return c.word(to, t, "to", "operation")
}

func (c *compiler) headIn(f map[string]*yaml.Node, to *yaml.Node) {
	c.m.makes = 1
	for _, key := range []string{"kind", "version"} {
		if n := f[key]; n != nil {
			c.wrong(n, "from."+key, "a mapping takes either a kind of message or a document", "write either from.kind or from.document")
		}
	}
	if n := f["document"]; c.scalar(n, "from.document") {
		c.m.document, c.m.kindAt = n.Value, place{c.src.file, n.Line, n.Column}
	}
	var t0 *schema.Type
	if c.documents != nil {
		t0, _ = c.documents(c.m.document)
	}
	c.source(c.in, t0)
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
	c.identity("kind", c.m.toKind)
	c.identity("key", c.m.toKey)
	c.instant(c.m.toTime)
	if c.m.toKind == nil {
		return
	}
	for _, kind := range c.m.toKind.known().enum {
		if what, why, hint := unknownKind(kind, c.m.makes); what != "" {
			c.add(c.m.toKind.at, "to.kind", why, hint)
		}
	}
}
