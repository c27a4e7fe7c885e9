package console

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

const (
	// perPage is how many rows a list has: a browser swaps so many in a quarter of a second.
	perPage = 100
	// perRead is how many rows of a download are in memory at a time.
	perRead = 1000
	// perReadLimit is how long a browser may take for them.
	perReadLimit = time.Minute
)

// query is what a list of messages shows; its address says all of it.
type query struct {
	State, Link, Kind, Reason, Words string
	From, To                         string
	Cursor                           string
	from, to                         time.Time
}

// states are the lists of messages.
func states() []choice {
	return []choice{{"stuck", "Stand still"}, {"owed", "Queued"}, {"delivered", "Delivered"}, {"refused", "Refused later"}, {doubtful, "Held as doubtful"}, {"all", "All"}}
}

// doubtful is the list of what waits for a person because its report is doubtful.
const doubtful = "doubtful"

// choice is one value of a field.
type choice struct{ Value, Name string }

// messagesView is the list of messages.
type messagesView struct {
	Query    query
	States   []tab
	Groups   []groupRow
	Notes    []outbox.GroupNote // of the group that is shown
	GroupsAt time.Time
	Rows     []messageRow
	Next     string // address of the next page
	CSV      string // address of the same list as a file; "" for who may not take it out
	First    string // address of the first page, where this is another
	Links    []Link
	Kinds    []string
	Zone     string
	Meant    string // what the words were understood as
}

// tab is one list that can be chosen.
type tab struct {
	choice
	Address string
	Here    bool
}

// groupRow is a group with the address of its list.
type groupRow struct {
	outbox.Group
	Address string
}

// messageRow is a message in the list.
type messageRow struct {
	outbox.Found
	State, Tone, Why string
	Order            string // number of the order that it is about
}

// queryOf reads the address of a list.
func (c *Console) queryOf(r *http.Request) (query, error) {
	v := r.URL.Query()
	q := query{
		State: cmp.Or(v.Get("state"), "stuck"), Link: v.Get("link"), Kind: v.Get("kind"), Reason: v.Get("reason"), Words: strings.TrimSpace(v.Get("q")),
		From: v.Get("from"), To: v.Get("to"), Cursor: v.Get("after"),
	}
	if !slices.ContainsFunc(states(), func(s choice) bool { return s.Value == q.State }) {
		return q, &problem.Error{Kind: problem.Invalid, What: "list messages", Why: "there is no list " + q.State, Hint: "choose one of the tabs"}
	}
	var err1, err2 error
	q.from, err1 = timeIn(q.From, c.zone(r))
	q.to, err2 = timeIn(q.To, c.zone(r))
	q.From, q.To = stampOf(q.from, c.zone(r)), stampOf(q.to, c.zone(r)) // so that the address means the same to whoever is given it
	return q, cmp.Or(err1, err2)
}

// timeIn reads a time of a form: with an offset, or in the zone that the page is written in.
func timeIn(text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, form := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &problem.Error{Kind: problem.Invalid, What: "read the time " + text, Why: "it is not a time", Hint: "write 2026-11-24 06:00, or with an offset 2026-11-24T06:00:00+01:00"}
}

// address is the list's own, with some of it changed.
func (q query) address(path string, change func(*query)) string {
	change(&q)
	v := url.Values{}
	for _, f := range []choice{
		{"state", q.State}, {"link", q.Link}, {"kind", q.Kind}, {"reason", q.Reason}, {"q", q.Words}, {"from", q.From}, {"to", q.To}, {"after", q.Cursor},
	} {
		if f.Name != "" {
			v.Set(f.Value, f.Name)
		}
	}
	return Root + path + "?" + v.Encode()
}

// messages answers GET /console/messages.
func (c *Console) messages(r *http.Request) (*page, error) {
	q, err := c.queryOf(r)
	if err != nil {
		return nil, err
	}
	if v := r.URL.Query(); v.Get("from") != q.From || v.Get("to") != q.To {
		return &page{to: q.address("messages", func(*query) {})}, nil
	}
	v := messagesView{Query: q, Links: c.cfg.Links, Zone: c.zone(r).String()}
	var groups []outbox.Group
	if groups, v.GroupsAt, err = c.board.groups.get(r.Context()); err != nil {
		return nil, err
	}
	for _, g := range groups[:min(len(groups), 50)] {
		v.Groups = append(v.Groups, groupRow{g, q.address("messages", func(q *query) { *q = query{State: "stuck", Link: g.Link, Reason: g.Reason} })})
	}
	kinds, _, err := c.board.kinds.get(r.Context())
	if err != nil {
		return nil, err
	}
	for _, k := range kinds {
		v.Kinds = append(v.Kinds, k.Kind)
	}
	if q.Kind != "" {
		v.Kinds = append(v.Kinds, q.Kind)
	}
	slices.Sort(v.Kinds)
	v.Kinds = slices.Compact(v.Kinds)
	var next string
	if v.Rows, next, v.Meant, err = c.find(r.Context(), q, perPage); err != nil {
		return nil, err
	}
	if err := c.groupNotes(r.Context(), &v); err != nil {
		return nil, err
	}
	v.link(q, next, c.Doubts != nil)
	if c.Doer.Permit(actorOf(r.Context()), access.MsgExport, "") == nil {
		v.CSV = q.address("messages.csv", func(q *query) { q.Cursor = "" })
	}
	return &page{name: "messages", Title: "Messages", Section: "Messages", Live: q.Cursor == "", Body: v}, nil
}

// groupNotes reads what people wrote about the group that a list shows.
func (c *Console) groupNotes(ctx context.Context, v *messagesView) error {
	if v.Query.Reason == "" || v.Query.Link == "" {
		return nil
	}
	return c.view(ctx, func(tx *store.Tx) (err error) {
		v.Notes, err = c.Outbox.GroupNotes(ctx, tx, v.Query.Link, v.Query.Reason)
		return err
	})
}

// noteGroup answers POST /console/messages/note: it writes a note to a group.
func (c *Console) noteGroup(r *http.Request) (*page, error) {
	link, why := r.PostFormValue("link"), r.PostFormValue("why")
	err := c.act(r, deed{access.MsgNote, "link/" + link, link}, func(ctx context.Context, tx *store.Tx) (change, error) {
		text := strings.TrimSpace(r.PostFormValue("reason"))
		if n := utf8.RuneCountInString(text); n < access.LeastReason || n > access.MostReason {
			return change{}, &problem.Error{
				Kind: problem.Invalid, What: "write a note", Why: fmt.Sprintf("it needs %d to %d characters", access.LeastReason, access.MostReason), Hint: "say what the next shift should know",
			}
		}
		return change{after: map[string]any{"group": outbox.Alike(why)}}, c.Outbox.NoteGroup(ctx, tx, link, why, actorOf(ctx).Name, text)
	})
	if err != nil {
		return nil, err
	}
	return &page{to: Root + "messages?" + url.Values{"state": {"stuck"}, "link": {link}, "reason": {outbox.Alike(why)}, "did": {"note"}}.Encode()}, nil
}

// link fills in the addresses of a list. The one of doubtful messages is shown where there can be some.
func (v *messagesView) link(q query, next string, judged bool) {
	for _, s := range states() {
		if s.Value == doubtful && !judged {
			continue
		}
		address := q.address("messages", func(q *query) { q.State, q.Cursor, q.Reason = s.Value, "", "" })
		v.States = append(v.States, tab{s, address, s.Value == q.State})
	}
	if next != "" {
		v.Next = q.address("messages", func(q *query) { q.Cursor = next })
	}
	if q.Cursor != "" {
		v.First = q.address("messages", func(q *query) { q.Cursor = "" })
	}
}

// find reads one page of a list. meant is what the words were understood as.
func (c *Console) find(ctx context.Context, q query, limit int) (rows []messageRow, next, meant string, err error) {
	err = c.view(ctx, func(tx *store.Tx) error {
		var found []outbox.Found
		s := outbox.Search{}
		var terms []outbox.Either
		switch joined := strings.Contains(" "+q.Words, " NOT ") || strings.Contains(q.Words, " AND "); {
		case joined:
			terms, meant, err = c.understandAll(ctx, tx, q)
		case q.Words != "":
			s, meant, err = c.understand(ctx, tx, q)
		}
		if err != nil {
			return err
		}
		if q.State == "stuck" && len(s.Lanes)+len(s.IDs) == 0 {
			f := outbox.StuckFilter{Link: q.Link, Kind: q.Kind, Group: outbox.Alike(q.Reason), All: terms, From: q.from, To: q.to, Limit: limit}
			if q.Words != "" && terms == nil {
				f.Like, meant = "%"+outbox.Pattern(q.Words)+"%", "a word of the reason"
			}
			found, next, err = c.Outbox.Stuck(ctx, tx, f, q.Cursor)
		} else {
			s.All = terms
			s.Link, s.Kind, s.From, s.To, s.Limit = q.Link, q.Kind, q.from, q.to, limit
			s.Owed, s.Settled, s.Refused, s.Held = slices.Contains([]string{"owed", "stuck", doubtful}, q.State), q.State == "delivered", q.State == "refused", q.State == doubtful
			found, next, err = c.Outbox.Search(ctx, tx, s, q.Cursor)
		}
		if err != nil {
			return err
		}
		if rows, err = c.rows(ctx, tx, found, q.State == "stuck"); err != nil || q.State != doubtful {
			return err
		}
		return c.doubtsOf(ctx, tx, rows)
	})
	return rows, next, meant, err
}

// rows says of each message what a person sees in the list; only those at which a lane stands still, if asked.
func (c *Console) rows(ctx context.Context, tx *store.Tx, found []outbox.Found, heads bool) ([]messageRow, error) {
	numbers := map[string]string{}
	out := make([]messageRow, 0, len(found))
	for _, f := range found {
		if heads && (!f.Head() || f.LaneState.State != outbox.Parked && f.LaneState.State != outbox.Unknown) {
			continue
		}
		m := messageRow{Found: f}
		m.State, m.Tone, m.Why = stand(f)
		if _, known := numbers[f.Key]; !known {
			o, err := c.Plant.Order(ctx, tx, f.Key)
			if err != nil && problem.KindOf(err) != problem.NotFound {
				return nil, err
			}
			numbers[f.Key] = o.Number
		}
		m.Order = numbers[f.Key]
		out = append(out, m)
	}
	return out, nil
}

// stand is where a message stands: a word, its tone, and why.
func stand(f outbox.Found) (state, tone, why string) {
	l := f.LaneState
	switch {
	case f.Role == "void":
		return "voided", "neutral", ""
	case f.Refused != "":
		return "refused", "negative", f.Refused
	case !f.SettledAt.IsZero():
		return "delivered", "positive", ""
	case f.Head() && l.State == outbox.Parked:
		return "parked", "negative", l.Reason
	case f.Head() && l.State == outbox.Unknown:
		return "unknown", "critical", l.Reason
	case f.Head() && l.State == outbox.Waiting:
		return "waiting", "informative", "for the ERP's number of " + l.Awaits
	case l.Paused:
		return "paused", "critical", l.Reason
	case f.Head() && l.InHand != "":
		return "sending", "informative", ""
	case f.Behind() && (l.State == outbox.Parked || l.State == outbox.Unknown):
		return "blocked", "critical", fmt.Sprintf("behind message %d of its lane", l.Head)
	case f.Head() && l.Reason != "":
		return "queued", "informative", l.Reason
	default:
		return "queued", "informative", ""
	}
}

// messagesCSV answers GET /console/messages.csv: the same rows as the list, all pages of it.
func (c *Console) messagesCSV(r *http.Request) (*page, error) {
	q, err := c.queryOf(r)
	if err != nil {
		return nil, err
	}
	if err := c.taken(r, q); err != nil {
		return nil, err
	}
	return &page{stream: func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="messages.csv"`)
		conn := http.NewResponseController(w)
		return c.writeCSV(r.Context(), csv.NewWriter(w), q, c.zone(r), func() {
			_ = conn.SetWriteDeadline(time.Now().Add(perReadLimit)) // where there is no connection, there is no deadline
		})
	}}, nil
}

// Listed calls each with the ID of every message that a list shows, in its order, all pages of it. The address is that of the list, as a browser
// has it; a time without its offset is in the plant's zone. Errors: Invalid for an address that is none of a list.
func (c *Console) Listed(ctx context.Context, address string, each func(id string) error) error {
	u, err := url.Parse(address)
	if err != nil || strings.TrimSuffix(u.Path, ".csv") != Root+"messages" {
		return &problem.Error{Kind: problem.Invalid, What: "list what " + address + " shows", Why: "it is no address of a list of messages", Hint: "copy it from the browser: it has " + Root + "messages in it"}
	}
	q, err := c.queryOf(&http.Request{URL: u})
	for more := err == nil; more && err == nil; more = q.Cursor != "" {
		var rows []messageRow
		if rows, q.Cursor, _, err = c.find(ctx, q, perRead); err != nil {
			break
		}
		for _, m := range rows {
			if err = each(m.ID); err != nil {
				break
			}
		}
	}
	return err
}

// writeCSV writes all that q finds, however much it is: a file that ended early would be taken for the whole. It calls each before it reads on.
func (c *Console) writeCSV(ctx context.Context, w *csv.Writer, q query, zone *time.Location, each func()) error {
	err := w.Write([]string{"id", "state", "link", "lane", "number", "kind", "order", "document", "created", "settled", "why"})
	for more := true; more && err == nil; more = q.Cursor != "" {
		each()
		rows, next, _, ferr := c.find(ctx, q, perRead)
		if ferr != nil {
			return ferr
		}
		for _, m := range rows {
			err = w.Write(cells(
				m.ID, m.State, m.Link, m.Lane, strconv.FormatInt(m.Number, 10), m.Kind, m.Order, m.Document,
				stampOf(m.CreatedAt, zone), stampOf(m.SettledAt, zone), m.Why))
		}
		q.Cursor = next
	}
	w.Flush()
	return cmp.Or(err, w.Error())
}

// cells are a row that no spreadsheet takes for formulas.
func cells(row ...string) []string {
	for i, s := range row {
		if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
			row[i] = "'" + s
		}
	}
	return row
}

func stampOf(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.RFC3339)
}
