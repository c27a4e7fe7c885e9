package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Violation is one way in which a message breaks the contract. All its words are for a person;
// programs decide by In, Pointer and Keyword.
type Violation struct {
	// In is body, path, query, header, cookie or status.
	In string `json:"in"`
	// Name is the parameter's or header's; empty for the body.
	Name string `json:"name,omitempty"`
	// Pointer is the JSON Pointer (RFC 6901) of the value, or of where a missing one should stand.
	Pointer string `json:"pointer"`
	// Keyword of the schema that is broken: maximum, required, readOnly; or syntax, contentType, status.
	Keyword string `json:"keyword"`
	// Limit is what the document says for the keyword, in the document's own digits.
	Limit json.RawMessage `json:"limit,omitempty"`
	// Value is what was found, as JSON, cut after 120 bytes. It may be sensitive: not for logs.
	Value json.RawMessage `json:"value,omitempty"`
	// Detail says what is wrong.
	Detail string `json:"detail"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// Spec is the place of the rule in the document, file:line:column.
	Spec string `json:"spec,omitempty"`
}

// String is one line with place, reason and rule, and without the value.
func (v Violation) String() string {
	where := v.In
	if v.Name != "" {
		where += " " + v.Name
	}
	if v.Pointer != "" {
		where += " " + v.Pointer
	}
	return fmt.Sprintf("%s: %s: %s (%s)", where, v.Keyword, v.Detail, v.Spec)
}

// collector gathers the violations of one value against one schema.
type collector struct {
	src   *source
	in    string
	name  string
	value any
	out   []Violation
}

// check holds a value against a schema and reports all that is wrong.
func (d *Document) check(sch *jsonschema.Schema, in, name string, value any) []Violation {
	if sch == nil {
		return nil
	}
	err := sch.Validate(value)
	if err == nil {
		return nil
	}
	c := collector{src: d.src, in: in, name: name, value: value}
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return []Violation{{In: in, Name: name, Keyword: "schema", Detail: err.Error()}}
	}
	c.walk(ve)
	slices.SortStableFunc(c.out, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return c.out
}

// walk goes down to the reasons. A choice with no match is reported itself, then each branch.
func (c *collector) walk(e *jsonschema.ValidationError) {
	_, one := e.ErrorKind.(*kind.OneOf)
	_, some := e.ErrorKind.(*kind.AnyOf)
	if one || some || len(e.Causes) == 0 {
		c.report(e)
	}
	for _, cause := range e.Causes {
		c.walk(cause)
	}
}

// report makes one violation of one reason, or several where the reason lists several names.
func (c *collector) report(e *jsonschema.ValidationError) {
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			c.add(e, "required", child(at, name), fmt.Sprintf("%q is missing", name), "add it")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			c.add(e, "additionalProperties", child(at, name),
				fmt.Sprintf("%q is not a member that the contract knows", name), c.nearest(e, name))
		}
	case *kind.FalseSchema:
		keyword, detail, hint := c.forbidden(e)
		c.add(e, keyword, at, detail, hint)
	default:
		path := e.ErrorKind.KeywordPath()
		keyword := "schema"
		if len(path) > 0 {
			keyword = path[0]
		}
		detail, hint := c.explain(e)
		c.add(e, keyword, at, detail, hint)
	}
}

func child(at []string, name string) []string { return append(slices.Clone(at), name) }

func (c *collector) add(e *jsonschema.ValidationError, keyword string, at []string, detail, hint string) {
	rule := pointerOf(e.SchemaURL) + join(e.ErrorKind.KeywordPath())
	if keyword == "readOnly" || keyword == "writeOnly" {
		rule += "/" + keyword
	}
	limit, _ := c.src.raw(rule)
	v := Violation{
		In: c.in, Name: c.name, Pointer: join(at), Keyword: keyword, Detail: detail, Hint: hint,
		Spec: c.src.at(rule),
	}
	if len(limit) <= 400 && keyword != "required" {
		v.Limit = limit
	}
	if found, ok := find(c.value, at); ok {
		v.Value = clip(found)
	}
	c.out = append(c.out, v)
}

// forbidden tells a property of the other direction from a schema that is false by itself.
func (c *collector) forbidden(e *jsonschema.ValidationError) (keyword, detail, hint string) {
	v, _, _ := c.src.follow(pointerOf(e.SchemaURL))
	m, _ := v.(map[string]any)
	own, _ := c.src.lookup(pointerOf(e.SchemaURL))
	o, _ := own.(map[string]any)
	switch {
	case strings.HasPrefix(e.SchemaURL, requestURL) && (m["readOnly"] == true || o["readOnly"] == true):
		return "readOnly", "the receiver alone sets this; a request may not carry it", "leave it out"
	case strings.HasPrefix(e.SchemaURL, responseURL) && (m["writeOnly"] == true || o["writeOnly"] == true):
		return "writeOnly", "this is for requests only; an answer may not carry it", "leave it out"
	}
	return "not", "the contract allows no value here", "leave it out"
}

// explain words a reason; numbers are printed as they were written.
func (c *collector) explain(e *jsonschema.ValidationError) (detail, hint string) {
	limit, _ := c.src.raw(pointerOf(e.SchemaURL) + join(e.ErrorKind.KeywordPath()))
	got, _ := find(c.value, e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Maximum:
		return fmt.Sprintf("%v is more than %s", got, limit), ""
	case *kind.Minimum:
		return fmt.Sprintf("%v is less than %s", got, limit), ""
	case *kind.ExclusiveMaximum:
		return fmt.Sprintf("%v is not below %s", got, limit), ""
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("%v is not above %s", got, limit), ""
	case *kind.MultipleOf:
		return fmt.Sprintf("%v is not a multiple of %s", got, limit), "round it to the scale that the contract has"
	case *kind.MaxLength:
		return fmt.Sprintf("%d characters, at most %d are allowed", k.Got, k.Want), "shorten it"
	case *kind.MinLength:
		return fmt.Sprintf("%d characters, at least %d are needed", k.Got, k.Want), ""
	case *kind.MaxItems:
		return fmt.Sprintf("%d items, at most %d are allowed", k.Got, k.Want), "send it in several messages"
	case *kind.MinItems:
		return fmt.Sprintf("%d items, at least %d are needed", k.Got, k.Want), ""
	case *kind.Type:
		return fmt.Sprintf("it is of type %s, wanted is %s", k.Got, strings.Join(k.Want, " or ")), typeHint(k)
	case *kind.Enum:
		return "it is none of the values that the contract lists", enumHint(k)
	case *kind.Const:
		return fmt.Sprintf("it must be %s", limit), ""
	case *kind.Pattern:
		return "it does not match the pattern", c.exampleHint(e)
	case *kind.Format:
		return fmt.Sprintf("it is not of the format %s: %v", k.Want, k.Err), c.exampleHint(e)
	case *kind.OneOf:
		return oneOf(k), ""
	case *kind.AnyOf:
		return "it matches none of the alternatives", ""
	case *kind.Not:
		return "it matches what the contract excludes", ""
	}
	return e.ErrorKind.LocalizedString(printer()), ""
}

func oneOf(k *kind.OneOf) string {
	if len(k.Subschemas) == 0 {
		return "it matches none of the alternatives"
	}
	return fmt.Sprintf("it matches alternatives %d and %d, exactly one is allowed", k.Subschemas[0], k.Subschemas[1])
}

func typeHint(k *kind.Type) string {
	switch {
	case k.Got == "number" && slices.Contains(k.Want, "string"):
		return "put it in quotes"
	case k.Got == "string" && (slices.Contains(k.Want, "number") || slices.Contains(k.Want, "integer")):
		return "write it without quotes"
	case k.Got == "null":
		return "leave it out instead of null"
	}
	return ""
}

func enumHint(k *kind.Enum) string {
	got, ok := k.Got.(string)
	if !ok {
		return ""
	}
	words := make([]string, 0, len(k.Want))
	for _, w := range k.Want {
		if s, ok := w.(string); ok {
			words = append(words, s)
		}
	}
	return suggest(got, words)
}

// nearest looks for the member that an unknown one was probably meant to be.
func (c *collector) nearest(e *jsonschema.ValidationError, name string) string {
	props, _, _ := c.src.resolve(pointerOf(e.SchemaURL) + "/properties")
	m, _ := props.(map[string]any)
	words := make([]string, 0, len(m))
	for k := range m {
		words = append(words, k)
	}
	slices.Sort(words)
	if s := suggest(name, words); s != "" {
		return s
	}
	return "leave it out"
}

// exampleHint shows the schema's own example.
func (c *collector) exampleHint(e *jsonschema.ValidationError) string {
	for _, p := range []string{"/example", "/examples/0"} {
		if ex, ok := c.src.raw(pointerOf(e.SchemaURL) + p); ok {
			return "for example " + string(ex)
		}
	}
	return ""
}

// suggest names the nearest word, if one is near.
func suggest(got string, words []string) string {
	best, dist := "", 1+max(1, len(got)/3)
	for _, w := range words {
		if d := distance(strings.ToLower(got), strings.ToLower(w)); d < dist {
			best, dist = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance is Levenshtein's, bounded to short words.
func distance(a, b string) int {
	if len(a) > 60 || len(b) > 60 {
		return 60
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

// clip writes a value as JSON of bounded length; what is cut becomes a text with an ellipsis.
func clip(v any) json.RawMessage {
	const most = 120
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return nil
	}
	text := bytes.TrimSpace(b.Bytes())
	if len(text) <= most {
		return text
	}
	cut, _ := json.Marshal(strings.ToValidUTF8(string(text[:most]), "") + "…")
	return cut
}
