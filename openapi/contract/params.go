package contract

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Parameter is one parameter of an operation.
type Parameter struct {
	Name     string
	In       string // path, query, header or cookie
	Required bool
	ptr      string
	style    string
	explode  bool
	json     bool // described by content application/json
	schema   *jsonschema.Schema
	shape    map[string]any // the resolved schema object
	doc      *Document
}

// Extension reads the value of an x- key of the parameter, or nil.
func (p *Parameter) Extension(name string) any {
	v, _, _ := p.doc.src.resolve(p.ptr + "/" + escape(name))
	return v
}

// Value reads the parameter from a request and says whether it is there. Numbers are
// json.Number; what is not of the wanted type stays text, for the schema to refuse.
func (p *Parameter) Value(r *Request) (any, bool) {
	if p.json {
		return p.jsonValue(r)
	}
	switch p.In {
	case "path":
		raw, ok := r.Path[p.Name]
		return p.styled(strings.TrimPrefix(raw, p.prefix())), ok
	case "query":
		return p.queryValue(r.Query)
	case "header":
		vs := r.Header[http.CanonicalHeaderKey(p.Name)]
		return p.styled(strings.Join(vs, ",")), len(vs) > 0
	}
	raw, ok := r.cookie(p.Name)
	return p.styled(raw), ok
}

// prefix is what the label and matrix styles put before a path value (RFC 6570).
func (p *Parameter) prefix() string {
	switch p.style {
	case "label":
		return "."
	case "matrix":
		return ";" + p.Name + "="
	}
	return ""
}

func (p *Parameter) jsonValue(r *Request) (any, bool) {
	plain := *p
	plain.json, plain.shape = false, map[string]any{"type": "string"}
	raw, ok := plain.Value(r)
	if !ok {
		return nil, false
	}
	text, _ := raw.(string)
	if v, err := Decode([]byte(text)); err == nil {
		return v, true
	}
	return text, true
}

func (p *Parameter) queryValue(q url.Values) (any, bool) {
	switch {
	case p.isType("object") && p.style == "deepObject":
		return p.deepObject(q)
	case p.isType("object") && p.explode:
		return p.spreadObject(q)
	}
	vs, ok := q[p.Name]
	if !ok {
		return nil, false
	}
	if p.isType("array") && p.explode {
		return p.array(vs), true
	}
	if len(vs) == 0 {
		return "", true
	}
	return p.styled(vs[0]), true
}

// styled takes one text apart by the parameter's type and style.
func (p *Parameter) styled(raw string) any {
	switch {
	case p.isType("array"):
		if raw == "" {
			return []any{}
		}
		return p.array(strings.Split(raw, p.delimiter()))
	case p.isType("object"):
		return p.pairs(raw)
	}
	return typed(raw, p.shape)
}

func (p *Parameter) delimiter() string {
	switch {
	case p.style == "spaceDelimited":
		return " "
	case p.style == "pipeDelimited":
		return "|"
	case p.style == "label" && p.explode:
		return "."
	}
	return ","
}

func (p *Parameter) array(vs []string) any {
	items := p.sub("/items")
	out := make([]any, len(vs))
	for i, v := range vs {
		out[i] = typed(v, items)
	}
	return out
}

// pairs reads "a=1,b=2" where exploded, else "a,1,b,2".
func (p *Parameter) pairs(raw string) any {
	out := map[string]any{}
	parts := strings.Split(raw, ",")
	for i := 0; i < len(parts); i++ {
		name, value := parts[i], ""
		if p.explode {
			name, value, _ = strings.Cut(parts[i], "=")
		} else if i++; i < len(parts) {
			value = parts[i]
		}
		if name != "" {
			out[name] = typed(value, p.sub("/properties/"+escape(name)))
		}
	}
	return out
}

func (p *Parameter) deepObject(q url.Values) (any, bool) {
	out := map[string]any{}
	for key, vs := range q {
		name, ok := strings.CutPrefix(key, p.Name+"[")
		if !ok || !strings.HasSuffix(name, "]") || len(vs) == 0 {
			continue
		}
		name = strings.TrimSuffix(name, "]")
		out[name] = typed(vs[0], p.sub("/properties/"+escape(name)))
	}
	return out, len(out) > 0
}

func (p *Parameter) spreadObject(q url.Values) (any, bool) {
	out := map[string]any{}
	props, _ := p.shape["properties"].(map[string]any)
	for name := range props {
		if vs := q[name]; len(vs) > 0 {
			out[name] = typed(vs[0], p.sub("/properties/"+escape(name)))
		}
	}
	return out, len(out) > 0
}

func (p *Parameter) sub(path string) map[string]any {
	v, _, _ := p.doc.src.resolve(p.ptr + "/schema" + path)
	m, _ := v.(map[string]any)
	return m
}

func (p *Parameter) isType(t string) bool { return hasType(p.shape, t) }

func hasType(schema map[string]any, t string) bool {
	switch s := schema["type"].(type) {
	case string:
		return s == t
	case []any:
		for _, one := range s {
			if one == t {
				return true
			}
		}
	}
	return false
}

// typed reads a text as the scalar that the schema wants, where it can be one.
func typed(raw string, schema map[string]any) any {
	switch {
	case (hasType(schema, "integer") || hasType(schema, "number")) && isNumber(raw) && boundedNumber(raw):
		return json.Number(raw)
	case hasType(schema, "boolean") && (raw == "true" || raw == "false"):
		return raw == "true"
	case hasType(schema, "null") && raw == "null":
		return nil
	}
	return raw
}

// check reads the parameter and holds it against its schema.
func (p *Parameter) check(r *Request) []Violation {
	v, ok := p.Value(r)
	if !ok {
		if !p.Required {
			return nil
		}
		return []Violation{{
			In: p.In, Name: p.Name, Keyword: "required", Detail: "the " + p.In + " parameter " + strconv.Quote(p.Name) + " is missing",
			Hint: "add it", Spec: p.doc.src.at(p.ptr),
		}}
	}
	return p.doc.check(p.schema, p.In, p.Name, v)
}
