package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Response is one answer that an operation declares.
type Response struct {
	// Status is three digits, a range such as 4XX, or default.
	Status  string
	ptr     string
	content map[string]*jsonschema.Schema
	headers []*Parameter
	doc     *Document
}

func (o *Operation) compileResponses(sch *schemas) error {
	o.responses = map[string]*Response{}
	for _, status := range o.doc.src.keys(o.ptr + "/responses") {
		_, at, ok := o.doc.src.resolve(o.ptr + "/responses/" + escape(status))
		if !ok || strings.HasPrefix(status, "x-") {
			continue
		}
		r := &Response{Status: status, ptr: at, doc: o.doc}
		var err error
		if r.content, err = o.doc.compileContent(sch, sch.response, responseURL, at); err != nil {
			return err
		}
		if err := r.compileHeaders(sch); err != nil {
			return err
		}
		o.responses[strings.ToUpper(status)] = r
	}
	return nil
}

func (r *Response) compileHeaders(sch *schemas) error {
	for _, name := range r.doc.src.keys(r.ptr + "/headers") {
		v, at, ok := r.doc.src.resolve(r.ptr + "/headers/" + escape(name))
		m, _ := v.(map[string]any)
		if !ok || m == nil || strings.EqualFold(name, "content-type") {
			continue
		}
		p := &Parameter{Name: name, In: "header", Required: m["required"] == true, ptr: at, doc: r.doc}
		if err := p.compile(sch, sch.response, responseURL, m); err != nil {
			return err
		}
		r.headers = append(r.headers, p)
	}
	return nil
}

// CheckResponse holds an answer against what the operation declares for its status. It gives
// the decoded body and everything that is wrong.
func (o *Operation) CheckResponse(status int, header http.Header, body []byte) (any, []Violation) {
	r, ok := o.Response(status)
	if !ok {
		return nil, []Violation{{
			In: "status", Keyword: "status", Value: json.RawMessage(strconv.Itoa(status)),
			Detail: fmt.Sprintf("the contract has no answer %d for %s", status, o.ID),
			Hint:   "declare it, or a default answer", Spec: o.doc.src.at(o.ptr + "/responses"),
		}}
	}
	var wrong []Violation
	req := &Request{Header: header}
	for _, h := range r.headers {
		wrong = append(wrong, h.check(req)...)
	}
	if len(r.content) == 0 || len(body) == 0 && (status == http.StatusNoContent || status == http.StatusNotModified || o.Method == http.MethodHead) {
		return nil, wrong
	}
	v, more := o.doc.checkContent(r.content, r.ptr, header, body)
	return v, append(wrong, more...)
}

// Response finds what the operation declares for a status: exact, its range, or default.
func (o *Operation) Response(status int) (*Response, bool) {
	code := strconv.Itoa(status)
	for _, key := range []string{code, code[:1] + "XX", "DEFAULT"} {
		if r, ok := o.responses[key]; ok {
			return r, true
		}
	}
	return nil, false
}

// Responses lists the declared answers by status.
func (o *Operation) Responses() []*Response {
	out := make([]*Response, 0, len(o.responses))
	for _, k := range sortedKeys(o.responses) {
		out = append(out, o.responses[k])
	}
	return out
}

// MediaTypes lists the answer's media types.
func (r *Response) MediaTypes() []string { return sortedKeys(r.content) }

// Schema is the pointer of the answer's JSON schema, where it has one.
func (r *Response) Schema() (pointer string, ok bool) { return r.doc.jsonSchema(r.ptr) }

// Example gives an example of the answer as JSON text with the document's digits and order of
// members: the named one, or the first. ok is false where the document has none.
func (r *Response) Example(name string) (body []byte, ok bool) {
	for media := range r.content {
		_, at, found := r.doc.src.resolve(r.ptr + "/content/" + escape(media))
		if !found {
			continue
		}
		if name == "" {
			if b, ok := r.doc.src.raw(at + "/example"); ok {
				return b, true
			}
		}
		for _, n := range r.doc.src.keys(at + "/examples") {
			if name != "" && n != name {
				continue
			}
			_, ex, _ := r.doc.src.resolve(at + "/examples/" + escape(n))
			if b, ok := r.doc.src.raw(ex + "/value"); ok {
				return b, true
			}
		}
	}
	return nil, false
}
