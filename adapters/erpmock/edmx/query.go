package edmx

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/decimal"
)

// filter reads a $filter: and, or, parentheses, comparisons with literals, startswith. What else OData has is refused.
func filter(of *edm.Struct, text string, v edm.Version) (func(*row) bool, error) {
	text = strings.TrimSpace(text)
	for _, word := range []string{" or ", " and "} {
		all := parts(text, word)
		if len(all) < 2 {
			continue
		}
		tests := make([]func(*row) bool, 0, len(all))
		for _, p := range all {
			f, err := filter(of, p, v)
			if err != nil {
				return nil, err
			}
			tests = append(tests, f)
		}
		any := word == " or "
		return func(r *row) bool {
			for _, f := range tests {
				if f(r) == any {
					return any
				}
			}
			return !any
		}, nil
	}
	if strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")") {
		return filter(of, text[1:len(text)-1], v)
	}
	return comparison(of, text, v)
}

func comparison(of *edm.Struct, text string, v edm.Version) (func(*row) bool, error) {
	if inner, ok := strings.CutPrefix(text, "startswith("); ok {
		args := parts(strings.TrimSuffix(inner, ")"), ",")
		if len(args) != 2 {
			return nil, fmt.Errorf("startswith takes two arguments")
		}
		f, ok := of.Field(strings.TrimSpace(args[0]))
		begin, quoted := unquote(strings.TrimSpace(args[1]))
		if !ok || !quoted {
			return nil, fmt.Errorf("startswith takes a field and a text")
		}
		return func(r *row) bool { s, _ := r.values[f.Name].(string); return strings.HasPrefix(s, begin) }, nil
	}
	words := strings.SplitN(text, " ", 3)
	if len(words) != 3 {
		return nil, fmt.Errorf("%q is no condition", text)
	}
	f, ok := of.Field(words[0])
	if !ok || f.NoFilter {
		return nil, fmt.Errorf("property %s cannot be filtered by", words[0])
	}
	want, err := literal(f, words[2], v)
	if err != nil {
		return nil, err
	}
	test, ok := map[string]func(int) bool{
		"eq": func(c int) bool { return c == 0 }, "ne": func(c int) bool { return c != 0 }, "gt": func(c int) bool { return c > 0 },
		"ge": func(c int) bool { return c >= 0 }, "lt": func(c int) bool { return c < 0 }, "le": func(c int) bool { return c <= 0 },
	}[words[1]]
	if !ok {
		return nil, fmt.Errorf("%q is no operator", words[1])
	}
	return func(r *row) bool {
		got := r.values[f.Name]
		if got == nil || want == nil {
			return (got == want) == (words[1] == "eq") && (words[1] == "eq" || words[1] == "ne")
		}
		return test(order(got, want))
	}, nil
}

// order compares two plain values of one type.
func order(a, b any) int {
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	dx, errX := decimal.Parse(x)
	dy, errY := decimal.Parse(y)
	if _, isNumber := a.(json.Number); errX == nil && errY == nil && (isNumber || strings.ContainsRune(x+y, '.')) {
		return dx.Cmp(dy)
	}
	return strings.Compare(x, y)
}

// known refuses a query option that the version does not have.
func (m *Mock) known(q url.Values) *refusal {
	options := []string{"$filter", "$select", "$expand", "$top", "$skip", "$skiptoken", "$orderby", "$format", "sap-client", "sap-language", "$deltatoken", "!deltatoken", "tracked"}
	counted := "$inlinecount"
	if m.model.Version == edm.V4 {
		counted = "$count"
	}
	for name := range q {
		if name != counted && !slices.Contains(options, name) {
			return bad(400, "/IWBEP/CM_MGW_RT/012", "", "the query option %s is not known", name)
		}
	}
	return nil
}

// count answers SET/$count: the number of documents that a $filter leaves, as text. Paging takes nothing from it.
func (m *Mock) count(s *edm.Set, q url.Values) answer {
	if refused := m.known(q); refused != nil {
		return m.refused(refused)
	}
	rows, _, err := m.selectRows(s, q)
	if err != nil {
		return m.refused(bad(400, "/IWBEP/CM_MGW_RT/012", "", "%v", err))
	}
	return answer{status: 200, media: "text/plain", body: []byte(strconv.Itoa(len(rows)))}
}

// listing answers a query of a set.
func (m *Mock) listing(s *edm.Set, q url.Values, host, prefer string) answer {
	if refused := m.known(q); refused != nil {
		return m.refused(refused)
	}
	rows, gone, err := m.selectRows(s, q)
	if err != nil {
		return m.refused(bad(400, "/IWBEP/CM_MGW_RT/012", "", "%v", err))
	}
	total := len(rows)
	top, skip := intOr(q.Get("$top"), total), intOr(q.Get("$skip"), 0)
	rows = rows[min(skip, len(rows)):]
	rows = rows[:min(top, len(rows))]
	from := intOr(q.Get("$skiptoken"), 0)
	rows = rows[min(from, len(rows)):]
	page, next := rows, ""
	if len(rows) > m.cfg.Page {
		page = rows[:m.cfg.Page]
		q.Set("$skiptoken", strconv.Itoa(from+m.cfg.Page))
		if m.tracks(q, prefer) {
			q.Set("tracked", "true")
		}
		next = s.Name + "?" + q.Encode()
	}
	list := []any{}
	for _, r := range page {
		e, err := m.entity(s, r, q.Get("$select"), q.Get("$expand"), host, true)
		if err != nil {
			return m.refused(bad(400, "/IWBEP/CM_MGW_RT/012", "", "%v", err))
		}
		list = append(list, e)
	}
	for _, g := range gone {
		list = append(list, map[string]any{"@removed": map[string]any{"reason": "deleted"}, "@id": g.path})
	}
	return m.list(s, list, total, next, q, host, prefer)
}

// tracks tells whether changes are to be told from this answer on. V4 gives a link to them only to who has asked for it (OData 4.01 part 1 section 8.2.8.6), or comes by one.
func (m *Mock) tracks(q url.Values, prefer string) bool {
	return m.cfg.Delta && (m.model.Version == edm.V2 || strings.Contains(prefer, "track-changes") || q.Has("$deltatoken") || q.Has("tracked"))
}

// list wraps entities as the version does.
func (m *Mock) list(s *edm.Set, list []any, total int, next string, q url.Values, host, prefer string) answer {
	delta := ""
	if m.tracks(q, prefer) && next == "" {
		delta = s.Name + "?$deltatoken=" + strconv.FormatInt(m.changes, 10)
	}
	if m.model.Version == edm.V4 {
		out := map[string]any{"@odata.context": "$metadata#" + s.Name, "value": list}
		if q.Get("$count") == "true" {
			out["@odata.count"] = total
		}
		if next != "" {
			out["@odata.nextLink"] = next
		}
		if delta != "" {
			out["@odata.deltaLink"] = delta
		}
		return m.json(200, out)
	}
	d := map[string]any{"results": list}
	if q.Get("$inlinecount") == "allpages" {
		d["__count"] = strconv.Itoa(total)
	}
	if next != "" {
		d["__next"] = "http://" + host + "/" + next
	}
	if delta != "" {
		d["__delta"] = "http://" + host + "/" + strings.Replace(delta, "$delta", "!delta", 1)
	}
	return m.json(200, map[string]any{"d": d})
}

// selectRows finds and orders the documents of a query; of a delta, also those that are gone.
func (m *Mock) selectRows(s *edm.Set, q url.Values) ([]*row, []tombstone, error) {
	t := m.table(s.Name)
	rows := slices.Clone(t.list)
	var gone []tombstone
	if token := q.Get("$deltatoken") + q.Get("!deltatoken"); token != "" {
		since, err := strconv.ParseInt(token, 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("the delta token is none of ours")
		}
		rows = slices.DeleteFunc(rows, func(r *row) bool { return r.changed <= since })
		for _, g := range t.gone {
			if g.changed > since && m.model.Version == edm.V4 {
				gone = append(gone, g)
			}
		}
	}
	if text := q.Get("$filter"); text != "" {
		f, err := filter(s.Of, text, m.model.Version)
		if err != nil {
			return nil, nil, err
		}
		rows = slices.DeleteFunc(rows, func(r *row) bool { return !f(r) })
	}
	for _, o := range slices.Backward(strings.Split(q.Get("$orderby"), ",")) {
		name, desc := strings.CutSuffix(o, " desc")
		if name == "" {
			continue
		}
		if _, ok := s.Of.Field(name); !ok {
			return nil, nil, fmt.Errorf("property %s is not known", name)
		}
		slices.SortStableFunc(rows, func(a, b *row) int {
			if c := order(a.values[name], b.values[name]); !desc {
				return c
			}
			return order(b.values[name], a.values[name])
		})
	}
	return rows, gone, nil
}

func intOr(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}

// entity writes a document as the version does.
func (m *Mock) entity(s *edm.Set, r *row, sel, expand, host string, listed bool) (map[string]any, error) {
	path, err := s.Of.KeyPath(keyOf(s, r), m.model.Version)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	uri := "http://" + host + "/" + s.Name + path
	if m.model.Version == edm.V2 {
		meta := map[string]any{"id": uri, "uri": uri, "type": s.Of.Name}
		if tag := etag(s, r); tag != "" {
			meta["etag"] = tag
		}
		out["__metadata"] = meta
	} else if tag := etag(s, r); tag != "" {
		out["@odata.etag"] = tag
	}
	chosen := strings.Split(sel, ",")
	for _, f := range s.Of.Fields {
		if sel != "" && !slices.Contains(chosen, "*") && !slices.Contains(chosen, f.Name) {
			continue
		}
		w, err := m.wire(f, r.values[f.Name])
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", f.Name, err)
		}
		out[f.Name] = w
	}
	for _, l := range s.Of.Links {
		if err := m.expand(out, s, l, r, expand, uri, host, listed); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// wire writes a value, a list of values or a complex one as the version does.
func (m *Mock) wire(f *edm.Field, v any) (any, error) {
	switch v := v.(type) {
	case []any:
		one, out := *f, make([]any, 0, len(v))
		one.Many = false
		for _, item := range v {
			w, err := m.wire(&one, item)
			if err != nil {
				return nil, err
			}
			out = append(out, w)
		}
		if m.model.Version == edm.V2 {
			return map[string]any{"results": out}, nil
		}
		return out, nil
	case map[string]any:
		out := map[string]any{}
		for _, inner := range f.Struct.Fields {
			w, err := m.wire(inner, v[inner.Name])
			if err != nil {
				return nil, err
			}
			out[inner.Name] = w
		}
		return out, nil
	}
	return f.Wire(v, edm.Wire{Version: m.model.Version})
}

// expand writes what a navigation property leads to, if it was asked for.
func (m *Mock) expand(out map[string]any, s *edm.Set, l *edm.Link, r *row, expand, uri, host string, listed bool) error {
	asked := slices.ContainsFunc(parts(expand, ","), func(p string) bool {
		name, _, _ := strings.Cut(p, "(")
		name, _, _ = strings.Cut(name, "/")
		return name == l.Name
	})
	if !asked {
		if m.model.Version == edm.V2 {
			out[l.Name] = map[string]any{"__deferred": map[string]any{"uri": uri + "/" + l.Name}}
		}
		return nil
	}
	nested := m.setOf(s, l)
	list := []any{}
	for _, o := range m.table(nested.Name).list {
		if !below(s, r, o) {
			continue
		}
		e, err := m.entity(nested, o, "", deeper(expand, l.Name), host, listed)
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	if out[l.Name] = any(list); m.model.Version == edm.V2 {
		out[l.Name] = map[string]any{"results": list}
	}
	return nil
}

// below tells whether a document belongs to another: it has its key, or as much of it as its own type has room for.
func below(s *edm.Set, above, r *row) bool {
	shared := false
	for _, k := range s.Of.Key {
		v, has := r.values[k]
		if has && v != above.values[k] {
			return false
		}
		shared = shared || has
	}
	return shared
}

func keyOf(s *edm.Set, r *row) map[string]any {
	out := map[string]any{}
	for _, k := range s.Of.Key {
		out[k] = r.values[k]
	}
	return out
}

// deeper is what is to be expanded below a navigation property: V2 writes LINK/LINK.
func deeper(expand, name string) string {
	var out []string
	for _, p := range parts(expand, ",") {
		if below, ok := strings.CutPrefix(p, name+"/"); ok {
			out = append(out, below)
		}
	}
	return strings.Join(out, ",")
}
