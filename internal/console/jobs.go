package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// mostNewer is how far the messages are counted that came after a job was frozen.
const mostNewer = 10_000

// jobRow is a job as lists show it.
type jobRow struct {
	job.Job
	Tone string
	Ends string // when it ends at its rate, in words; "" if it does not run
}

// Done is how many of its messages have their outcome.
func (r jobRow) Done() int { return r.Counts.Total - r.Counts.Waiting - r.Counts.Released }

// First is how many messages go first.
func (r jobRow) First() string { return count(int64(r.Canary), "message", "messages") }

// All is how many messages it is about.
func (r jobRow) All() string { return count(int64(r.Counts.Total), "message is", "messages are") }

// Can tells whether an act fits the state of the job.
func (r jobRow) Can(act string) bool {
	fits := map[string][]job.State{
		"start": {job.Planned}, "approve": {job.Approval}, "pause": {job.Running}, "resume": {job.Paused},
		"cancel": {job.Planned, job.Approval, job.Running, job.Paused}, "rate": {job.Planned, job.Approval, job.Running, job.Paused},
	}
	return slices.Contains(fits[act], r.State)
}

func jobRowOf(b job.Job) jobRow {
	tones := map[job.State]string{job.Running: "informative", job.Paused: "critical", job.Approval: "critical", job.Done: "positive"}
	r := jobRow{Job: b, Tone: tones[b.State]}
	if r.Tone == "" {
		r.Tone = "neutral"
	}
	if b.Counts.Failed > 0 && b.State.Ended() {
		r.Tone = "negative"
	}
	if b.State == job.Running && b.Rate > 0 {
		r.Ends = length(time.Duration(b.Counts.Waiting/b.Rate+1) * time.Second)
	}
	return r
}

// jobsView are the jobs, and the changes of messages that wait for approval as some jobs do.
type jobsView struct {
	Rows   []jobRow
	Wishes []outbox.Wish
}

// jobs answers GET /console/jobs.
func (c *Console) jobs(r *http.Request) (*page, error) {
	var v jobsView
	err := c.view(r.Context(), func(tx *store.Tx) error {
		list, err := c.Jobs.List(r.Context(), tx, perPage)
		if err != nil {
			return err
		}
		for _, b := range list {
			v.Rows = append(v.Rows, jobRowOf(b))
		}
		v.Wishes, err = c.Outbox.Wishes(r.Context(), tx)
		return err
	})
	return &page{name: "jobs", Title: "Jobs", Section: "Jobs", Live: true, Body: v}, err
}

// jobView is one job with a page of its messages.
type jobView struct {
	jobRow
	Choice string // which messages it is about, in words
	Newer  int    // that came after it was frozen
	Items  []itemRow
	States []tab
	Next   string
	Env    string
}

// itemRow is a message of a job with the number of the order that its lane is of; "" if it is of none.
type itemRow struct {
	job.Item
	Order string
}

// itemRows adds the numbers of orders to messages of a job.
func (c *Console) itemRows(ctx context.Context, tx *store.Tx, items []job.Item) ([]itemRow, error) {
	numbers, out := map[string]string{}, make([]itemRow, 0, len(items))
	for _, i := range items {
		if _, known := numbers[i.Lane]; !known {
			o, err := c.Plant.Order(ctx, tx, i.Lane)
			if err != nil && problem.KindOf(err) != problem.NotFound {
				return nil, err
			}
			numbers[i.Lane] = o.Number
		}
		out = append(out, itemRow{i, numbers[i.Lane]})
	}
	return out, nil
}

// itemStates are the lists of a job's messages.
func itemStates() []choice {
	return []choice{{"", "All"}, {"failed", "Failed"}, {"waiting", "Not touched"}, {"released", "On their way"}, {"delivered", "Delivered"}, {"had", "The ERP had"}, {"skipped", "Skipped"}}
}

// job answers GET /console/jobs/{id}.
func (c *Console) job(r *http.Request) (*page, error) {
	q := r.URL.Query()
	v, err := c.jobView(r.Context(), r.PathValue("id"), q.Get("state"), q.Get("after"))
	if err != nil {
		return nil, err
	}
	return jobPage(v), nil
}

func jobPage(v jobView) *page {
	return &page{name: "job", Title: "Replay of " + count(int64(v.Counts.Total), "message", "messages"), Section: "Jobs", Live: true, Body: v}
}

func (c *Console) jobView(ctx context.Context, id, state, after string) (v jobView, err error) {
	from, _ := strconv.ParseInt(after, 10, 64) // what is no number begins at the first
	err = c.view(ctx, func(tx *store.Tx) error {
		b, err := c.Jobs.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		v = jobView{jobRow: jobRowOf(b), Choice: chosenWords(b), Env: c.cfg.Name}
		if b.State == job.Planned || b.State == job.Approval {
			if v.Newer, err = c.Jobs.Newer(ctx, tx, b, mostNewer); err != nil {
				return err
			}
		}
		items, err := c.Jobs.Items(ctx, tx, id, state, from, perPage)
		if err == nil {
			v.Items, err = c.itemRows(ctx, tx, items)
		}
		return err
	})
	address := func(state, after string) string {
		u := url.Values{}
		for name, value := range map[string]string{"state": state, "after": after} {
			if value != "" {
				u.Set(name, value)
			}
		}
		return strings.TrimSuffix(Root+"jobs/"+url.PathEscape(id)+"?"+u.Encode(), "?")
	}
	for _, s := range itemStates() {
		v.States = append(v.States, tab{s, address(s.Value, ""), s.Value == state})
	}
	if len(v.Items) == perPage {
		v.Next = address(state, strconv.FormatInt(v.Items[perPage-1].Seq, 10))
	}
	return v, err
}

// chosenWords says which messages a job is about.
func chosenWords(b job.Job) string {
	c := b.Choice
	says := []string{"what was delivered"}
	if c.Failed {
		says[0] = "what stands still"
	}
	if len(c.IDs) > 0 {
		says[0] = "single messages"
	}
	for _, p := range []choice{{c.Link, "over link "}, {c.Lane, "in lane "}, {c.Kind, "of kind "}, {c.Why, "because of: "}, {c.Group, "because of: "}} {
		if p.Value != "" {
			says = append(says, p.Name+p.Value)
		}
	}
	if b.Force {
		says = append(says, "without asking the ERP first")
	}
	return strings.Join(says, ", ")
}

// planJob answers POST /console/jobs/plan: it freezes a group of messages, and sends nothing.
func (c *Console) planJob(r *http.Request) (*page, error) {
	failed := r.PostFormValue("failed") != ""
	request := job.Request{Choice: outbox.Choice{Link: r.PostFormValue("link"), Kind: r.PostFormValue("kind"), Failed: failed, Group: r.PostFormValue("why")}}
	id := ""
	err := c.act(r, deed{access.JobPlan, "job/new", request.Choice.Link}, func(ctx context.Context, tx *store.Tx) (change, error) {
		b, err := c.Jobs.Plan(ctx, tx, request, actorOf(ctx).Name)
		id = b.ID
		return change{object: access.JobObject(b.ID), after: map[string]any{"job": b.ID, "messages": b.Counts.Total, "choice": b.Choice}}, err
	})
	if err != nil {
		return nil, err
	}
	if id == "" { // the form was sent twice
		return &page{to: Root + "jobs"}, nil
	}
	return &page{to: Root + "jobs/" + id}, nil
}

// actOnJob answers POST /console/jobs/{id}/{act}.
func (c *Console) actOnJob(r *http.Request) (*page, error) {
	id := r.PathValue("id")
	type jobAct struct {
		action string
		do     func(ctx context.Context, tx *store.Tx, by, reason string) (job.Job, error)
	}
	a, err := choose(map[string]jobAct{
		"start": {access.JobStart, func(ctx context.Context, tx *store.Tx, by, reason string) (job.Job, error) {
			n, err := number(r, "expect", "type how many messages it is about")
			if err != nil {
				return job.Job{}, err
			}
			return c.Jobs.Start(ctx, tx, id, by, reason, n)
		}},
		"approve": {access.JobApprove, func(ctx context.Context, tx *store.Tx, by, _ string) (job.Job, error) {
			return c.Jobs.Approve(ctx, tx, id, by)
		}},
		"pause": {access.JobPause, func(ctx context.Context, tx *store.Tx, by, reason string) (job.Job, error) {
			return c.Jobs.Pause(ctx, tx, id, by, reason)
		}},
		"resume": {access.JobResume, func(ctx context.Context, tx *store.Tx, _, _ string) (job.Job, error) {
			return c.Jobs.Resume(ctx, tx, id)
		}},
		"cancel": {access.JobCancel, func(ctx context.Context, tx *store.Tx, _, _ string) (job.Job, error) {
			return c.Jobs.Cancel(ctx, tx, id)
		}},
		"rate": {access.JobRate, func(ctx context.Context, tx *store.Tx, _, _ string) (job.Job, error) {
			n, err := number(r, "rate", "write how many messages a second")
			if err != nil {
				return job.Job{}, err
			}
			return c.Jobs.SetRate(ctx, tx, id, n)
		}},
	}, r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	err = c.act(r, deed{a.action, access.JobObject(id), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := c.Jobs.Get(ctx, tx, id)
		if err != nil {
			return change{}, err
		}
		after, err := a.do(ctx, tx, actorOf(ctx).Name, strings.TrimSpace(r.PostFormValue("reason")))
		return change{before: recordedJob(before), after: recordedJob(after)}, err
	})
	if err == nil {
		return &page{to: Root + "jobs/" + url.PathEscape(id) + "?did=" + r.PathValue("act") + "-job"}, nil
	}
	v, again := c.jobView(r.Context(), id, "", "")
	return c.again(r, jobPage(v), errOr(err, again))
}

// number reads a field of a form that must be a number.
func number(r *http.Request, field, hint string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(r.PostFormValue(field)))
	if err != nil {
		return 0, &problem.Error{Kind: problem.Invalid, What: "read " + field, Why: fmt.Sprintf("%q is no number", r.PostFormValue(field)), Hint: hint}
	}
	return n, nil
}

// recordedJob is a job as the audit record keeps it.
func recordedJob(b job.Job) map[string]any {
	return map[string]any{"job": b.ID, "state": b.State, "rate": b.Rate, "messages": b.Counts, "why": b.Why}
}
