package edmx

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata/edm"
	"holdfast/openapi/contract"
)

// call is one request, or one part of a batch.
type call struct {
	method string
	path   string // below the service's root, decoded, without a slash at its beginning
	query  url.Values
	header http.Header
	body   []byte
	host   string
}

// do carries out a request in a transaction. The mutex is held.
func (m *Mock) do(tx *transaction, c call) answer {
	if c.method == http.MethodPost && c.header.Get("X-HTTP-Method") != "" {
		c.method = c.header.Get("X-HTTP-Method")
	}
	first, rest, _ := cutPath(c.path)
	name, predicate, hasKey := strings.Cut(first, "(")
	if op := m.model.Operations[name]; op != nil && op.Bound == nil {
		return m.operation(tx, c, op, nil, nil)
	}
	s, ok := m.model.Sets[name]
	if !ok {
		return m.refused(bad(404, "/IWBEP/CM_MGW_RT/005", "", "Resource not found for the segment '%s'", name))
	}
	switch {
	case !hasKey && rest == "$count" && c.method == http.MethodGet:
		return m.count(s, c.query)
	case !hasKey && rest != "":
		return m.refused(bad(404, "/IWBEP/CM_MGW_RT/005", "", "Resource not found for the segment '%s'", rest))
	case !hasKey:
		switch c.method {
		case http.MethodGet:
			return m.listing(s, c.query, c.host, c.header.Get("Prefer"))
		case http.MethodPost:
			return m.create(tx, s, c)
		}
		return m.refused(bad(405, "/IWFND/CM_BEC/001", "", "Method %s is not allowed here", c.method))
	}
	k, err := key(s.Of, strings.TrimSuffix(predicate, ")"), m.model.Version)
	if err != nil {
		return m.refused(bad(400, "/IWBEP/CM_MGW_RT/011", "", "Malformed URI: %v", err))
	}
	r := m.table(s.Name).find(s, k)
	if r == nil {
		return m.refused(bad(404, "/IWBEP/CM_MGW_RT/004", "", "Resource not found"))
	}
	if op := m.model.Operations[rest]; op != nil && op.Bound == s.Of {
		return m.operation(tx, c, op, s, r)
	}
	return m.one(tx, c, s, r)
}

// cutPath splits a path at the first slash that stands in no text.
func cutPath(path string) (first, rest string, found bool) {
	all := parts(path, "/")
	return all[0], strings.Join(all[1:], "/"), len(all) > 1
}

// one reads, changes or removes a document.
func (m *Mock) one(tx *transaction, c call, s *edm.Set, r *row) answer {
	if c.method == http.MethodGet {
		e, err := m.entity(s, r, c.query.Get("$select"), c.query.Get("$expand"), c.host, false)
		if err != nil {
			return m.refused(bad(400, "/IWBEP/CM_MGW_RT/012", "", "%v", err))
		}
		a := m.single(200, e)
		a.header["ETag"] = etag(s, r)
		return a
	}
	if a := m.matched(c, s, r); a != nil {
		return *a
	}
	switch c.method {
	case http.MethodPatch, "MERGE", http.MethodPut:
		doc, refused := m.document(c, s.Of, edm.Change)
		if refused == nil {
			refused = m.refuse(s.Name, doc)
		}
		if refused != nil {
			return m.refused(refused)
		}
		tx.change(s, r, doc)
		return answer{status: 204, header: map[string]string{"ETag": etag(s, r)}}
	case http.MethodDelete:
		tx.remove(s, r, c.path)
		return answer{status: 204, header: map[string]string{}}
	}
	return m.refused(bad(405, "/IWFND/CM_BEC/001", "", "Method %s is not allowed here", c.method))
}

// matched holds If-Match against the document's version; nil if the change may go on.
func (m *Mock) matched(c call, s *edm.Set, r *row) *answer {
	tag, given := etag(s, r), c.header.Get("If-Match")
	var a answer
	switch {
	case tag == "" || given == "*" || given == tag:
		return nil
	case given == "":
		a = m.refused(bad(428, "/IWBEP/CM_MGW_RT/085", "", "The request must have an If-Match header"))
	default:
		a = m.refused(bad(412, "/IWBEP/CM_MGW_RT/084", "", "The document was changed by somebody else"))
	}
	return &a
}

func (m *Mock) create(tx *transaction, s *edm.Set, c call) answer {
	if s.NoCreate {
		return m.refused(bad(405, "/IWBEP/CM_MGW_RT/020", "", "Entities of %s cannot be created", s.Name))
	}
	doc, refused := m.document(c, s.Of, edm.Create)
	if refused == nil {
		refused = m.refuse(s.Name, doc)
	}
	var r *row
	if refused == nil {
		r, refused = tx.create(s, doc, nil)
	}
	if refused != nil {
		return m.refused(refused)
	}
	e, err := m.entity(s, r, "", nested(s, doc), c.host, false)
	if err != nil {
		return m.refused(bad(500, "/IWBEP/CM_MGW_RT/500", "", "%v", err))
	}
	a := m.single(201, e)
	path, _ := s.Of.KeyPath(keyOf(s, r), m.model.Version) // the entity was written by it
	a.header["Location"] = "http://" + c.host + "/" + s.Name + path
	if tag := etag(s, r); tag != "" {
		a.header["ETag"] = tag
	}
	return a
}

// nested names what was made with a document, so that the answer shows it.
func nested(s *edm.Set, doc map[string]any) string {
	var out []string
	for _, l := range s.Of.Links {
		if doc[l.Name] != nil {
			out = append(out, l.Name)
		}
	}
	return strings.Join(out, ",")
}

// operation changes the document that it is bound to or that its parameters name, or makes one of the type that it returns.
func (m *Mock) operation(tx *transaction, c call, op *edm.Operation, s *edm.Set, r *row) answer {
	if c.method != op.Method {
		return m.refused(bad(405, "/IWFND/CM_BEC/001", "", "Method %s is not allowed for %s", c.method, op.Name))
	}
	doc, refused := m.parameters(c, op)
	if refused == nil {
		refused = m.refuse(op.Name, doc)
	}
	if refused != nil {
		return m.refused(refused)
	}
	if s != nil && r != nil {
		if a := m.matched(c, s, r); a != nil {
			return *a
		}
		tx.change(s, r, nil)
	} else if do := acts()[op.Name]; do != nil && m.model.Version == edm.V2 {
		if s, r, refused = do(tx, doc); refused != nil {
			return m.refused(refused)
		}
	} else if op.Returns == nil || op.Returns.Struct == nil {
		return m.single(200, map[string]any{op.Name: nil})
	} else {
		s = m.setOf(&edm.Set{}, &edm.Link{Target: op.Returns.Struct})
		made := map[string]any{}
		for name, v := range doc {
			if f, ok := s.Of.Field(name); ok && !f.Key {
				made[name] = v
			}
		}
		if r, refused = tx.create(s, made, nil); refused != nil {
			return m.refused(refused)
		}
	}
	e, err := m.entity(s, r, "", "", c.host, false)
	if err != nil {
		return m.refused(bad(500, "/IWBEP/CM_MGW_RT/500", "", "%v", err))
	}
	return m.single(200, e)
}

// parameters reads those of an operation: V2 has them in the address.
func (m *Mock) parameters(c call, op *edm.Operation) (map[string]any, *refusal) {
	as := edm.NewStruct(op.Name, op.Params)
	if m.model.Version == edm.V4 {
		if len(op.Params) == 0 && len(c.body) == 0 {
			return map[string]any{}, nil
		}
		return m.document(c, as, edm.Create)
	}
	doc := map[string]any{}
	for name, vs := range c.query {
		f, ok := op.Param(name)
		if !ok {
			if strings.HasPrefix(name, "sap-") || strings.HasPrefix(name, "$") {
				continue
			}
			return nil, bad(400, "/IWBEP/CM_MGW_RT/010", name, "the parameter %s is not known", name)
		}
		v, err := literal(f, vs[0], edm.V2)
		if err != nil {
			return nil, bad(400, "/IWBEP/CM_MGW_RT/010", name, "%v", err)
		}
		doc[name] = v
	}
	for _, f := range op.Params {
		if _, has := doc[f.Name]; !has && !f.Nullable {
			return nil, bad(400, "/IWBEP/CM_MGW_RT/010", f.Name, "the parameter %s is missing", f.Name)
		}
	}
	return doc, nil
}

// document reads a body into plain values, as strictly as SAP does.
func (m *Mock) document(c call, of *edm.Struct, use edm.Use) (map[string]any, *refusal) {
	if t, _, err := mime.ParseMediaType(c.header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, bad(415, "/IWFND/CM_MGW/415", "", "The content type %s is not supported", c.header.Get("Content-Type"))
	}
	v, err := contract.Decode(c.body)
	raw, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, bad(400, "/IWBEP/CM_MGW_RT/176", "", "The request body is malformed")
	}
	text := strings.Contains(strings.ToLower(strings.ReplaceAll(c.header.Get("Content-Type"), " ", "")), "ieee754compatible=true")
	plain, refused := m.plain(of, raw, "", text)
	if refused != nil {
		return nil, refused
	}
	if _, wrong := of.Wire(plain, edm.Wire{Version: m.model.Version}, use); len(wrong) > 0 {
		r := bad(400, "/IWBEP/CM_MGW_RT/021", strings.TrimPrefix(wrong[0].Pointer, "/"), "Property %s: %s", strings.TrimPrefix(wrong[0].Pointer, "/"), wrong[0].Why)
		for _, w := range wrong {
			r.details = append(r.details, refusal{code: r.code, target: strings.TrimPrefix(w.Pointer, "/"), text: w.Why})
		}
		return nil, r
	}
	return plain, nil
}

// plain reads values, and refuses the JSON types that the version does not take: a number for a V2 decimal, a text for a V4 one.
func (m *Mock) plain(of *edm.Struct, raw map[string]any, at string, asText bool) (map[string]any, *refusal) {
	out := map[string]any{}
	for name, v := range raw {
		if l, ok := of.Link(name); ok {
			inner, refused := m.plainBelow(l, v, at+name+"/", asText)
			if refused != nil {
				return nil, refused
			}
			out[name] = inner
			continue
		}
		f, ok := of.Field(name)
		if !ok {
			return nil, bad(400, "/IWBEP/CM_MGW_RT/020", at+name, "Property '%s' is invalid", at+name)
		}
		p, refused := m.plainValue(f, v, at+name, asText)
		if refused != nil {
			return nil, refused
		}
		out[name] = p
	}
	return out, nil
}

// plainValue reads a value, a list of values or a complex one.
func (m *Mock) plainValue(f *edm.Field, v any, at string, asText bool) (any, *refusal) {
	if o, ok := v.(map[string]any); ok && f.Many && m.model.Version == edm.V2 {
		v = o["results"]
	}
	if f.Many && v != nil {
		list, ok := v.([]any)
		if !ok {
			return nil, bad(400, "/IWBEP/CM_MGW_RT/021", at, "a list was expected at %s", at)
		}
		one, out := *f, make([]any, 0, len(list))
		one.Many = false
		for i, item := range list {
			p, refused := m.plainValue(&one, item, at+"/"+strconv.Itoa(i), asText)
			if refused != nil {
				return nil, refused
			}
			out = append(out, p)
		}
		return out, nil
	}
	if o, ok := v.(map[string]any); ok && f.Struct != nil {
		return m.plain(f.Struct, o, at+"/", asText)
	}
	_, isNumber := v.(json.Number)
	_, isText := v.(string)
	wide := f.Type == "Edm.Decimal" || f.Type == "Edm.Int64"
	if wide && (m.model.Version == edm.V2 && isNumber || m.model.Version == edm.V4 && isText != asText && v != nil) {
		return nil, bad(400, "/IWBEP/CM_MGW_RT/021", at, "Property '%s' has an invalid value: the JSON type does not fit %s", at, f.Type)
	}
	p, err := f.Plain(v)
	if err != nil {
		return nil, bad(400, "/IWBEP/CM_MGW_RT/021", at, "Property '%s' has an invalid value: %v", at, err)
	}
	return p, nil
}

// plainBelow reads nested documents; V2 takes {"results": […]} as well.
func (m *Mock) plainBelow(l *edm.Link, v any, at string, asText bool) (any, *refusal) {
	o, isObject := v.(map[string]any)
	if results, ok := o["results"].([]any); ok && l.Many {
		v, isObject = results, false
	}
	if isObject {
		return m.plain(l.Target, o, at, asText)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, bad(400, "/IWBEP/CM_MGW_RT/021", at, "a list was expected at %s", at)
	}
	out := make([]any, 0, len(list))
	for _, item := range list {
		o, ok := item.(map[string]any)
		if !ok {
			return nil, bad(400, "/IWBEP/CM_MGW_RT/021", at, "an object was expected at %s", at)
		}
		p, refused := m.plain(l.Target, o, at, asText)
		if refused != nil {
			return nil, refused
		}
		out = append(out, p)
	}
	return out, nil
}

// identify finds the ID of the message that a write reports: in a field that carries it, else in the RequestID that goes with it.
func (m *Mock) identify(e *erpmock.Entry, c call) {
	var doc map[string]any
	_ = json.Unmarshal(c.body, &doc) // what is no JSON has no ID
	for _, name := range m.cfg.IDFields {
		if s, ok := doc[name].(string); ok {
			e.MessageID = s
		}
		if s := c.query.Get(name); s != "" {
			s = strings.TrimPrefix(s, "guid")
			e.MessageID = strings.Trim(s, "'")
		}
	}
	if id, err := uuid.Parse(c.header.Get("RequestID")); e.MessageID == "" && err == nil {
		e.MessageID = id.String()
	}
	m.judge(e, c)
}

// judge notes who signed what is written. It refuses nothing: the journal tells.
func (m *Mock) judge(e *erpmock.Entry, c call) {
	if m.cfg.Origin == nil || e.MessageID == "" || c.method == http.MethodGet {
		return
	}
	e.Origin = erpmock.Verified
	if err := m.cfg.Origin(c.header.Get("Holdfast-Statement"), *e); err != nil {
		e.Origin = err.Error()
	}
}
