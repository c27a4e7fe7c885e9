package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// quarantineView is what came in and could not be taken.
type quarantineView struct {
	Tab      string
	Tabs     []tab
	Messages []inbox.Message
	Rejected []inbox.Rejected
	Lanes    []inbox.Lane
	Status   inbox.Status
	Next     string
}

// quarantine answers GET /console/quarantine.
func (c *Console) quarantine(r *http.Request) (*page, error) {
	ctx, q := r.Context(), r.URL.Query()
	v := quarantineView{Tab: q.Get("tab")}
	if v.Tab == "" {
		v.Tab = "quarantined"
	}
	for _, t := range []choice{{"quarantined", "In quarantine"}, {"waiting", "Waiting lanes"}, {"rejected", "Not believed"}, {"taken", "Taken"}} {
		v.Tabs = append(v.Tabs, tab{t, Root + "quarantine?tab=" + t.Value, t.Value == v.Tab})
	}
	next := ""
	err := c.view(ctx, func(tx *store.Tx) (err error) {
		if v.Status, err = c.Inbox.Status(ctx, tx); err != nil {
			return err
		}
		before, _ := strconv.ParseInt(q.Get("after"), 10, 64) // what is no number begins at the newest
		switch v.Tab {
		case "quarantined", "taken":
			f := inbox.Filter{Before: before, Limit: perPage}
			if v.Tab == "quarantined" {
				f.State = inbox.Quarantined
			}
			if v.Messages, err = c.Inbox.Messages(ctx, tx, f); len(v.Messages) == perPage {
				next = strconv.FormatInt(v.Messages[perPage-1].Seq, 10)
			}
		case "waiting":
			if v.Lanes, err = c.Inbox.Lanes(ctx, tx, "", q.Get("after"), perPage); len(v.Lanes) == perPage {
				next = v.Lanes[perPage-1].Cursor()
			}
		case "rejected":
			if v.Rejected, err = c.Inbox.RejectedMessages(ctx, tx, before, perPage); len(v.Rejected) == perPage {
				next = strconv.FormatInt(v.Rejected[perPage-1].Seq, 10)
			}
		default:
			return noPage()
		}
		return err
	})
	if next != "" {
		v.Next = Root + "quarantine?" + url.Values{"tab": {v.Tab}, "after": {next}}.Encode()
	}
	return &page{name: "quarantine", Title: "Quarantine", Section: "Quarantine", Live: true, Body: v}, err
}

// inboundView is one message that came in.
type inboundView struct {
	inbox.Message
	Lines    []line
	Came     []line // as it came, where a person has changed it; the lines of the body are then against it
	Draft    string
	Repairs  bool
	TooLarge int64
}

// inbound answers GET /console/quarantine/{number}.
func (c *Console) inbound(r *http.Request) (*page, error) {
	v, err := c.inboundView(r.Context(), r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	return inboundPage(v), nil
}

func inboundPage(v inboundView) *page {
	return &page{name: "inbound", Title: fmt.Sprintf("Inbound message %d", v.Seq), Section: "Quarantine", Live: true, Body: v}
}

func (c *Console) inboundView(ctx context.Context, number string) (v inboundView, err error) {
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return v, noPage()
	}
	err = c.view(ctx, func(tx *store.Tx) (err error) {
		v.Message, err = c.Inbox.Message(ctx, tx, seq)
		return err
	})
	if err != nil {
		return v, err
	}
	v.Draft, v.Repairs = pretty(message.Shown(v.Body, v.Large)), v.State == inbox.Quarantined
	v.Lines, v.TooLarge = c.shownBody(v.Body, v.Large)
	if len(v.Original) > 0 || v.OriginalLarge != nil {
		came := pretty(message.Shown(v.Original, v.OriginalLarge))
		v.Came, v.Lines = plain(came), diff(came, v.Draft)
	}
	return v, nil
}

// actOnInbound answers POST /console/quarantine/{n}/{act}.
func (c *Console) actOnInbound(r *http.Request) (*page, error) {
	number, reason := r.PathValue("n"), r.PostFormValue("reason")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil || strconv.FormatInt(seq, 10) != number { // one name for one message: who corrected 1 must not release 01
		return nil, noPage()
	}
	type inboundAct struct {
		action string
		do     func(ctx context.Context, tx *store.Tx) error
	}
	a, err := choose(map[string]inboundAct{
		"replay":  {access.QuarantineReplay, func(ctx context.Context, tx *store.Tx) error { return c.Inbox.Replay(ctx, tx, seq) }},
		"discard": {access.QuarantineDiscard, func(ctx context.Context, tx *store.Tx) error { return c.Inbox.Discard(ctx, tx, seq, reason) }},
		"amend": {access.QuarantineAmend, func(ctx context.Context, tx *store.Tx) error {
			body := r.PostFormValue("body")
			if err := CheckJSON("correct the message", []byte(body)); err != nil {
				return err
			}
			return c.Inbox.Edit(ctx, tx, seq, compact(body))
		}},
	}, r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	err = c.act(r, deed{a.action, access.InboundObject(seq), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := c.Inbox.Message(ctx, tx, seq)
		if err == nil && r.PathValue("act") == "amend" && r.PostFormValue("version") != versionOf(before) {
			err = errInboundChanged(before)
		}
		if err == nil {
			err = c.Doer.Permit(actorOf(r.Context()), a.action, before.Link)
		}
		if err == nil {
			err = a.do(ctx, tx)
		}
		if err != nil {
			return change{}, err
		}
		after, err := c.Inbox.Message(ctx, tx, seq)
		return change{before: recordedInbound(before), after: recordedInbound(after)}, err
	})
	c.board.forget()
	if err == nil {
		return &page{to: Root + "quarantine/" + number + "?did=" + r.PathValue("act") + "-inbound"}, nil
	}
	v, again := c.inboundView(r.Context(), number)
	if r.PathValue("act") == "amend" {
		v.Draft = r.PostFormValue("body")
	}
	return c.again(r, inboundPage(v), errOr(err, again))
}

// versionOf tells two bodies of an inbound message apart.
func versionOf(m inbox.Message) string { return fmt.Sprintf("%x", m.Checksum()) }

// Version is what a form says that it has read.
func (v inboundView) Version() string { return versionOf(v.Message) }

func errInboundChanged(m inbox.Message) error {
	return &problem.Error{
		Kind: problem.Conflict, What: fmt.Sprintf("correct inbound message %d", m.Seq), Why: "somebody else has changed it since you opened it",
		Hint: "your text is still in the form: compare it with what stands above, and save again",
	}
}

// recordedInbound is a message that came in as the audit record keeps it.
func recordedInbound(m inbox.Message) map[string]any {
	return map[string]any{"number": m.Seq, "source": m.Source, "id": m.ID, "kind": m.Kind, "state": m.State, "why": m.Reason, "body": versionOf(m)}
}

// skipInbound answers POST /console/inbound-gaps/skip.
func (c *Console) skipInbound(r *http.Request) (*page, error) {
	source, lane := r.PostFormValue("source"), r.PostFormValue("lane")
	number, err := strconv.ParseInt(r.PostFormValue("number"), 10, 64)
	if err != nil {
		return nil, noPage()
	}
	err = c.act(r, deed{access.InboxSkip, "inbound-lane/" + source + "/" + lane, ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		return change{after: map[string]any{"source": source, "lane": lane, "skipped": number}}, c.Inbox.Skip(ctx, tx, source, lane, number)
	})
	c.board.forget()
	if err != nil {
		return nil, err
	}
	return &page{to: Root + "quarantine?tab=waiting&did=skip-inbound"}, nil
}
