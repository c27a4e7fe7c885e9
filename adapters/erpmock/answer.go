package erpmock

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// resource answers with a document as it is now.
func (t *transaction) resource(rec *record, status int) answer {
	ans := answer{status: status, header: http.Header{"Etag": {rec.etag()}}, media: t.b.media, body: rec.body}
	if t.b.media == "" || status == http.StatusNoContent {
		ans.body, ans.media = nil, ""
	} else if len(t.b.drop) > 0 {
		doc := t.decoded(rec)
		for _, name := range t.b.drop {
			delete(doc, name)
		}
		ans.body = encode(nil, doc)
	}
	return ans
}

// list answers with the documents that the filters leave, in the order of change.
func (t *transaction) list(c *collection) answer {
	q := query{limit: 100, values: map[int]string{}}
	if t.b.bare {
		q.limit = len(c.docs)
	}
	for _, f := range t.b.filters {
		v, given := f.param.Value(&t.req)
		if !given {
			continue
		}
		n, _ := strconv.ParseInt(scalarText(v), 10, 64)
		switch f.role {
		case "limit":
			q.limit = max(1, int(n))
		case "cursor", "changedAfter":
			q.after = max(q.after, n)
		default:
			q.values[f.field] = scalarText(v)
		}
	}
	found, more := c.list(q)
	return t.page(found, more)
}

// page writes a list as the document describes it: bare, or in an object with cursor and token.
func (t *transaction) page(found []*record, more bool) answer {
	items := []byte{'['}
	for i, r := range found {
		if i > 0 {
			items = append(items, ',')
		}
		items = append(items, t.resource(r, 200).body...)
	}
	items = append(items, ']')
	ans := answer{status: t.b.status, header: http.Header{}, media: t.b.media, body: items}
	if t.b.bare {
		return ans
	}
	end := t.s.store.seq
	if more {
		end = found[len(found)-1].change
	}
	token := strconv.FormatInt(end, 10)
	out := map[string]any{t.b.list.Items: json.RawMessage(items)}
	if more {
		out[t.b.list.Cursor] = token
	}
	for _, name := range t.b.required {
		if _, has := out[name]; !has && t.b.sample[name] != nil {
			out[name] = t.b.sample[name]
		}
	}
	if slices.Contains(t.b.required, t.b.list.Token) {
		out[t.b.list.Token] = token
	}
	ans.body = encode(nil, out)
	return ans
}

// union lists what a message has brought about, of whatever type, in the order of posting.
func (t *transaction) union() answer {
	id := t.req.Query.Get(t.m.plan.names.Message)
	items := []any{}
	for _, r := range t.s.store.messages[id] {
		ref := map[string]any{
			"type": r.in.spec.Type, "number": r.number, t.m.plan.names.Message: id,
			"postedAt": r.created.UTC().Format(time.RFC3339Nano),
		}
		if r.target != "" {
			ref["target"] = r.target
		}
		if r.envelope.Digest != "" {
			ref[t.m.plan.names.Digest] = r.envelope.Digest
		}
		items = append(items, ref)
	}
	body := encode(nil, map[string]any{t.b.list.Items: items})
	return answer{status: t.b.status, header: http.Header{}, media: t.b.media, body: body}
}

// static answers by the document's example or schema. What is not a read has an effect: the ERP
// was told something, and a test wants to count it.
func (t *transaction) static() answer {
	if t.r.Method != http.MethodGet && t.r.Method != http.MethodHead && t.r.Method != http.MethodOptions {
		t.s.log.effect(t.entry, Effect{Type: t.b.op.ID, Act: "called"})
	}
	status, body, media := t.b.status, t.b.example, t.b.media
	if code, name := preferred(t.r.Header.Values("Prefer")); code > 0 || name != "" {
		if code == 0 {
			code = status
		}
		if r, ok := t.b.op.Response(code); ok {
			status = code
			body, _ = r.Example(name)
			media = first(r.MediaTypes())
		}
	}
	if body == nil && status == t.b.status && t.b.schema != "" {
		body = encode(nil, generate(t.m.doc, t.b.schema))
	}
	return answer{status: status, header: http.Header{}, media: media, body: body}
}

// preferred reads "Prefer: code=404, example=name", as other mocks have it.
func preferred(headers []string) (code int, example string) {
	for _, part := range strings.FieldsFunc(strings.Join(headers, ","), func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "code":
			if n, err := strconv.Atoi(value); err == nil && n >= 200 && n < 600 {
				code = n
			}
		case "example":
			example = value
		}
	}
	return code, example
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
