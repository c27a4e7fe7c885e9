package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// mostComparisons is how many comparisons the page lists.
const mostComparisons = 20

// compared is what a comparison of plant and ERP has found, as `holdfast reconcile` leaves it in the audit record.
type compared struct {
	From        time.Time    `json:"from"`
	To          time.Time    `json:"to"`
	Messages    int          `json:"messages"`
	Agree       int          `json:"agree"`
	Unasked     int          `json:"could_not_be_asked"`
	UnaskedWhy  string       `json:"could_not_be_asked_why"`
	Orders      int          `json:"orders"`
	NotRead     string       `json:"not_read"` // what the link reads none of, in words
	Differences []difference `json:"differences"`
}

// difference is one thing that plant and ERP do not agree upon.
type difference struct {
	What    string `json:"what"`
	Object  string `json:"object"`
	Plant   string `json:"plant"`
	ERP     string `json:"erp"`
	Cause   string `json:"likely_cause"`
	Message string `json:"message"`
	Repair  string `json:"repair"`

	Confirmation string `json:"confirmation"` // to be reported anew
	Document     string `json:"document"`     // what the ERP has booked it as
	ReadAgain    bool   `json:"read_again"`   // what the ERP has to say is to be read again
}

// lost is what a difference is called that sending a message again repairs.
const lost = "lost"

// comparison is one entry of the record.
type comparison struct {
	compared
	Seq     int64
	At      time.Time
	By      string
	Link    string
	Address string
	Here    bool
}

// Lost are the messages that the ERP has no more.
func (c comparison) Lost() (ids []string) {
	for _, d := range c.Differences {
		if d.What == lost && d.Message != "" {
			ids = append(ids, d.Message)
		}
	}
	return ids
}

// lacks is how many orders the plant does not have that may come when what the ERP has to say is read again.
func (c comparison) lacks() (n int) {
	for _, d := range c.Differences {
		if d.ReadAgain {
			n++
		}
	}
	return n
}

// reconcileView is the latest comparisons, and one of them in full.
type reconcileView struct {
	Rows  []comparison
	Shown *comparison
	More  int // differences that are not shown
	Gone  int // messages that can be sent again
	Lacks int // orders for which what the ERP has to say can be read again
}

// reconcile answers GET /console/reconcile, with ?of=N the comparison of that number of the audit record.
func (c *Console) reconcile(r *http.Request) (*page, error) {
	v, err := c.reconcileView(r.Context(), r.URL.Query().Get("of"))
	return reconcilePage(v), err
}

func reconcilePage(v reconcileView) *page {
	return &page{name: "reconcile", Title: "Reconcile", Section: "Reconcile", Live: true, Body: v}
}

func (c *Console) reconcileView(ctx context.Context, of string) (v reconcileView, err error) {
	if v.Rows, err = c.comparisons(ctx); err != nil {
		return v, err
	}
	for i := range v.Rows {
		row := &v.Rows[i]
		if row.Here = of == strconv.FormatInt(row.Seq, 10) || of == "" && i == 0; row.Here {
			v.Shown, v.Gone, v.Lacks = row, len(row.Lost()), row.lacks()
		}
	}
	if of != "" && v.Shown == nil {
		return v, errNoComparison(of)
	}
	if v.Shown != nil && len(v.Shown.Differences) > perPage {
		v.More = len(v.Shown.Differences) - perPage
		v.Shown.Differences = v.Shown.Differences[:perPage]
	}
	return v, nil
}

// comparisons are the latest ones, the latest first.
func (c *Console) comparisons(ctx context.Context) (out []comparison, err error) {
	var list []audit.Entry
	err = c.view(ctx, func(tx *store.Tx) (err error) {
		list, err = audit.List(ctx, tx, audit.Filter{Action: access.ReconcileRun, Limit: mostComparisons})
		return err
	})
	for _, e := range list {
		k := comparison{Seq: e.Seq, At: e.At, By: e.Actor, Address: fmt.Sprintf("%sreconcile?of=%d", Root, e.Seq)}
		k.Link, _ = cutPrefix(e.Object, "link/")
		if len(e.After) == 0 || json.Unmarshal(e.After, &k.compared) != nil {
			continue // it was refused, and has found nothing
		}
		out = append(out, k)
	}
	return out, err
}

// planRepair answers POST /console/reconcile/plan: it freezes what the ERP has lost by a comparison as a job, and sends nothing.
func (c *Console) planRepair(r *http.Request) (*page, error) {
	of := r.PostFormValue("of")
	v, err := c.reconcileView(r.Context(), of)
	if err != nil {
		return nil, err
	}
	k, err := c.comparison(r.Context(), of)
	if err != nil {
		return nil, err
	}
	ids, link, id := k.Lost(), k.Link, ""
	if len(ids) == 0 {
		err := &problem.Error{Kind: problem.Precondition, What: "send again what the ERP has lost", Why: "by this comparison it has lost nothing", Hint: "see what else differs, and what repairs it"}
		return c.again(r, reconcilePage(v), err)
	}
	err = c.act(r, deed{access.JobPlan, "job/new", link}, func(ctx context.Context, tx *store.Tx) (change, error) {
		b, err := c.Jobs.Plan(ctx, tx, job.Request{Choice: outbox.Choice{IDs: ids}, Some: true}, actorOf(ctx).Name)
		id = b.ID
		return change{object: access.JobObject(b.ID), after: map[string]any{"job": b.ID, "messages": b.Counts.Total, "comparison": of}}, err
	})
	if err != nil {
		return c.again(r, reconcilePage(v), err)
	}
	if id == "" { // the form was sent twice
		return &page{to: Root + "jobs"}, nil
	}
	return &page{to: Root + "jobs/" + id}, nil
}

// comparison is one of the latest in full, by its number in the audit record. NotFound if it is none of them.
func (c *Console) comparison(ctx context.Context, of string) (comparison, error) {
	all, err := c.comparisons(ctx)
	if err != nil {
		return comparison{}, err
	}
	for _, k := range all {
		if strconv.FormatInt(k.Seq, 10) == of {
			return k, nil
		}
	}
	return comparison{}, errNoComparison(of)
}

func errNoComparison(of string) error {
	return &problem.Error{Kind: problem.NotFound, What: "comparison " + of, Why: "it is not one of the latest", Hint: "choose one of the list, or see: holdfast audit list --action reconcile.run"}
}

// reportAnew answers POST /console/reconcile/anew: it takes a confirmation back that by a comparison the ERP has booked otherwise, and reports it anew.
func (c *Console) reportAnew(r *http.Request) (*page, error) {
	of, id := r.PostFormValue("of"), r.PostFormValue("confirmation")
	k, err := c.comparison(r.Context(), of)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(k.Differences, func(d difference) bool { return d.Confirmation == id && id != "" })
	if i < 0 {
		return nil, &problem.Error{Kind: problem.NotFound, What: "report confirmation " + id + " anew", Why: "this comparison does not say that the ERP has booked it otherwise", Hint: "choose one of the list"}
	}
	d := k.Differences[i]
	a := Anew{Link: k.Link, Message: d.Message, Confirmation: id, Document: d.Document}
	err = c.act(r, deed{access.ConfirmationReverse, access.ConfirmationObject(id), k.Link}, func(ctx context.Context, tx *store.Tx) (change, error) {
		events, err := a.Report(ctx, tx, c.Plant, c.Outbox, c.Jobs, reasonOf(r, access.ConfirmationReverse), actorOf(ctx).Name)
		return change{events: events, after: map[string]any{"message": d.Message, "document": d.Document, "reported_anew": events, "comparison": of}}, err
	})
	return c.repaired(r, of, "anew", err)
}

// readAgain answers POST /console/reconcile/read-again: what the ERP of a comparison's link has to say is read again from the beginning.
func (c *Console) readAgain(r *http.Request) (*page, error) {
	of := r.PostFormValue("of")
	k, err := c.comparison(r.Context(), of)
	if err != nil {
		return nil, err
	}
	err = c.act(r, deed{access.InboundReadAgain, "link/" + k.Link, k.Link}, func(ctx context.Context, tx *store.Tx) (change, error) {
		feeds, err := c.Inbox.ReadAgain(ctx, tx, k.Link)
		return change{after: map[string]any{"feeds": feeds, "comparison": of}}, err
	})
	return c.repaired(r, of, "read-again", err)
}

// repaired shows the comparison after a repair, or what has refused it.
func (c *Console) repaired(r *http.Request, of, did string, err error) (*page, error) {
	if err == nil {
		return &page{to: Root + "reconcile?of=" + url.QueryEscape(of) + "&did=" + did}, nil
	}
	v, missing := c.reconcileView(r.Context(), of)
	if missing != nil {
		return nil, missing
	}
	return c.again(r, reconcilePage(v), err)
}
