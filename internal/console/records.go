package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/mes"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// auditView is a page of the audit record.
type auditView struct {
	Actor, Action, Object, Outcome, Words, From, To string
	Actions                                         []access.Action
	Outcomes                                        []string
	Zone                                            string // of From and To
	Rows                                            []auditRow
	Found                                           *int64 // how many there are in all, where something was searched for
	Next                                            string
	Alerts                                          bool // the record's alerts alone
}

// auditRow is an entry with its object's page.
type auditRow struct {
	audit.Entry
	Lines   []line // of what it changed
	Address string // of the object; "" if it has no page

	Signed   *audit.Signature // nil: it is not
	Unsigned string           // why its signature is none
}

// auditRecord answers GET /console/audit.
func (c *Console) auditRecord(r *http.Request) (*page, error) {
	q, zone := r.URL.Query(), c.zone(r)
	v := auditView{
		Actor: strings.TrimSpace(q.Get("actor")), Action: q.Get("action"), Object: strings.TrimSpace(q.Get("object")), Outcome: q.Get("outcome"),
		Words: strings.TrimSpace(q.Get("q")), From: q.Get("from"), To: q.Get("to"),
		Actions: access.Actions(), Outcomes: []string{audit.Done, audit.Refused}, Zone: zone.String(),
	}
	f := audit.Filter{Person: v.Actor, Action: v.Action, Object: v.Object, Outcome: v.Outcome, Text: v.Words}
	var err1, err2 error
	f.Since, err1 = timeIn(v.From, zone)
	f.Until, err2 = timeIn(v.To, zone)
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	v.From, v.To = stampOf(f.Since, zone), stampOf(f.Until, zone)
	return c.recordPage(r, v, f, "audit", "Audit")
}

// alerts answers GET /console/alerts: what Holdfast itself has told of.
func (c *Console) alerts(r *http.Request) (*page, error) {
	return c.recordPage(r, auditView{Alerts: true}, audit.Filter{Actor: "holdfast"}, "alerts", "Alerts")
}

func (c *Console) recordPage(r *http.Request, v auditView, f audit.Filter, path, title string) (*page, error) {
	whole := f == audit.Filter{} || v.Alerts
	f.Before, _ = strconv.ParseInt(r.URL.Query().Get("after"), 10, 64) // what is no number begins at the newest
	f.Limit = perPage
	var list []audit.Entry
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		if whole {
			list, err = audit.List(r.Context(), tx, f)
			return err
		}
		v.Found = new(int64)
		list, *v.Found, err = audit.Search(r.Context(), tx, f)
		return err
	})
	for _, e := range list {
		row := auditRow{Entry: e, Address: objectAddress(e.Object)}
		if len(e.Before) > 0 || len(e.After) > 0 {
			row.Lines = changed(e)
		}
		if signature, wrong := e.Signed(); wrong != nil {
			row.Unsigned = c.told(r, wrong).Why
		} else {
			row.Signed = signature
		}
		v.Rows = append(v.Rows, row)
	}
	if len(list) == perPage {
		u := url.Values{"after": {strconv.FormatInt(list[perPage-1].Seq, 10)}}
		for name, value := range map[string]string{
			"actor": v.Actor, "action": v.Action, "object": v.Object, "outcome": v.Outcome, "q": v.Words, "from": v.From, "to": v.To,
		} {
			if value != "" {
				u.Set(name, value)
			}
		}
		v.Next = Root + path + "?" + u.Encode()
	}
	return &page{name: path, Title: title, Section: title, Live: f.Before == 0 && f.Text == "", Body: v}, err
}

// changed are the lines of an entry that differ.
func changed(e audit.Entry) []line {
	if len(e.Before) == 0 {
		return cut(plain(pretty(e.After)))
	}
	lines := diff(pretty(e.Before), pretty(e.After))
	return cut(slices.DeleteFunc(lines, func(l line) bool { return l.Sign == "" }))
}

// cut leaves as much of a change as a list shows.
func cut(lines []line) []line {
	if len(lines) > 40 {
		return append(lines[:40:40], line{Text: "…"})
	}
	return lines
}

// objectAddress is the page of what was acted upon.
func objectAddress(object string) string {
	for prefix, path := range map[string]string{"message/": "messages/", "order/": "shopfloor/", "inbound/": "quarantine/"} {
		if id, ok := cutPrefix(object, prefix); ok {
			return Root + path + url.PathEscape(id)
		}
	}
	return ""
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return "", false
}

// keysView are the keys that nodes sign with.
type keysView struct {
	Signs bool
	Rows  []keyRow
}

// keyRow is one key.
type keyRow struct {
	ID, Node, State, Tone, Why string
	Made, Until                time.Time
	Left                       time.Duration // of signing without the keyring
}

// keys answers GET /console/keys.
func (c *Console) keys(r *http.Request) (*page, error) {
	v := keysView{Signs: c.cfg.Trust != nil}
	var list []seal.Archived
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		list, err = seal.Archive(r.Context(), tx)
		return err
	})
	now, newest := c.DB.Now(), map[string]time.Time{}
	for _, a := range list {
		if a.Made.After(newest[a.Node]) {
			newest[a.Node] = a.Made
		}
	}
	for _, a := range list {
		k := keyRow{ID: string(a.Key), Node: a.Node, State: "replaced", Tone: "neutral", Why: a.Reason, Made: a.Made, Until: a.Chain[0].NotAfter}
		switch {
		case !a.Revoked.IsZero():
			k.State, k.Tone = "revoked", "negative"
		case now.After(k.Until):
			k.State = "ended"
		case !a.Retired.IsZero():
			k.State, k.Tone = "to be replaced", "critical"
		case a.Made.Equal(newest[a.Node]):
			k.State, k.Tone, k.Left = "in use", "positive", k.Until.Sub(now)
		}
		v.Rows = append(v.Rows, k)
	}
	slices.SortFunc(v.Rows, func(a, b keyRow) int { return b.Made.Compare(a.Made) })
	v.Rows = v.Rows[:min(len(v.Rows), perPage)]
	return &page{name: "keys", Title: "Keys", Section: "Keys", Live: true, Body: v}, err
}

// conflictView is an order or a lot with the notes that say what does not fit.
type conflictView struct {
	mes.Conflicted
	Notes []mes.Note
}

// conflicts answers GET /console/conflicts.
func (c *Console) conflicts(r *http.Request) (*page, error) {
	v, err := c.conflictViews(r.Context())
	return &page{name: "conflicts", Title: "Conflicts", Section: "Conflicts", Live: true, Body: v}, err
}

func (c *Console) conflictViews(ctx context.Context) (out []conflictView, err error) {
	err = c.view(ctx, func(tx *store.Tx) error {
		list, err := c.Plant.Conflicts(ctx, tx, perPage)
		if err != nil {
			return err
		}
		for _, k := range list {
			v := conflictView{Conflicted: k}
			if k.Sort == "order" {
				o, err := c.Plant.Order(ctx, tx, k.ID)
				if err != nil {
					return err
				}
				v.Notes = o.Notes
			} else {
				l, err := c.Plant.Lot(ctx, tx, k.ID)
				if err != nil {
					return err
				}
				v.Notes = l.Notes
			}
			out = append(out, v)
		}
		return nil
	})
	return out, err
}

// dismiss answers POST /console/conflicts/dismiss.
func (c *Console) dismiss(r *http.Request) (*page, error) {
	sort, id := r.PostFormValue("sort"), r.PostFormValue("id")
	err := c.act(r, deed{access.ConflictDismiss, sort + "/" + id, ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		k, err := c.Plant.DismissConflict(ctx, tx, sort, id)
		return change{before: k}, err
	})
	if err != nil {
		v, again := c.conflictViews(r.Context())
		return c.again(r, &page{name: "conflicts", Title: "Conflicts", Section: "Conflicts", Body: v}, errOr(err, again))
	}
	return &page{to: Root + "conflicts?did=dismiss"}, nil
}
