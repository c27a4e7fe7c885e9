package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// rules reads an object of fields; flat ones (parameters) have no fields of their own.
func (c *compiler) rules(n *yaml.Node, path string, flat bool) []*rule {
	entries := c.entries(n, path)
	if len(entries) == 0 && n.Kind == yaml.MappingNode {
		c.wrong(n, path, "it is empty", "leave it out")
	}
	out := make([]*rule, 0, len(entries))
	for _, e := range entries {
		if e.key.Value == "" {
			c.wrong(e.key, path, "a field needs a name", "write the name that the target has for it")
			continue
		}
		if c.falseBlank(e.key, path, c.advise) && !c.was {
			continue
		}
		out = append(out, c.rule(e.key.Value, e.value, path+"."+e.key.Value, flat))
	}
	return out
}

// rule reads one field: an expression, or an object that says more.
func (c *compiler) rule(name string, n *yaml.Node, path string, flat bool) *rule {
	r := &rule{name: name, path: path, at: place{c.src.file, n.Line, n.Column}, item: "item", number: c.rulesN}
	c.rulesN++
	before := len(c.mistakes)
	if n.Kind != yaml.MappingNode {
		c.stops = strings.HasPrefix(path, "to.") // a message needs a kind and a key
		r.value = c.value(n, path, r, flat)
		c.stops, r.half = false, len(c.mistakes) > before
		return r
	}
	k := c.object(n, path, "value", "const", "use", "fields", "each", "item", "when", "default", "required", "as", "scale", "maxScale", "maxDigits", "round",
		"maxLength", "cut")
	c.combination(n, k, path, flat)
	guards := c.guards
	defer func() { c.guards = guards }()
	if v := k["when"]; v != nil {
		if r.when = c.condition(v, path+".when"); r.when != nil {
			c.guards = append(slices.Clone(guards), r.when.shape.guards...)
		}
	}
	if v := k["required"]; v != nil {
		r.required = c.yes(v, path+".required")
	}
	c.format(&r.format, k, path)
	if v := k["default"]; v != nil {
		r.absent = c.value(v, path+".default", r, flat)
	}
	c.stops = r.required || strings.HasPrefix(path, "to.")
	leave := c.loop(r, k, path)
	defer leave()
	c.stops = c.stops && k["value"] != nil // each field below says for itself
	switch {
	case k["const"] != nil:
		r.constant = c.constant(k["const"], path, flat)
	case k["fields"] != nil || k["use"] != nil:
		r.fields = c.members(k, path)
	case k["value"] != nil:
		c.room = r.length
		r.value = c.value(k["value"], path, r, flat)
	}
	c.stops, c.room = false, 0
	c.noRoom(r)
	c.idleDefault(r, k["default"], path)
	c.roundingSaid(r, k, path)
	r.half = len(c.mistakes) > before && (k["fields"] == nil || k["use"] != nil || k["each"] != nil && r.each == nil)
	return r
}

// idleDefault refuses a default that no message can need.
func (c *compiler) idleDefault(r *rule, n *yaml.Node, path string) {
	of := r.value
	if r.each != nil {
		of = nil
	}
	if n != nil && of != nil && of.shape.known() && !of.shape.absent && c.known != nil {
		c.wrong(n, path+".default", "the value is never missing, so that this is never used", "leave it out")
	}
}

// roundingSaid wants to know what becomes of places that there is no room for.
func (c *compiler) roundingSaid(r *rule, k map[string]*yaml.Node, path string) {
	key, scale := "scale", r.scale
	if scale == nil {
		key, scale = "maxScale", r.maxScale
	}
	if scale == nil || r.round != "" || r.value == nil || c.known == nil || !r.value.shape.known() {
		return
	}
	n := r.value.shape.number()
	if n.scale != schema.AnyScale && n.scale <= int(*scale) {
		return
	}
	c.wrong(k[key], path+"."+key, fmt.Sprintf("the value can have %s, and what becomes of those beyond %d is not said", n.places(), *scale),
		"add round: half-up (or half-even, up, down), or round: never to stop such a message")
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
	sources := has("value", "const", "fields")
	if k["use"] != nil && k["fields"] == nil {
		sources = append(sources, "use")
	}
	if len(sources) != 1 {
		c.wrong(n, path, fmt.Sprintf("it has %d of value, const and fields", len(sources)), "write exactly one of them")
	}
	for _, need := range []struct{ key, needs, or string }{{"round", "scale", "maxScale"}, {"cut", "maxLength", ""}, {"item", "each", ""}} {
		if k[need.key] != nil && k[need.needs] == nil && k[need.or] == nil {
			c.wrong(k[need.key], path+"."+need.key, "it needs "+need.needs, "add "+need.needs+": or leave it out")
		}
	}
	idle := func(because string, keys ...string) {
		for _, key := range has(keys...) {
			c.wrong(k[key], path+"."+key, "it has no effect beside "+because, "leave one of them out")
		}
	}
	if k["fields"] != nil || k["use"] != nil {
		idle("fields", "as", "scale", "maxScale", "maxDigits", "maxLength")
		if k["each"] == nil {
			idle("fields", "default", "required")
		}
	}
	if k["const"] != nil {
		idle("const", "each", "default", "required", "as", "scale", "maxScale", "maxDigits", "maxLength")
	}
	if flat {
		for _, key := range has("fields", "use", "each") {
			c.wrong(k[key], path+"."+key, "a parameter is one text", "write a value")
		}
	}
	if k["required"] != nil && k["default"] != nil {
		c.wrong(k["required"], path+".required", "a field with a default is never absent", "leave one of them out")
	}
}

// format reads how a value is written.
func (c *compiler) format(r *format, k map[string]*yaml.Node, path string) {
	if n := k["as"]; n != nil {
		r.as = c.oneOf(n, path+".as", "string", "number")
	}
	if n := k["scale"]; n != nil {
		s := int32(c.count(n, path+".scale", 0, decimal.MaxDigits)) //nolint:gosec // count has bounded it
		r.scale = &s
	}
	if n := k["maxScale"]; n != nil {
		s := int32(c.count(n, path+".maxScale", 0, decimal.MaxDigits)) //nolint:gosec // count has bounded it
		r.maxScale = &s
	}
	if n := k["maxDigits"]; n != nil {
		r.maxDigits = c.count(n, path+".maxDigits", 1, decimal.MaxDigits)
	}
	if r.scale != nil && r.maxScale != nil {
		c.wrong(k["maxScale"], path+".maxScale", "scale says how many places there are already", "leave one of them out")
	}
	if n := k["round"]; n != nil {
		r.round = decimal.Mode(c.oneOf(n, path+".round", append(roundings(), string(roundNever))...))
	}
	if n := k["maxLength"]; n != nil {
		r.length = c.count(n, path+".maxLength", 1, maxText)
	}
	if n := k["cut"]; n != nil {
		r.cut = c.yes(n, path+".cut")
	}
	if r.length > 0 && (r.numeric() || r.as == "number") {
		c.wrong(k["maxLength"], path+".maxLength", "a number has digits, not characters", "leave maxLength out, or scale and as")
	}
}

func roundings() []string {
	return []string{string(decimal.HalfUp), string(decimal.HalfEven), string(decimal.Up), string(decimal.Down)}
}

// roundNever says that a number with more places than there is room for stops the message.
const roundNever decimal.Mode = "never"

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
	_, taken := c.locals[r.item]
	if _, counts := c.locals[r.item+"Index"]; taken || counts || r.item == "src" || r.item == "event" || !isWord(r.item) {
		c.wrong(k["each"], path+".item", fmt.Sprintf("%q cannot name the element here", r.item), "choose a word that is not used around it: item: part")
		return leave
	}
	element := c.element(r.each)
	key := level{c.env, r.item, element.as.String()}
	inner := c.inner[key]
	if inner == nil {
		var err error
		if inner, err = c.env.Extend(cel.Variable(r.item, element.as), cel.Variable(r.item+"Index", cel.IntType)); err != nil {
			c.wrong(k["each"], path+".item", err.Error(), "choose another name for the element: item: part")
			return leave
		}
		c.inner[key] = inner
	}
	c.env, c.locals = inner, maps.Clone(locals)
	c.locals[r.item], c.locals[r.item+"Index"] = element.shape, shape{kind: schema.Integer, digits: 19}
	return leave
}

// element is what a loop's variable is.
func (c *compiler) element(e *expr) (out struct {
	as    *cel.Type
	shape shape
},
) {
	out.as, out.shape.scale = cel.DynType, schema.AnyScale
	if e == nil {
		return out
	}
	if item, ok := e.shape.element(); ok && e.shape.item != nil {
		out.shape = item
	}
	if e.shape.typ == nil || e.shape.typ.Item == nil || c.known == nil {
		return out
	}
	out.as = c.known.of(e.shape.typ.Item)
	if e.shape.item == nil {
		out.shape = shapeOf(e.shape.typ.Item)
	}
	return out
}
