package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Operation is one method of one path.
type Operation struct {
	ID     string // the operationId, or "METHOD /path" where the document gives none
	Method string
	Path   string // the template, such as /orders/{number}

	doc          *Document
	ptr          string // of the operation object
	params       []*Parameter
	body         map[string]*jsonschema.Schema // by media type; nil schema takes anything
	bodyRequired bool
	bodyPtr      string
	responses    map[string]*Response
}

// Request is the part of an HTTP request that a contract speaks about.
type Request struct {
	Path   map[string]string // decoded path parameters, as Route gives them
	Query  url.Values
	Header http.Header
	Body   []byte
}

func (r *Request) cookie(name string) (string, bool) {
	c, err := (&http.Request{Header: r.Header}).Cookie(name)
	if err != nil {
		return "", false
	}
	return c.Value, true
}

var methods = [...]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// compile builds every operation of the document, in its order.
func (d *Document) compile() error {
	sch, err := newSchemas(d.src, strings.HasPrefix(d.version, "3.0"), &d.warnings)
	if err != nil {
		return err
	}
	for _, path := range d.src.keys("/paths") {
		ptr := "/paths/" + escape(path)
		item, at, ok := d.src.resolve(ptr)
		m, isMap := item.(map[string]any)
		if !ok || !isMap || !strings.HasPrefix(path, "/") {
			continue
		}
		for _, method := range methods {
			if _, ok := m[method].(map[string]any); !ok {
				continue
			}
			if err := d.compileOperation(sch, at, path, method); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Document) compileOperation(sch *schemas, itemPtr, path, method string) error {
	o := &Operation{Method: strings.ToUpper(method), Path: path, doc: d, ptr: itemPtr + "/" + method}
	o.ID = o.Method + " " + path
	if id, ok := d.src.lookup(o.ptr + "/operationId"); ok {
		if s, _ := id.(string); s != "" {
			o.ID = s
		}
	}
	if err := o.compileParams(sch, itemPtr); err != nil {
		return err
	}
	if err := o.compileBody(sch); err != nil {
		return err
	}
	if err := o.compileResponses(sch); err != nil {
		return err
	}
	d.ops = append(d.ops, o)
	d.byID[o.ID] = o
	d.byRoute[o.Method+" "+path] = o
	return nil
}

// compileParams takes the path's parameters and lets the operation's replace them.
func (o *Operation) compileParams(sch *schemas, itemPtr string) error {
	for _, list := range []string{itemPtr + "/parameters", o.ptr + "/parameters"} {
		v, at, _ := o.doc.src.resolve(list)
		params, _ := v.([]any)
		for i := range params {
			p, err := o.compileParam(sch, at+"/"+strconv.Itoa(i))
			if err != nil {
				return err
			}
			if p == nil {
				continue
			}
			o.params = slices.DeleteFunc(o.params, func(q *Parameter) bool { return q.Name == p.Name && q.In == p.In })
			o.params = append(o.params, p)
		}
	}
	return nil
}

func (o *Operation) compileParam(sch *schemas, ptr string) (*Parameter, error) {
	v, at, ok := o.doc.src.resolve(ptr)
	m, _ := v.(map[string]any)
	if !ok || m == nil {
		return nil, fmt.Errorf("%s: a parameter that leads nowhere", o.doc.src.at(ptr))
	}
	p := &Parameter{ptr: at, doc: o.doc, Required: m["required"] == true}
	p.Name, _ = m["name"].(string)
	p.In, _ = m["in"].(string)
	if p.In == "header" && reservedHeader(p.Name) {
		return nil, nil //nolint:nilnil // OpenAPI says: such a parameter is ignored
	}
	return p, p.compile(sch, sch.request, requestURL, m)
}

// compile fills in style and schema; ptr and In are set.
func (p *Parameter) compile(sch *schemas, c *jsonschema.Compiler, url string, m map[string]any) error {
	p.style, _ = m["style"].(string)
	if p.style == "" && (p.In == "query" || p.In == "cookie") {
		p.style = "form"
	}
	p.explode = p.style == "form"
	if e, ok := m["explode"].(bool); ok {
		p.explode = e
	}
	schemaPtr := p.ptr + "/schema"
	if _, ok := m["content"]; ok {
		p.json, schemaPtr = true, p.ptr+"/content/application~1json/schema"
	}
	shape, at, ok := p.doc.src.resolve(schemaPtr)
	if !ok {
		return nil
	}
	p.shape, _ = shape.(map[string]any)
	var err error
	p.schema, err = sch.compile(c, url, at)
	return err
}

// reservedHeader names headers that OpenAPI describes elsewhere (Parameter Object, name).
func reservedHeader(name string) bool {
	return strings.EqualFold(name, "accept") || strings.EqualFold(name, "content-type") || strings.EqualFold(name, "authorization")
}

func (o *Operation) compileBody(sch *schemas) error {
	v, at, ok := o.doc.src.resolve(o.ptr + "/requestBody")
	m, _ := v.(map[string]any)
	if !ok || m == nil {
		return nil
	}
	o.bodyRequired, o.bodyPtr = m["required"] == true, at
	var err error
	o.body, err = o.doc.compileContent(sch, sch.request, requestURL, at)
	return err
}

func (d *Document) compileContent(sch *schemas, c *jsonschema.Compiler, url, ptr string) (map[string]*jsonschema.Schema, error) {
	out := map[string]*jsonschema.Schema{}
	for _, media := range d.src.keys(ptr + "/content") {
		key := mediaType(media)
		out[key] = nil
		_, at, ok := d.src.resolve(ptr + "/content/" + escape(media))
		if !ok {
			continue
		}
		if _, has := d.src.nodes[at+"/schema"]; !has || !isJSON(key) {
			continue
		}
		s, err := sch.compile(c, url, at+"/schema")
		if err != nil {
			return nil, err
		}
		out[key] = s
	}
	return out, nil
}

// Parameters lists the operation's parameters, the path's included.
func (o *Operation) Parameters() []*Parameter { return slices.Clone(o.params) }

// Extension reads the value of an x- key of the operation, or nil.
func (o *Operation) Extension(name string) any { return o.member(name) }

// PathExtension reads the value of an x- key of the operation's path, or nil.
func (o *Operation) PathExtension(name string) any {
	v, _, _ := o.doc.src.resolve(o.ptr[:strings.LastIndexByte(o.ptr, '/')] + "/" + escape(name))
	return v
}

func (o *Operation) member(name string) any {
	v, _, _ := o.doc.src.resolve(o.ptr + "/" + escape(name))
	return v
}

// Position says where the operation stands, as file:line:column.
func (o *Operation) Position() string { return o.doc.src.at(o.ptr) }

// MediaTypes lists the request body's media types; none where the operation takes no body.
func (o *Operation) MediaTypes() []string { return sortedKeys(o.body) }

// BodySchema is the pointer of the request body's JSON schema, where it has one.
func (o *Operation) BodySchema() (pointer string, ok bool) {
	return o.doc.jsonSchema(o.bodyPtr)
}

// CheckRequest holds a request against the operation. It gives the decoded body (nil where
// there is none; text for a media type that is not JSON) and everything that is wrong.
func (o *Operation) CheckRequest(r *Request) (body any, wrong []Violation) {
	for _, p := range o.params {
		wrong = append(wrong, p.check(r)...)
	}
	if o.body == nil {
		return nil, wrong
	}
	if len(r.Body) == 0 {
		if o.bodyRequired {
			wrong = append(wrong, Violation{
				In: "body", Keyword: "required", Detail: "the body is missing",
				Hint: "send one of " + strings.Join(o.MediaTypes(), ", "), Spec: o.doc.src.at(o.bodyPtr),
			})
		}
		return nil, wrong
	}
	body, more := o.doc.checkContent(o.body, o.bodyPtr, r.Header, r.Body)
	return body, append(wrong, more...)
}

// CheckParameters is CheckRequest but for the body, where that is not in memory: of that it judges the media type alone.
func (o *Operation) CheckParameters(r *Request) []Violation {
	var wrong []Violation
	for _, p := range o.params {
		wrong = append(wrong, p.check(r)...)
	}
	if _, ok := pick(o.body, mediaType(r.Header.Get("Content-Type"))); !ok {
		value, _ := json.Marshal(r.Header.Get("Content-Type"))
		wrong = append(wrong, Violation{
			In: "header", Name: "Content-Type", Keyword: "contentType", Value: value, Detail: "the contract does not have this media type",
			Hint: "use " + strings.Join(o.MediaTypes(), " or "), Spec: o.doc.src.at(o.bodyPtr),
		})
	}
	return wrong
}

// checkContent picks the schema by the content type, reads the body and judges it.
func (d *Document) checkContent(content map[string]*jsonschema.Schema, ptr string, h http.Header, body []byte) (any, []Violation) {
	got := mediaType(h.Get("Content-Type"))
	sch, ok := pick(content, got)
	if !ok {
		value, _ := json.Marshal(h.Get("Content-Type"))
		return nil, []Violation{{
			In: "header", Name: "Content-Type", Keyword: "contentType", Value: value,
			Detail: "the contract does not have this media type",
			Hint:   "use " + strings.Join(sortedKeys(content), " or "), Spec: d.src.at(ptr + "/content"),
		}}
	}
	if !isJSON(got) {
		return string(body), nil
	}
	v, err := Decode(body)
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return nil, []Violation{{
			In: "body", Pointer: syntax.Pointer, Keyword: "syntax",
			Detail: fmt.Sprintf("byte %d: %s", syntax.Offset, syntax.Why),
			Hint:   "send one strict JSON value (RFC 8259)", Spec: d.src.at(ptr + "/content"),
		}}
	}
	return v, d.check(sch, "body", "", v)
}

// pick finds the schema for a media type: exact, then type/*, then */*.
func pick(content map[string]*jsonschema.Schema, got string) (*jsonschema.Schema, bool) {
	family, _, _ := strings.Cut(got, "/")
	for _, key := range []string{got, family + "/*", "*/*"} {
		if s, ok := content[key]; ok {
			return s, true
		}
	}
	return nil, false
}

func (d *Document) jsonSchema(ptr string) (string, bool) {
	for _, media := range d.src.keys(ptr + "/content") {
		if !isJSON(mediaType(media)) {
			continue
		}
		if _, at, ok := d.src.resolve(ptr + "/content/" + escape(media) + "/schema"); ok {
			return at, true
		}
	}
	return "", false
}

// keys lists the member names of the mapping at a pointer, in the document's order.
func (s *source) keys(ptr string) []string {
	_, at, ok := s.resolve(ptr)
	if !ok {
		return nil
	}
	n := s.nodes[at]
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	out := make([]string, 0, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		out = append(out, n.Content[i].Value)
	}
	return out
}

// mediaType is the type without parameters, in lower case.
func mediaType(s string) string {
	if t, _, err := mime.ParseMediaType(s); err == nil {
		return t
	}
	t, _, _ := strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// printer words the rare reasons that we leave to the schema library.
func printer() *message.Printer { return message.NewPrinter(language.English) }
