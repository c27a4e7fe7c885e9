package odata

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// PollConfig is one entity set that is asked for what has changed: by delta links, by a field that grows with each change, or, where the
// service has neither, as a whole each time. A service that gives no delta links is told by Check; it is read as a whole once an hour meanwhile.
type PollConfig struct {
	Name      string            `yaml:"name"`                // of the cursor; must not change
	Set       string            `yaml:"set"`                 // SERVICE/SET
	Every     time.Duration     `yaml:"every,omitempty"`     // how often, when nothing changes; 5 s, of a whole set 1 h
	Watermark string            `yaml:"watermark,omitempty"` // the field that grows; required without delta and whole
	Overlap   time.Duration     `yaml:"overlap,omitempty"`   // how far back each reading begins, for changes that were committed late; 2 m
	Zone      string            `yaml:"zone,omitempty"`      // of a watermark that is a time without one (Edm.DateTime, ABAP's 14 digits); the plant's
	Delta     bool              `yaml:"delta,omitempty"`     // follow the service's delta links
	Whole     bool              `yaml:"whole,omitempty"`     // read everything each time; what has not changed is known by its content
	Equal     map[string]string `yaml:"equal,omitempty"`     // fields that must have these values
	Expand    []string          `yaml:"expand,omitempty"`    // navigation properties that are read as well

	Source  string `yaml:"source"`            // CloudEvents source of what comes: the ERP, a URI-reference
	Kind    string `yaml:"kind"`              // CloudEvents type
	Mapping string `yaml:"mapping"`           // turns an entity into an event of the plant
	Key     string `yaml:"key"`               // the field that is the object's number
	Version string `yaml:"version,omitempty"` // the field that orders its states; the watermark
}

// Poll is one source of what comes in.
type Poll struct {
	client *Client
	set    string
	cfg    PollConfig
	zone   *time.Location // of the watermark; nil if none is known

	turns turns                  // of what is read as a whole
	lost  atomic.Pointer[string] // the cursor of a reading that gets nowhere, until the next call begins anew
}

// Polls are the sources of what comes in, in the order of the configuration.
func (l *Link) Polls() []*Poll { return l.polls }

// newPolls checks what can be checked without the $metadata.
func (l *Link) newPolls() ([]*Poll, error) {
	var out []*Poll
	names := map[string]bool{}
	for i, c := range l.cfg.Polls {
		at := fmt.Sprintf("polls[%d]", i)
		if names[c.Name] || c.Name == "" {
			return nil, wrong(at+".name", "it is missing or used twice", "each poll keeps its place under its name")
		}
		names[c.Name] = true
		client, set, err := l.split(c.Set)
		if err != nil {
			return nil, wrong(at+".set", "it names no set of a service", "write SERVICE/SET")
		}
		for name, v := range map[string]string{"source": c.Source, "kind": c.Kind, "mapping": c.Mapping, "key": c.Key} {
			if v == "" {
				return nil, wrong(at+"."+name, "it is missing", "give it")
			}
		}
		ways := 0
		for _, way := range []bool{c.Delta, c.Watermark != "", c.Whole} {
			if way {
				ways++
			}
		}
		if ways != 1 {
			return nil, wrong(at+".watermark", "a poll goes by a watermark, by delta links, or reads the whole set", "give one of watermark, delta and whole")
		}
		usual := 5 * time.Second
		if c.Whole {
			usual = wholeEvery
		}
		c.Every, c.Overlap = cmp.Or(c.Every, usual), cmp.Or(c.Overlap, 2*time.Minute)
		c.Version = cmp.Or(c.Version, c.Watermark)
		zone, err := zoneOf(at, c.Zone)
		if err != nil {
			return nil, err
		}
		client.needed.Store(true)
		out = append(out, &Poll{client: client, set: set, cfg: c, zone: zone})
	}
	return out, nil
}

// zoneOf reads the time zone of a poll's watermark.
func zoneOf(at, name string) (*time.Location, error) {
	if name == "" {
		return nil, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, wrong(at+".zone", fmt.Sprintf("%q is no time zone", name), "write a name of the IANA database, such as Europe/Berlin")
	}
	return zone, nil
}

// Name is the poll's name in the configuration; its cursor is kept under it.
func (p *Poll) Name() string { return p.cfg.Name }

// Watermark is the field by which it reads, "" if it goes another way.
func (p *Poll) Watermark() string { return p.cfg.Watermark }

// Every is how long to wait after an answer that brought nothing new.
func (p *Poll) Every() time.Duration { return p.cfg.Every }

// wholeEvery is how often a set is read as a whole.
const wholeEvery = time.Hour

// fresh is how many new entities end a reading; those that were read before, in the overlap, do not count.
const fresh = 500

// Ended tells whether a place that Poll gave ends the reading of a whole set: the next call begins anew.
func (p *Poll) Ended(cursor string) bool {
	at, err := readStand(cursor)
	return err == nil && (p.cfg.Whole || at.whole) && at.link == ""
}

// Poll reads what has changed since cursor, "" for everything, and gives where to go on. Store next in the transaction that accepts
// the batch: then nothing is lost, and what is read twice has the same ID twice. While a batch is not empty and next is not the old
// cursor there may be more, and the next call need not wait: where nothing is new, the whole overlap is read in one call, so that next
// is the old cursor.
//
// A link to a page or to changes that the service does not know any more is given up: the reading begins anew where it last was
// complete; where that comes to nothing either, it is an error. What alone does not fit the $metadata is handed on as what nobody can read (Incoming.Unread): it holds up nothing else.
func (p *Poll) Poll(ctx context.Context, cursor string) (batch []message.Incoming, next string, err error) {
	at, err := readStand(cursor)
	if err != nil {
		return nil, cursor, err
	}
	if at.whole && p.client.link.now().Unix() < at.due {
		return nil, cursor, nil
	}
	m, set, err := p.client.set(ctx, p.set)
	if err != nil {
		return nil, cursor, err
	}
	if lost := p.lost.Swap(nil); lost != nil && *lost == cursor {
		at = p.beginning(at, at.link)
	}
	if p.cfg.Watermark != "" && at.begun == "" && !at.never { // a reading of which it is not known is begun anew
		at.high, at.link, at.pages, at.mark = "", "", 0, ""
	}
	at.never = at.never || p.neverDue(set.Of, at)
	for pages, n := 0, 0; ; pages++ {
		page, a, err := p.begin(ctx, m, set, &at)
		if err != nil && at.never && unasked(a) {
			at = p.neverAsked(at, err)
			continue
		}
		if at.link != "" && forgotten(a, err) {
			next, err := p.anew(cursor, at.link, err)
			return nil, next, err
		}
		if err == nil && pages >= p.client.link.cfg.MaxPages {
			err = p.client.invalid("poll "+p.cfg.Name, fmt.Errorf("the pages do not end"))
		}
		if err != nil {
			return nil, cursor, err
		}
		more, count, err := p.take(set.Of, page, at, a.At)
		if err != nil {
			return nil, cursor, err
		}
		batch, n = append(batch, more...), n+count
		from := at
		at = p.after(at, page)
		if at.anew = from.anew && page.Next != ""; page.Next != "" && at.link == page.Next {
			if at, err = at.follow(from); err != nil {
				return nil, cursor, p.client.invalid("poll "+p.cfg.Name, err)
			}
		}
		if page.Next == "" && !from.never || n >= fresh {
			return batch, at.String(), nil
		}
	}
}

// take makes messages of what is new on a page, and counts what is new to this reading.
func (p *Poll) take(of *edm.Struct, page Page, at stand, now time.Time) (batch []message.Incoming, n int, err error) {
	for _, o := range page.strange {
		if in, known := p.unread(of, o, at, now); !known {
			batch = append(batch, in)
			p.client.link.log.Warn("an entity that the ERP gave does not fit the $metadata, and is kept as it is", "part", "odata", "poll", p.cfg.Name, "id", in.ID, "err", o.err)
		}
	}
	for _, e := range page.Entities {
		in, known, err := p.incoming(of, e, at, now)
		if err != nil {
			return nil, 0, err
		}
		if !known {
			batch = append(batch, in)
		}
		if p.cfg.Delta || p.cfg.Whole || at.never || !known && later(str(e.Values[p.cfg.Watermark]), at.since) {
			n++
		}
	}
	return batch, n, nil
}

// unread makes a message of an entity that cannot be read. known tells that the last reading has met it as it is.
func (p *Poll) unread(of *edm.Struct, o strange, at stand, now time.Time) (in message.Incoming, known bool) {
	body, err := json.Marshal(o.raw)
	if err != nil {
		panic(err) // it came as JSON
	}
	content := wire.Hash(string(body))
	e := of.Some(o.raw, append(slices.Clone(of.Key), p.cfg.Key, p.cfg.Watermark)...)
	if p.cfg.Watermark != "" {
		if unchanged(str(e.Values[p.cfg.Watermark])) { // it is read again each time
			e.Values[p.cfg.Watermark] = cmp.Or(at.high, at.since)
		}
		_, _, known = p.look(of, e, at.seen, "", content, now)
	}
	return message.Incoming{
		Message: message.Message{
			ID: p.cfg.Kind + "/" + cmp.Or(str(e.Values[p.cfg.Key]), e.ID, content) + "@" + content, Source: p.cfg.Source, Kind: p.cfg.Kind, Version: 1,
			Time: now, Body: body, Place: message.Place{Role: message.Event},
		},
		Mapping: p.cfg.Mapping, Undated: true,
		Unread: &problem.Error{
			Kind: problem.Invalid, What: "read an entity of " + p.cfg.Set, Why: "it does not fit the service's $metadata", Hint: "correct it in the ERP: once it has changed there, it is read again", Cause: o.err,
		},
	}, known
}

// forgotten tells whether a service does not know the link that it gave any more.
func forgotten(a wire.Answer, err error) bool {
	return err != nil && (problem.KindOf(err) == problem.Invalid || a.Status == http.StatusGone || a.Status == http.StatusNotFound)
}

// begin reads one page. If it is the first of several, it is read once more after asking for the highest watermark that there is: what that
// finds was there before all that is read.
func (p *Poll) begin(ctx context.Context, m *edm.Model, set *edm.Set, at *stand) (Page, wire.Answer, error) {
	page, a, err := p.page(ctx, m, set, *at)
	if err != nil || p.cfg.Watermark == "" || at.never || at.begun != "" || page.Next == "" {
		return page, a, err
	}
	at.begun = highest(page, p.cfg.Watermark)
	q, all := Query{OrderBy: []Order{{Field: p.cfg.Watermark, Descending: true}}, Top: 1}, p.equal()
	if at.begun != "" { // some databases have what has no value first
		all = append(all, AtLeast(p.cfg.Watermark, p.earlier(at.begun, 0)))
	}
	if len(all) > 0 {
		q.Where = And(all...)
	}
	r := request{method: http.MethodGet, path: "/" + set.Name}
	if r.query, err = q.build(set.Of, m.Version); err != nil {
		return Page{}, wire.Answer{}, p.client.invalid("poll "+p.cfg.Name, err)
	}
	if a, err = p.client.read(ctx, "poll "+p.cfg.Name, r); err != nil {
		return Page{}, a, err
	}
	top, err := p.client.somePage(m, set.Of, a)
	if err != nil {
		return Page{}, a, err
	}
	for _, o := range top.strange {
		top.Entities = append(top.Entities, set.Of.Some(o.raw, p.cfg.Watermark))
	}
	at.begun = cmp.Or(highest(top, p.cfg.Watermark), at.begun)
	return p.page(ctx, m, set, *at)
}

// page reads one page.
func (p *Poll) page(ctx context.Context, m *edm.Model, set *edm.Set, at stand) (Page, wire.Answer, error) {
	r, err := p.request(m, set, at)
	if err != nil {
		return Page{}, wire.Answer{}, p.client.invalid("poll "+p.cfg.Name, err)
	}
	a, err := p.client.read(ctx, "poll "+p.cfg.Name, r)
	if err != nil {
		return Page{}, a, err
	}
	page, err := p.client.somePage(m, set.Of, a)
	for i := 0; err == nil && i < len(page.Entities); i++ {
		err = p.client.complete(ctx, m, set.Of, &page.Entities[i], r)
	}
	return page, a, err
}

// request asks for the page that comes next, or for what is new.
func (p *Poll) request(m *edm.Model, set *edm.Set, at stand) (request, error) {
	from := request{method: http.MethodGet, path: "/" + set.Name}
	if at.link != "" {
		return p.client.relative(at.link, from)
	}
	if p.cfg.Delta {
		from.header = tracks(m.Version)
	}
	q, all := Query{Expand: p.cfg.Expand}, p.equal()
	switch {
	case p.cfg.Whole || at.never:
		if at.never {
			all = append(all, p.never(m, set.Of))
		}
		for _, k := range set.Of.Key {
			q.OrderBy = append(q.OrderBy, Order{Field: k})
		}
	case !p.cfg.Delta:
		if from := p.from(at); from != "" {
			all = append(all, AtLeast(p.cfg.Watermark, from))
		}
		q.OrderBy = []Order{{Field: p.cfg.Watermark}}
		for _, k := range set.Of.Key {
			q.OrderBy = append(q.OrderBy, Order{Field: k})
		}
	}
	if len(all) > 0 {
		q.Where = And(all...)
	}
	var err error
	from.query, err = q.build(set.Of, m.Version)
	return from, err
}

// equal are the conditions that every reading has.
func (p *Poll) equal() (all []Condition) {
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Equal)) {
		all = append(all, Equal(name, p.cfg.Equal[name]))
	}
	return all
}

// from is the watermark from which the next page is read, itself included.
func (p *Poll) from(at stand) string {
	switch {
	case at.high != "":
		return p.earlier(at.high, 0)
	case at.since != "":
		return p.earlier(at.since, p.cfg.Overlap)
	}
	return ""
}

// after is where a page says to go on.
func (p *Poll) after(at stand, page Page) stand {
	switch {
	case p.cfg.Delta && page.Next+page.Delta == "":
		return p.untracked()
	case p.cfg.Delta:
		return stand{link: cmp.Or(page.Next, page.Delta), whole: at.whole && page.Next != ""}
	case p.cfg.Whole:
		return stand{link: page.Next}
	case at.never:
		return p.afterNever(at, page)
	}
	begin, high := p.from(at), at.high
	if w := highest(page, p.cfg.Watermark); later(w, high) {
		high = w
	}
	since := high
	if at.begun != "" && later(high, at.begun) {
		since = at.begun
	}
	if !later(since, at.since) {
		since = at.since
	}
	seen := at.seen.above(p.earlier(since, p.cfg.Overlap))
	switch {
	case page.Next != "" && later(high, cmp.Or(at.high, begin)):
		return stand{since: at.since, begun: at.begun, high: high, seen: seen, due: at.due}
	case page.Next != "":
		return stand{since: at.since, begun: at.begun, high: high, link: page.Next, seen: seen, due: at.due}
	}
	if at.since == "" { // all was read, what has no watermark too
		at.due = p.client.link.now().Add(neverEvery).Unix()
	}
	return stand{since: since, seen: seen, due: at.due}
}

// untracked is where a poll goes on whose service was read to the end and gave no link to what changes from there: all is read again, as seldom as a set that
// is read as a whole.
func (p *Poll) untracked() stand {
	every := max(p.cfg.Every, wholeEvery)
	p.client.link.log.Warn("the service gives no delta link; the set is read as a whole, and what is removed is not told", "part", "odata", "poll", p.cfg.Name, "every", every.String())
	return stand{whole: true, due: p.client.link.now().Add(every).Unix()}
}

// highest is the highest watermark on a page.
func highest(page Page, watermark string) (high string) {
	for _, e := range page.Entities {
		if w := str(e.Values[watermark]); later(w, high) {
			high = w
		}
	}
	return high
}

// incoming makes a message of an entity. Its ID is the object's number, version and content, so that the same state is the same message
// however often it is read, and another content another one, though neither key nor version have changed. By a watermark, known tells that
// the last reading has seen it as it is.
func (p *Poll) incoming(of *edm.Struct, e Entity, at stand, now time.Time) (in message.Incoming, known bool, err error) {
	if e.Gone {
		e.Values = p.gone(of, e)
	}
	body, err := e.JSON()
	if err != nil {
		return message.Incoming{}, false, p.client.unread(err)
	}
	content, err := wire.ContentOf(body)
	if err != nil {
		return message.Incoming{}, false, p.client.unread(err)
	}
	key, version := cmp.Or(str(e.Values[p.cfg.Key]), e.ID, content), str(e.Values[p.cfg.Version])
	id, object := cmp.Or(version, e.ETag)+"/"+content, version
	unmarked := p.cfg.Watermark != "" && unchanged(str(e.Values[p.cfg.Watermark]))
	if p.cfg.Whole || at.whole || unmarked { // what was changed and changed back is told anew, after a restart the next day at the latest
		id += "/" + now.UTC().Format(time.DateOnly) + p.turns.turn(identity(of, e), id, now)
	}
	if place := cmp.Or(at.link, at.since); p.cfg.Delta && !at.whole && place != "" { // what the service says has changed is news, also where it was so before
		id += "~" + wire.Hash(place)
	}
	switch {
	case unmarked && version != "":
		object += "~" + strconv.FormatInt(now.UnixMicro(), 10)
	case p.cfg.Watermark != "" && !unmarked:
		var again string
		if again, object, known = p.look(of, e, at.seen, version, content, now); again != "" {
			id += "~" + again
		}
	}
	in = message.Incoming{
		Message: message.Message{
			ID: p.cfg.Kind + "/" + key + "@" + id, Source: p.cfg.Source, Kind: p.cfg.Kind, Version: 1,
			Key: key, Time: now, Body: body, Place: message.Place{Role: message.Event},
		},
		ObjectVersion: object, Mapping: p.cfg.Mapping, // of a state that the ERP shows now, its time is now, and tells how old it is
	}
	if f, ok := of.Field(p.cfg.Watermark); ok && f.Type == "Edm.DateTimeOffset" {
		if t, err := time.Parse(time.RFC3339Nano, version); err == nil {
			in.Time = t
		}
	}
	return in, known, nil
}

// gone is what is told of an entity that is not there any more: that, its address, and the fields by which the messages of its changes know it, as the
// service gives them or as its address has them.
func (p *Poll) gone(of *edm.Struct, e Entity) map[string]any {
	out := map[string]any{"@removed": true, "@id": e.ID}
	maps.Copy(out, of.KeyIn(p.set, e.ID))
	for _, name := range append(slices.Clone(of.Key), p.cfg.Key) {
		if v, has := e.Values[name]; has {
			out[name] = v
		}
	}
	return out
}

// later tells whether one watermark is above another.
func later(a, b string) bool {
	if a == "" || b == "" {
		return a != ""
	}
	c, err := message.CompareVersions(a, b)
	return err == nil && c > 0
}
