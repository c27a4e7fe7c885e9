package erpmock

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record is one document. Its body is kept as JSON text: a hundred thousand decoded documents
// would cost the garbage collector more than serving them costs.
type record struct {
	in       *collection
	number   string
	path     string // of the resource
	body     []byte
	version  int64
	change   int64 // place in the sequence of changes
	created  time.Time
	keys     []string // values of the collection's filter fields
	envelope envelope
	target   string // what an act was upon
	gone     bool
	pinned   bool // seeded: never dropped
}

// collection holds the documents of one path.
type collection struct {
	spec    *collectionSpec
	path    string
	docs    map[string]*record
	changes []*change
	index   []map[string][]*record // by filter field, then by value
	fifo    []*record
	counter int64
	bytes   int64
}

// change is a place in the order of changes; it is stale once its record has changed again.
type change struct {
	seq int64
	rec *record
}

// store is the state of a space, guarded by the space's mutex.
type store struct {
	plan     *plan
	limits   Limits
	seq      int64 // of changes
	paths    map[string]*collection
	byType   map[string][]*collection
	messages map[string][]*record
	dropped  int64
}

func newStore(p *plan, l Limits) *store {
	return &store{plan: p, limits: l, paths: map[string]*collection{}, byType: map[string][]*collection{}, messages: map[string][]*record{}}
}

// collection finds or makes the collection at a concrete path.
func (s *store) collection(spec *collectionSpec, path string) *collection {
	c, ok := s.paths[path]
	if !ok {
		c = &collection{spec: spec, path: path, docs: map[string]*record{}, index: make([]map[string][]*record, len(spec.filters))}
		for i := range c.index {
			c.index[i] = map[string][]*record{}
		}
		s.paths[path] = c
		s.byType[spec.Type] = append(s.byType[spec.Type], c)
	}
	return c
}

// find looks for a document of a type by its number.
func (s *store) find(kind, number string) (*record, bool) {
	for _, c := range s.byType[kind] {
		if r, ok := c.docs[number]; ok {
			return r, true
		}
	}
	return nil, false
}

// next gives the collection's next free number.
func (c *collection) next() string {
	for {
		c.counter++
		n := c.spec.format(c.counter)
		if _, taken := c.docs[n]; !taken {
			return n
		}
	}
}

// put stores a record, new or changed, at the end of the sequence of changes.
func (s *store) put(r *record, body []byte, keys []string) {
	c := r.in
	if _, known := c.docs[r.number]; !known {
		c.docs[r.number] = r
		if !r.pinned {
			c.fifo = append(c.fifo, r)
		}
		if id := r.envelope.MessageID; id != "" {
			s.messages[id] = append(s.messages[id], r)
		}
	}
	c.unindex(r)
	c.bytes += int64(len(body) - len(r.body))
	s.seq++
	r.body, r.keys, r.change = body, keys, s.seq
	for i, v := range keys {
		c.index[i][v] = append(c.index[i][v], r)
	}
	c.changes = append(c.changes, &change{s.seq, r})
	if len(c.changes) > 2*len(c.docs)+64 {
		c.changes = slices.DeleteFunc(c.changes, (*change).stale)
	}
	for len(c.fifo) > 1 && (len(c.docs) > s.limits.Count || c.bytes > s.limits.Bytes) {
		r := c.oldest()
		if r == nil {
			break
		}
		s.dropped++
		s.remove(r)
	}
}

func (ch *change) stale() bool { return ch.rec.gone || ch.rec.change != ch.seq }

// oldest takes the first record that still exists off the queue.
func (c *collection) oldest() *record {
	for len(c.fifo) > 0 {
		r := c.fifo[0]
		c.fifo[0] = nil
		c.fifo = c.fifo[1:]
		if !r.gone {
			return r
		}
	}
	return nil
}

func (c *collection) unindex(r *record) {
	for i, v := range r.keys {
		rest := without(c.index[i][v], r)
		if len(rest) == 0 {
			delete(c.index[i], v)
		} else {
			c.index[i][v] = rest
		}
	}
	r.keys = nil
}

// without takes a record off a list. Who drops its oldest finds it in front: a scan of the whole
// list for each would make a full store slow.
func without(list []*record, r *record) []*record {
	if len(list) > 0 && list[0] == r {
		list[0] = nil
		return list[1:]
	}
	return slices.DeleteFunc(list, func(o *record) bool { return o == r })
}

// remove deletes a record.
func (s *store) remove(r *record) {
	c := r.in
	c.unindex(r)
	delete(c.docs, r.number)
	c.bytes -= int64(len(r.body))
	r.gone = true
	id := r.envelope.MessageID
	rest := without(s.messages[id], r)
	if len(rest) == 0 {
		delete(s.messages, id)
	} else {
		s.messages[id] = rest
	}
	s.seq++
}

// query asks for documents changed after a place, by values of filter fields.
type query struct {
	after  int64
	limit  int
	values map[int]string // by index of the filter field
}

// list gives the records in the order of change, and whether more follow.
func (c *collection) list(q query) (found []*record, more bool) {
	take := func(r *record) bool {
		if r.change <= q.after || !r.matches(q.values) {
			return true
		}
		if len(found) == q.limit {
			more = true
			return false
		}
		found = append(found, r)
		return true
	}
	for i, v := range q.values {
		hits := slices.Clone(c.index[i][v])
		slices.SortFunc(hits, func(a, b *record) int { return cmp.Compare(a.change, b.change) })
		for _, r := range hits {
			if !take(r) {
				break
			}
		}
		return found, more
	}
	from, _ := slices.BinarySearchFunc(c.changes, q.after+1, func(ch *change, n int64) int { return cmp.Compare(ch.seq, n) })
	for _, ch := range c.changes[from:] {
		if !ch.stale() && !take(ch.rec) {
			break
		}
	}
	return found, more
}

func (r *record) matches(values map[int]string) bool {
	for i, v := range values {
		if i >= len(r.keys) || r.keys[i] != v {
			return false
		}
	}
	return true
}

// all lists the bodies of one type, oldest change first.
func (s *store) all(kind string) [][]byte {
	var out [][]byte
	for _, c := range s.byType[kind] {
		found, _ := c.list(query{limit: len(c.docs)})
		for _, r := range found {
			out = append(out, slices.Clone(r.body))
		}
	}
	return out
}

// format writes the nth number of a collection, from its first one and as wide.
func (c *collectionSpec) format(n int64) string {
	if c.uuid {
		return uuidOf(c.Type, n)
	}
	first, err := strconv.ParseInt(c.First, 10, 64)
	if err != nil {
		return c.First + strconv.FormatInt(n, 10)
	}
	s := strconv.FormatInt(first+n-1, 10)
	if pad := len(c.First) - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	return s
}
