package edmx

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata/edm"
)

// table is what a set holds.
type table struct {
	list  []*row
	byKey map[string]*row
	gone  []tombstone
}

// row is one document.
type row struct {
	values  map[string]any // plain, without what is nested
	changed int64
}

type tombstone struct {
	path    string
	changed int64
}

// table finds or makes a set's. The mutex is held.
func (m *Mock) table(set string) *table {
	t := m.rows[set]
	if t == nil {
		t = &table{byKey: map[string]*row{}}
		m.rows[set] = t
	}
	return t
}

// touch counts a change, and gives the document a new version where its type has one. The mutex is held.
func (m *Mock) touch(s *edm.Set, r *row) {
	m.changes++
	r.changed = m.changes
	for _, f := range s.Of.Fields {
		if !f.ETag && (f.Type != "Edm.DateTimeOffset" || !f.ReadOnly) {
			continue
		}
		at := m.clock().UTC()
		switch f.Type {
		case "Edm.String":
			v := at.In(m.cfg.Zone).Format("20060102150405")
			if old, _ := r.values[f.Name].(string); old >= v && !m.cfg.Coarse { // two changes in one second are two versions
				v = fmt.Sprintf("%014d", 1+number(old))
			}
			r.values[f.Name] = v
		case "Edm.DateTimeOffset":
			layout, step := "2006-01-02T15:04:05.0000000Z", 100*time.Nanosecond
			if m.model.Version == edm.V2 {
				layout, step = "2006-01-02T15:04:05.000Z", time.Millisecond
			}
			old, _ := r.values[f.Name].(string)
			if before, err := time.Parse(layout, old); err == nil && !at.Truncate(step).After(before) && !m.cfg.Coarse { // as above
				at = before.Add(step)
			}
			r.values[f.Name] = at.Format(layout)
		}
	}
}

func number(digits string) int64 {
	var n int64
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	return n
}

// etag is a document's version, "" if its set has none.
func etag(s *edm.Set, r *row) string {
	if !s.Versioned {
		return ""
	}
	for _, f := range s.Of.Fields {
		if v, ok := r.values[f.Name].(string); ok && f.ETag {
			return `W/"'` + v + `'"`
		}
	}
	return fmt.Sprintf(`W/"%d"`, r.changed)
}

// keyText is a document's key in one text.
func keyText(s *edm.Set, values map[string]any) string {
	var b strings.Builder
	for _, k := range s.Of.Key {
		fmt.Fprintf(&b, "%v\x00", values[k])
	}
	return b.String()
}

// find looks a document up by its key.
func (t *table) find(s *edm.Set, key map[string]any) *row { return t.byKey[keyText(s, key)] }

// add puts a document at the end.
func (t *table) add(s *edm.Set, r *row, key map[string]any) {
	t.list = append(t.list, r)
	t.byKey[keyText(s, key)] = r
}

// remove takes a document away.
func (t *table) remove(s *edm.Set, r *row) {
	t.list = slices.DeleteFunc(t.list, func(o *row) bool { return o == r })
	delete(t.byKey, keyText(s, r.values))
}

// refusal is an error as SAP writes it.
type refusal struct {
	status             int
	code, text, target string
	details            []refusal
}

func bad(status int, code, target, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, target: target, text: fmt.Sprintf(format, args...)}
}

// transaction collects what one change set brings about.
type transaction struct {
	m       *Mock
	entry   *erpmock.Entry // nil for seeds
	undo    []func()
	effects []erpmock.Effect
	touched []touched
}

// touched is a document that a transaction has made, changed or taken away.
type touched struct {
	set  string
	row  *row
	gone string // the path that it had
}

func (m *Mock) begin(e *erpmock.Entry) *transaction { return &transaction{m: m, entry: e} }

// rollback undoes everything.
func (tx *transaction) rollback() {
	for _, f := range slices.Backward(tx.undo) {
		f()
	}
	tx.undo, tx.effects, tx.touched = nil, nil, nil
}

// commit notes the effects with the attempt, and in the ledger.
func (tx *transaction) commit() {
	if tx.entry != nil {
		for _, f := range tx.effects {
			tx.m.effects++
			f.Seq, f.At, f.MessageID = tx.m.effects, tx.entry.At, tx.entry.MessageID
			tx.entry.Effects = append(tx.entry.Effects, f)
		}
	}
	if tx.m.ledger == nil || tx.entry == nil && len(tx.touched) == 0 {
		return
	}
	tx.m.ledger.Append(line{Entry: tx.entry, Docs: tx.saved(), Numbers: tx.m.numbers, Changes: tx.m.changes})
}

// saved are the documents that it has touched, as they are now.
func (tx *transaction) saved() []savedDoc {
	var docs []savedDoc
	for _, t := range tx.touched {
		docs = append(docs, savedDoc{Service: tx.m.cfg.Root, Set: t.set, Values: t.row.values, Changed: t.row.changed, Gone: t.gone})
	}
	return docs
}

// create makes a document of plain values, and those nested in it under its key.
func (tx *transaction) create(s *edm.Set, doc map[string]any, above map[string]any) (*row, *refusal) {
	r := &row{values: map[string]any{}}
	for _, f := range s.Of.Fields {
		r.values[f.Name] = nil
	}
	for name, v := range doc {
		if _, ok := s.Of.Link(name); !ok {
			r.values[name] = v
		}
	}
	for k, v := range above { // the document above it is known in it even where that is no part of its key
		if f, ok := s.Of.Field(k); ok && !f.Key && r.values[k] == nil {
			r.values[k] = v
		}
	}
	tx.number(s, r, above)
	t := tx.m.table(s.Name)
	if t.find(s, r.values) != nil {
		return nil, bad(409, "/IWBEP/CM_MGW_RT/022", "", "a document with this key exists already")
	}
	t.add(s, r, r.values)
	tx.undo = append(tx.undo, func() { t.remove(s, r) })
	tx.m.touch(s, r)
	tx.touched = append(tx.touched, touched{set: s.Name, row: r})
	if above == nil {
		tx.effects = append(tx.effects, erpmock.Effect{Type: s.Name, Number: numberOf(s, r), Act: "created"})
	}
	return r, tx.createBelow(s, r, doc)
}

// createBelow makes what is nested in a document.
func (tx *transaction) createBelow(s *edm.Set, r *row, doc map[string]any) *refusal {
	for name, v := range doc {
		l, ok := s.Of.Link(name)
		if !ok || v == nil {
			continue
		}
		nested := tx.m.setOf(s, l)
		if nested == nil {
			return bad(400, "/IWBEP/CM_MGW_RT/020", name, "nothing can be made below %s", name)
		}
		for _, item := range listOf(v) {
			if slices.ContainsFunc(tx.m.drops, func(d drop) bool { return d.set == nested.Name && item[d.field] == d.value }) {
				continue
			}
			if _, refused := tx.create(nested, item, keyOf(s, r)); refused != nil {
				return refused
			}
		}
	}
	return nil
}

func listOf(v any) []map[string]any {
	if o, ok := v.(map[string]any); ok {
		return []map[string]any{o}
	}
	var out []map[string]any
	items, _ := v.([]any)
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

// setOf is the set that a navigation property leads to.
func (m *Mock) setOf(s *edm.Set, l *edm.Link) *edm.Set {
	if name, ok := s.Targets[l.Name]; ok {
		return m.model.Sets[name]
	}
	for _, name := range slices.Sorted(maps.Keys(m.model.Sets)) {
		if o := m.model.Sets[name]; o.Of == l.Target {
			return o
		}
	}
	return nil
}

// number gives a document its key as far as the client left it open: from the document above it, the year, no plant, or counted. Counted
// is the widest field, which has room for it; the others are 1.
func (tx *transaction) number(s *edm.Set, r *row, above map[string]any) {
	var open []*edm.Field
	for _, k := range s.Of.Key {
		f, _ := s.Of.Field(k)
		switch v, ok := above[k]; {
		case r.values[k] != nil: // given, if only as empty
		case ok && v != nil:
			r.values[k] = v
		case f.Type == "Edm.String" && strings.HasSuffix(k, "Year"):
			r.values[k] = tx.m.clock().Format("2006")
		case f.Type == "Edm.String" && strings.HasSuffix(k, "Plant"):
			r.values[k] = "" // of no plant in particular
		case f.Type == "Edm.String":
			open = append(open, f)
		}
	}
	if len(open) == 0 {
		return
	}
	counted := slices.MaxFunc(open, func(a, b *edm.Field) int { return cmp.Compare(a.MaxLength, b.MaxLength) })
	for _, f := range open {
		n := int64(1)
		if f == counted {
			tx.m.numbers++
			n = tx.m.numbers
		}
		width := min(max(f.MaxLength, 1), 18)
		text := fmt.Sprintf("%0*d", width, n)
		r.values[f.Name] = text[len(text)-width:]
	}
}

// numberOf is what people call a document by.
func numberOf(s *edm.Set, r *row) string {
	var parts []string
	for _, k := range s.Of.Key {
		parts = append(parts, fmt.Sprint(r.values[k]))
	}
	return strings.Join(parts, "/")
}

// change sets fields of a document.
func (tx *transaction) change(s *edm.Set, r *row, doc map[string]any) {
	before, changed := maps.Clone(r.values), r.changed
	tx.undo = append(tx.undo, func() { r.values, r.changed = before, changed })
	maps.Copy(r.values, doc)
	tx.m.touch(s, r)
	tx.touched = append(tx.touched, touched{set: s.Name, row: r})
	tx.effects = append(tx.effects, erpmock.Effect{Type: s.Name, Number: numberOf(s, r), Act: "changed"})
}

// remove takes a document away.
func (tx *transaction) remove(s *edm.Set, r *row, path string) {
	t := tx.m.table(s.Name)
	t.remove(s, r)
	tx.m.changes++
	r.changed = tx.m.changes
	t.gone = append(t.gone, tombstone{path, tx.m.changes})
	tx.undo = append(tx.undo, func() {
		t.add(s, r, r.values)
		t.gone = t.gone[:len(t.gone)-1]
	})
	tx.touched = append(tx.touched, touched{set: s.Name, row: r, gone: path})
	tx.effects = append(tx.effects, erpmock.Effect{Type: s.Name, Number: numberOf(s, r), Act: "deleted"})
}

// refuse finds the rule that stands against a document.
func (m *Mock) refuse(name string, doc map[string]any) *refusal {
	for _, r := range m.rules {
		if r.Set != "" && r.Set != name || r.Field != "" && !has(doc, r.Field, r.Value) {
			continue
		}
		if r.Probability > 0 && m.chance.Float64() >= r.Probability {
			continue
		}
		if r.Count > 0 {
			if r.Count--; r.Count == 0 {
				r.Count = -1
			}
		} else if r.Count < 0 {
			continue
		}
		status := r.Status
		if status == 0 {
			status = 400
		}
		return &refusal{status: status, code: r.Code, text: r.Text, target: r.Target}
	}
	return nil
}

// has looks for a value in a document and in those nested in it.
func has(doc map[string]any, field string, value any) bool {
	if doc[field] == value && value != nil {
		return true
	}
	for _, v := range doc {
		for _, item := range listOf(v) {
			if has(item, field, value) {
				return true
			}
		}
	}
	return false
}
