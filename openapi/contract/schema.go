package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"holdfast/internal/decimal"
)

// schemas compiles the document's schemas once for each direction of a message.
type schemas struct {
	src      *source
	request  *jsonschema.Compiler
	response *jsonschema.Compiler
	warnings *[]string
}

const (
	requestURL  = "contract:///request"
	responseURL = "contract:///response"
)

// newSchemas prepares both readings of the document: the keyword that hides a property there
// makes its schema false and takes it off the required list.
func newSchemas(src *source, v30 bool, warnings *[]string) (*schemas, error) {
	s := &schemas{src: src, warnings: warnings}
	var err error
	if s.request, err = s.compiler(requestURL, "readOnly", v30); err != nil {
		return nil, err
	}
	s.response, err = s.compiler(responseURL, "writeOnly", v30)
	return s, err
}

func (s *schemas) compiler(url, hidden string, v30 bool) (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(s.regexp)
	for _, f := range formats() {
		c.RegisterFormat(f)
	}
	rw := rewriter{src: s.src, v30: v30, hidden: hidden}
	if err := c.AddResource(url, rw.walk(s.src.tree, false)); err != nil {
		return nil, fmt.Errorf("prepare schemas of %s: %w", s.src.name, err)
	}
	return c, nil
}

// compile gives the schema at a pointer; a missing schema takes everything.
func (s *schemas) compile(c *jsonschema.Compiler, url, ptr string) (*jsonschema.Schema, error) {
	sch, err := c.Compile(url + "#" + ptr)
	if err != nil {
		return nil, fmt.Errorf("%s: compile schema %s: %w", s.src.at(ptr), ptr, err)
	}
	return sch, nil
}

// noLoader refuses references that lead out of the document.
type noLoader struct{}

// Load always fails.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is another document; bundle it into this one", url)
}

// anything is a pattern that Go cannot compile, such as one with a look-ahead. It matches all.
type anything string

func (anything) MatchString(string) bool { return true }
func (a anything) String() string        { return string(a) }

func (s *schemas) regexp(pattern string) (jsonschema.Regexp, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		w := fmt.Sprintf("%s: pattern %q is not checked: %v", s.src.name, pattern, err)
		if !contains(*s.warnings, w) {
			*s.warnings = append(*s.warnings, w)
		}
		return anything(pattern), nil
	}
	return re, nil
}

// rewriter copies the document with its schemas brought to one direction and one dialect.
type rewriter struct {
	src    *source
	v30    bool
	hidden string
}

// walk copies v. Where names is set the keys of v are names that the author chose, and no
// keywords: a property may be called "example".
func (w *rewriter) walk(v any, names bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, c := range v {
			switch {
			case names:
				out[k] = w.walk(c, false)
			case isData(k):
				out[k] = c
			default:
				out[k] = w.walk(c, hasNames(k))
			}
		}
		if !names {
			w.schema(v, out)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, c := range v {
			out[i] = w.walk(c, false)
		}
		return out
	}
	return v
}

func isData(keyword string) bool {
	switch keyword {
	case "example", "examples", "default", "enum", "const":
		return true
	}
	return strings.HasPrefix(keyword, "x-")
}

func hasNames(keyword string) bool {
	switch keyword {
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "schemas",
		"responses", "requestBodies", "headers", "parameters", "callbacks", "paths", "pathItems",
		"content", "links", "securitySchemes":
		return true
	}
	return false
}

// schema makes the changes to one copied schema; other objects have none of these keywords.
func (w *rewriter) schema(in, out map[string]any) {
	if w.v30 {
		if ref, ok := in["$ref"]; ok {
			clear(out)
			out["$ref"] = ref
			return
		}
		dialect30(in, out)
	}
	props, _ := out["properties"].(map[string]any)
	names := w.hiddenNames(in, 0)
	for name := range names {
		if _, own := props[name]; own {
			props[name] = false
		}
	}
	strip(out, names)
	all, _ := out["allOf"].([]any)
	for _, part := range all {
		if m, ok := part.(map[string]any); ok {
			strip(m, names)
		}
	}
}

// hiddenNames collects the properties that this direction may not carry, through allOf.
func (w *rewriter) hiddenNames(schema map[string]any, depth int) map[string]bool {
	names := map[string]bool{}
	if depth > 20 {
		return names
	}
	props, _ := schema["properties"].(map[string]any)
	for name, p := range props {
		if w.isHidden(p) {
			names[name] = true
		}
	}
	all, _ := schema["allOf"].([]any)
	for _, part := range all {
		if m, ok := w.deref(part).(map[string]any); ok {
			for n := range w.hiddenNames(m, depth+1) {
				names[n] = true
			}
		}
	}
	return names
}

func (w *rewriter) isHidden(prop any) bool {
	m, _ := prop.(map[string]any)
	if _, isRef := m["$ref"]; m[w.hidden] == true && (!isRef || !w.v30) {
		return true
	}
	t, _ := w.deref(prop).(map[string]any)
	return t[w.hidden] == true
}

func (w *rewriter) deref(v any) any {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok || !strings.HasPrefix(ref, "#") {
		return v
	}
	t, _, _ := w.src.follow(pointerOf(ref))
	return t
}

// strip takes names off a schema's required list.
func strip(schema map[string]any, names map[string]bool) {
	req, ok := schema["required"].([]any)
	if !ok || len(names) == 0 {
		return
	}
	kept := make([]any, 0, len(req))
	for _, r := range req {
		if n, _ := r.(string); !names[n] {
			kept = append(kept, r)
		}
	}
	schema["required"] = kept
}

// dialect30 writes what OpenAPI 3.0.3 changed of JSON Schema as 2020-12 says it.
func dialect30(in, out map[string]any) {
	if in["nullable"] == true {
		if t, ok := in["type"].(string); ok {
			out["type"] = []any{t, "null"}
		}
	}
	for _, bound := range []string{"minimum", "maximum"} {
		key := "exclusive" + strings.ToUpper(bound[:1]) + bound[1:]
		switch in[key] {
		case true:
			out[key] = in[bound]
			delete(out, bound)
		case false:
			delete(out, key)
		}
	}
}

// formats adds what OpenAPI's registry has beyond JSON Schema's own formats.
func formats() []*jsonschema.Format {
	return []*jsonschema.Format{
		{Name: "int32", Validate: integerWithin(31)},
		{Name: "int64", Validate: integerWithin(63)},
		{Name: "decimal", Validate: isDecimal},
	}
}

// integerWithin checks the two's complement range exactly.
func integerWithin(bits uint) func(any) error {
	limit := new(big.Int).Lsh(big.NewInt(1), bits)
	low := new(big.Int).Neg(limit)
	return func(v any) error {
		n, ok := v.(json.Number)
		if !ok {
			return nil
		}
		r, ok := new(big.Rat).SetString(n.String())
		if !ok || !r.IsInt() {
			return errors.New("not a whole number")
		}
		if r.Num().Cmp(limit) >= 0 || r.Num().Cmp(low) < 0 {
			return fmt.Errorf("outside of the range of %d bits", bits+1)
		}
		return nil
	}
}

func isDecimal(v any) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	_, err := decimal.Parse(s)
	return err
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
