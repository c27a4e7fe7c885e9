package rest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// PollConfig is one read operation that gives what has changed since an earlier answer. The pointers to single values are
// relative to an item.
type PollConfig struct {
	Name      string            `yaml:"name"`                // of the cursor; must not change
	Operation string            `yaml:"operation"`           // a GET
	Params    map[string]string `yaml:"params,omitempty"`    // sent as they are
	Every     time.Duration     `yaml:"every,omitempty"`     // how often, when nothing changes; 5 s
	Since     string            `yaml:"since"`               // the parameter that takes the change token
	Token     string            `yaml:"token"`               // JSON pointer, in the answer, to the token for the next call
	Page      string            `yaml:"page,omitempty"`      // the parameter that takes the cursor of the next page
	NextPage  string            `yaml:"next_page,omitempty"` // JSON pointer, in the answer, to that cursor; there only if more follows
	Items     string            `yaml:"items"`               // JSON pointer, in the answer, to the list

	Source  string `yaml:"source"`  // CloudEvents source of what comes: the ERP, a URI-reference
	Kind    string `yaml:"kind"`    // CloudEvents type
	Mapping string `yaml:"mapping"` // turns an item into an event of the plant
	Key     string `yaml:"key"`     // JSON pointer to the object's number
	// Version is the JSON pointer to what tells one state of the object from the next and orders them: a version or change time.
	// Without it the state is told by its content and not ordered, and Time is required: without both, a state that comes back is
	// taken for the one that was read before.
	Version string `yaml:"version,omitempty"`
	Time    string `yaml:"time,omitempty"` // JSON pointer to when it changed, RFC 3339; the time of the call without it
	// Remember is of how many objects it is known in which state they were read last, so that another state of the same version is another
	// message; 10,000.
	Remember int `yaml:"remember,omitempty"`

	// These are for an ERP that numbers and signs what it sends: JSON pointers to what it claims.
	Digest     string `yaml:"digest,omitempty"`
	Lane       string `yaml:"lane,omitempty"`
	LaneNumber string `yaml:"lane_number,omitempty"`
}

// Poll is one source of what comes in.
type Poll struct {
	link *Link
	op   *operation
	cfg  PollConfig
}

const (
	defaultEvery = 5 * time.Second
	mostPages    = 100 // empty ones in a row, in one call
)

// newPolls holds the polls of the configuration against the contract.
func (l *Link) newPolls() ([]*Poll, error) {
	var out []*Poll
	names := map[string]bool{}
	for i, c := range l.cfg.Polls {
		key := fmt.Sprintf("polls[%d]", i)
		if names[c.Name] || c.Name == "" {
			return nil, wrong(key+".name", "it is missing or used twice", "each poll keeps its place under its name")
		}
		names[c.Name] = true
		if err := l.checkPoll(key, c); err != nil {
			return nil, err
		}
		c.Every, c.Remember = cmp.Or(c.Every, defaultEvery), cmp.Or(c.Remember, defaultRemember)
		op, _ := l.doc.Operation(c.Operation)
		out = append(out, &Poll{link: l, op: l.operation(op), cfg: c})
	}
	return out, nil
}

func (l *Link) checkPoll(key string, c PollConfig) error {
	params := map[string]string{}
	maps.Copy(params, c.Params)
	for _, name := range []string{c.Since, c.Page} {
		if name != "" {
			params[name] = ""
		}
	}
	if err := l.checkRead(key, c.Operation, params); err != nil {
		return err
	}
	for name, v := range map[string]string{"source": c.Source, "kind": c.Kind, "mapping": c.Mapping, "key": c.Key} {
		if v == "" {
			return wrong(key+"."+name, "it is missing", "give it")
		}
	}
	for name, ptr := range map[string]string{
		"token": c.Token, "next_page": c.NextPage, "items": c.Items, "key": c.Key, "version": c.Version, "time": c.Time,
		"digest": c.Digest, "lane": c.Lane, "lane_number": c.LaneNumber,
	} {
		if !isPointer(ptr) {
			return wrong(key+"."+name, "it is no JSON pointer", "for example /items")
		}
	}
	if c.Remember < 0 || c.Remember > mostRemember {
		return wrong(key+".remember", fmt.Sprintf("it is not from 1 to %d", mostRemember), "give how many objects the operation can give; each takes some hundred bytes of the cursor, which is written with each change")
	}
	if c.Version == "" && c.Time == "" {
		return wrong(key+".version", "neither version nor time is given",
			"give the JSON pointer to one of them: an object that is changed and changed back would seem never to have changed back")
	}
	if (c.Since == "") != (c.Token == "") || (c.Page == "") != (c.NextPage == "") {
		return wrong(key, "since and token, and page and next_page, go together", "give both or neither")
	}
	return nil
}

// Name is the poll's name in the configuration; its cursor is kept under it.
func (p *Poll) Name() string { return p.cfg.Name }

// Every is how long to wait after an answer that brought nothing new.
func (p *Poll) Every() time.Duration { return p.cfg.Every }

// place is where the poll stands between two calls.
type place struct {
	since, page string
	forgotten   string // not "" if there were more objects than are remembered
	seen        sights
	news        bool // something was read that was certainly not seen before; no part of the cursor
}

func readPlace(cursor string) (place, error) {
	where, seen, _ := strings.Cut(cursor, "#")
	v, err := url.ParseQuery(where)
	at := place{v.Get("since"), v.Get("page"), v.Get("forgotten"), sights{}, false}
	if err == nil && seen != "" {
		err = json.Unmarshal([]byte(seen), &at.seen)
	}
	if err != nil {
		return place{}, &problem.Error{
			Kind: problem.Invalid, What: "place of a poll", Why: "the stored cursor is not one of ours",
			Hint: "delete it; everything is then read again, and known states are passed over", Cause: err,
		}
	}
	return at, nil
}

func (p place) String() string {
	v := url.Values{}
	for name, s := range map[string]string{"since": p.since, "page": p.page, "forgotten": p.forgotten} {
		if s != "" {
			v.Set(name, s)
		}
	}
	return v.Encode() + p.seen.suffix()
}

// Ended tells whether a place that Poll gave ends the reading of everything, where the ERP has no token to go on by: the next call begins anew.
func (p *Poll) Ended(cursor string) bool {
	at, err := readPlace(cursor)
	return err == nil && p.cfg.Token == "" && at.page == ""
}

// Poll reads what has changed since cursor, "" for everything, and gives where to go on. Store next in the transaction that
// accepts the batch: then nothing is lost, and what comes twice has the same ID twice. While a batch is not empty and next is
// not the old cursor there may be more, and the next call need not wait.
//
// The answer as a whole must be what the contract promises, else there is an error and the place stays. An item that alone
// breaks the contract is handed on, for quarantine: it holds up no other.
func (p *Poll) Poll(ctx context.Context, cursor string) (batch []message.Incoming, next string, err error) {
	at, err := readPlace(cursor)
	if err != nil {
		return nil, cursor, err
	}
	begun := at
	for range mostPages {
		if batch, at, err = p.page(ctx, at); err != nil {
			return nil, cursor, err
		}
		if len(batch) > 0 || at.page == "" {
			break
		}
	}
	if at.since == begun.since && at.page == begun.page && at.forgotten == begun.forgotten && !at.news {
		return batch, cursor, nil // what more there is than is remembered would have another cursor each time
	}
	return batch, at.String(), nil
}

// page reads one page.
func (p *Poll) page(ctx context.Context, at place) ([]message.Incoming, place, error) {
	params := map[string]string{}
	maps.Copy(params, p.cfg.Params)
	if at.since != "" && p.cfg.Since != "" {
		params[p.cfg.Since] = at.since
	}
	if at.page != "" && p.cfg.Page != "" {
		params[p.cfg.Page] = at.page
	}
	what := "poll " + p.cfg.Name + " by " + p.op.ID
	req, wrong := p.link.place(p.op, params, nil, nil)
	if len(wrong) > 0 {
		e := violated(what, wrong)
		e.Hint = "correct polls in the configuration of the link, or delete the poll's cursor"
		return nil, at, e
	}
	a, err := p.link.read(ctx, p.op, req)
	if err != nil {
		return nil, at, err
	}
	if p.link.unproven(a) != nil {
		return []message.Incoming{p.unbelieved(a)}, at, nil
	}
	if a.Status/100 != 2 {
		return nil, at, p.link.said(p.op, what, a)
	}
	return p.take(what, a, at)
}

// take judges an answer and makes messages of its items.
func (p *Poll) take(what string, a wire.Answer, at place) ([]message.Incoming, place, error) {
	body, wrong := p.op.CheckResponse(a.Status, a.Header, a.Body)
	for _, v := range wrong {
		if v.In != "body" || !strings.HasPrefix(v.Pointer, p.cfg.Items+"/") {
			e := violated(what, wrong)
			e.Hint = "correct the contract, or the ERP; the poll stays where it is"
			return nil, at, e
		}
	}
	if len(wrong) > 0 {
		p.link.log.Warn("an item that the ERP gave breaks the contract", "part", "rest", "operation", p.op.ID, "err", violated(what, wrong).Why)
	}
	list, _ := contract.Lookup(body, p.cfg.Items)
	items, isList := list.([]any)
	raw, err := rawItems(a.Body, p.cfg.Items)
	if !isList || err != nil || len(raw) != len(items) {
		return nil, at, &problem.Error{
			Kind: problem.Unavailable, What: what, Why: "the answer has no list at " + p.cfg.Items, Hint: "correct items of the poll", Cause: err,
		}
	}
	next, err := p.next(what, body, at)
	if err != nil {
		return nil, at, err
	}
	batch := make([]message.Incoming, len(items))
	for i, item := range items {
		batch[i] = p.incoming(item, raw[i], &at, a.At)
		batch[i].Proof = a.Proof
	}
	forgotten := false
	next.news = at.news
	if next.seen, forgotten = at.seen.kept(p.cfg.Remember); forgotten && next.forgotten == "" {
		next.forgotten = "some"
		p.link.log.Warn("a poll reads more objects than it remembers: one that comes back to an earlier state of the same version may be taken for known; raise remember",
			"part", "rest", "poll", p.cfg.Name, "remember", p.cfg.Remember)
	}
	return batch, next, nil
}

// next is where the answer says to go on: on its next page, or with its token.
func (p *Poll) next(what string, body any, at place) (place, error) {
	if p.cfg.NextPage != "" {
		if page, ok := text(body, p.cfg.NextPage); ok {
			return place{since: at.since, page: page, forgotten: at.forgotten, seen: at.seen}, nil
		}
	}
	if p.cfg.Token == "" {
		return place{forgotten: at.forgotten, seen: at.seen}, nil
	}
	token, ok := text(body, p.cfg.Token)
	if !ok {
		return at, &problem.Error{
			Kind: problem.Unavailable, What: what, Why: "the answer has no change token at " + p.cfg.Token, Hint: "correct token of the poll",
		}
	}
	return place{since: token, forgotten: at.forgotten, seen: at.seen}, nil
}

// incoming makes a message of an item. Its ID is the object's number and version, so that the same state is the same message
// however often it is read; where the item has none, the content stands in for what is missing. Another content under the version that it
// was seen in before is another state, and comes after it; of messages that the ERP itself numbers, it is for the inbox to judge.
func (p *Poll) incoming(item any, raw []byte, at *place, now time.Time) message.Incoming {
	sum := sha256.Sum256(raw)
	content := "sha256:" + hex.EncodeToString(sum[:])
	key, ok := text(item, p.cfg.Key)
	if !ok {
		key = content
	}
	version, state := "", content
	if p.cfg.Version != "" {
		if v, ok := text(item, p.cfg.Version); ok {
			version, state = v, v
		}
	}
	in := message.Incoming{
		Message: message.Message{
			ID: p.cfg.Kind + "/" + key + "@" + state, Source: p.cfg.Source, Kind: p.cfg.Kind, Version: 1, Key: key,
			Time: now, Body: raw, Place: message.Place{Role: message.Event},
		},
		ObjectVersion: version, Mapping: p.cfg.Mapping, Undated: true,
	}
	if s, ok := optional(item, p.cfg.Time); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			in.Time, in.Undated = t, false
		}
	}
	in.Claimed, _ = optional(item, p.cfg.Digest)
	if in.Number = p.number(item); in.Number != 0 {
		in.Lane, _ = optional(item, p.cfg.Lane)
		return in
	}
	if sum, err := wire.ContentOf(raw); version != "" && err == nil {
		again, object, news := at.seen.look(key, version, sum, at.forgotten != "", now)
		at.news = at.news || news
		if in.ObjectVersion = object; again != "" {
			in.ID += "~" + again
		}
	}
	return in
}

// unreadable is a number that the inbox takes from nobody: the message is kept as rejected.
const unreadable = -1

// number is the place in its lane that an item claims; 0 if it claims none. One that is no number from 1 on is unreadable: without it
// the message would be taken for one that need not wait for those before it, and its number would be missing.
func (p *Poll) number(item any) int64 {
	if p.cfg.LaneNumber == "" {
		return 0
	}
	if v, there := contract.Lookup(item, p.cfg.LaneNumber); !there || v == nil {
		return 0
	}
	s, _ := text(item, p.cfg.LaneNumber)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return unreadable
	}
	return n
}

func optional(item any, ptr string) (string, bool) {
	if ptr == "" {
		return "", false
	}
	return text(item, ptr)
}

// rawItems gives the items of an answer byte for byte.
func rawItems(body []byte, ptr string) ([]json.RawMessage, error) {
	at := json.RawMessage(body)
	if ptr != "" {
		for tok := range strings.SplitSeq(ptr[1:], "/") {
			var m map[string]json.RawMessage
			if err := json.Unmarshal(at, &m); err != nil {
				return nil, fmt.Errorf("read the answer at %s: %w", ptr, err)
			}
			at = m[unescape(tok)]
		}
	}
	var items []json.RawMessage
	if err := json.Unmarshal(at, &items); err != nil {
		return nil, fmt.Errorf("read the list at %s: %w", ptr, err)
	}
	return items, nil
}
