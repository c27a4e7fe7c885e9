package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// lanesView is the list of lanes that owe something or stand still.
type lanesView struct {
	Link, State string
	States      []tab
	Links       []Link
	Rows        []laneRow
	Next        string
}

// laneRow is a lane with the number of its order and the message that it stands at.
type laneRow struct {
	outbox.Lane
	Word, Tone string
	Order      string
	Head       string // ID of the message that it stands at; "" if it goes on
	Address    string
}

// laneStates are the lists of lanes.
func laneStates() []choice {
	return []choice{{"stuck", "Wait for a person"}, {"waiting", "Wait for a number"}, {"paused", "Paused"}, {"all", "All that owe"}}
}

// lanes answers GET /console/lanes.
func (c *Console) lanes(r *http.Request) (*page, error) {
	q := r.URL.Query()
	v := lanesView{Link: q.Get("link"), State: q.Get("state"), Links: c.cfg.Links}
	if v.State == "" {
		v.State = "stuck"
	}
	f := outbox.LaneFilter{Link: v.Link, Limit: perPage}
	switch v.State {
	case "stuck":
		f.Stuck = true
	case "waiting":
		f.State = outbox.Waiting
	case "paused":
		f.Paused = true
	case "all":
	default:
		return nil, &problem.Error{Kind: problem.Invalid, What: "list lanes", Why: "there is no list " + v.State, Hint: "choose one of the tabs"}
	}
	address := func(state, after string) string {
		u := url.Values{"state": {state}}
		for name, value := range map[string]string{"link": v.Link, "after": after} {
			if value != "" {
				u.Set(name, value)
			}
		}
		return Root + "lanes?" + u.Encode()
	}
	for _, s := range laneStates() {
		v.States = append(v.States, tab{s, address(s.Value, ""), s.Value == v.State})
	}
	var next string
	err := c.view(r.Context(), func(tx *store.Tx) error {
		list, more, err := c.Outbox.Lanes(r.Context(), tx, f, q.Get("after"))
		if err != nil {
			return err
		}
		next = more
		v.Rows, err = c.laneRows(r.Context(), tx, list)
		return err
	})
	if next != "" {
		v.Next = address(v.State, next)
	}
	return &page{name: "lanes", Title: "Lanes", Section: "Lanes", Live: true, Body: v}, err
}

func (c *Console) laneRows(ctx context.Context, tx *store.Tx, list []outbox.Lane) ([]laneRow, error) {
	out := make([]laneRow, 0, len(list))
	for _, l := range list {
		row := laneRow{Lane: l, Address: laneAddress(l.Link, l.Name)}
		row.Word, row.Tone = laneWord(l)
		o, err := c.Plant.Order(ctx, tx, l.Name)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return nil, err
		}
		row.Order = o.Number
		if l.Owed > 0 && l.State != outbox.Open {
			head, err := c.headOf(ctx, tx, l.Link, l.Name)
			if err != nil {
				return nil, err
			}
			if head != nil {
				row.Head = head.ID
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// Blocks is how many messages wait behind the one that the lane stands at.
func (l laneRow) Blocks() int64 { return max(0, l.Owed-1) }

// laneAddress is the page of a lane, whose name may have any character.
func laneAddress(link, lane string) string {
	return Root + "lane?" + url.Values{"link": {link}, "lane": {lane}}.Encode()
}

// laneWord is the state of a lane in one word.
func laneWord(l outbox.Lane) (word, tone string) {
	switch {
	case l.Paused:
		return "paused", "critical"
	case l.State == outbox.Parked:
		return "parked", "negative"
	case l.State == outbox.Unknown:
		return "unknown", "critical"
	case l.State == outbox.Waiting:
		return "waiting", "informative"
	case l.Owed == 0:
		return "done", "positive"
	default:
		return "open", "positive"
	}
}

// laneView is one lane: what it stands at, what is blocked by that, and whether it is whole.
type laneView struct {
	laneRow
	Rows  []messageRow
	Next  string
	Proof *proof
}

// lane answers GET /console/lane?link=…&lane=…, with &prove=now after it has checked the whole lane.
func (c *Console) lane(r *http.Request) (*page, error) {
	q := r.URL.Query()
	v, err := c.laneView(r.Context(), q.Get("link"), q.Get("lane"), q.Get("after"))
	if err != nil {
		return nil, err
	}
	if q.Get("prove") != "" {
		p, err := c.proveLane(r.Context(), v.Link, v.Name)
		if err != nil {
			return nil, err
		}
		v.Proof = &p
	}
	return lanePage(v), nil
}

func lanePage(v laneView) *page {
	title := "Lane " + v.Name
	if v.Order != "" {
		title = "Lane of order " + v.Order
	}
	return &page{name: "lane", Title: title, Section: "Lanes", Live: v.Proof == nil, Body: v}
}

func (c *Console) laneView(ctx context.Context, link, lane, after string) (v laneView, err error) {
	err = c.view(ctx, func(tx *store.Tx) error {
		l, err := c.Outbox.Lane(ctx, tx, link, lane)
		if err != nil {
			return err
		}
		rows, err := c.laneRows(ctx, tx, []outbox.Lane{l})
		if err != nil {
			return err
		}
		v.laneRow = rows[0]
		found, next, err := c.Outbox.Search(ctx, tx, outbox.Search{Link: link, Lanes: []string{lane}, Limit: perPage}, after)
		if err != nil {
			return err
		}
		if next != "" {
			v.Next = v.Address + "&after=" + url.QueryEscape(next)
		}
		v.Rows, err = c.rows(ctx, tx, found, false)
		return err
	})
	return v, err
}

// actOnLane answers POST /console/lane/{act}.
func (c *Console) actOnLane(r *http.Request) (*page, error) {
	link, lane, reason := r.PostFormValue("link"), r.PostFormValue("lane"), r.PostFormValue("reason")
	var replayed int64 // how many messages are sent once more
	type laneAct struct {
		action string
		do     func(ctx context.Context, tx *store.Tx) error
	}
	a, err := choose(map[string]laneAct{
		"pause":  {access.LanePause, func(ctx context.Context, tx *store.Tx) error { return c.Outbox.PauseLane(ctx, tx, link, lane, reason) }},
		"resume": {access.LaneResume, func(ctx context.Context, tx *store.Tx) error { return c.Outbox.Resume(ctx, tx, link, lane, reason) }},
		"replay": {access.MsgReplay, func(ctx context.Context, tx *store.Tx) (err error) {
			replayed, err = c.replayLane(ctx, tx, r, link, lane)
			return err
		}},
	}, r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	err = c.act(r, deed{a.action, "lane/" + link + "/" + lane, link}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := c.Outbox.Lane(ctx, tx, link, lane)
		if err == nil {
			err = a.do(ctx, tx)
		}
		if err != nil {
			return change{}, err
		}
		after, err := c.Outbox.Lane(ctx, tx, link, lane)
		record := recordedLane(after)
		if a.action == access.MsgReplay {
			record["messages"] = replayed
		}
		return change{before: recordedLane(before), after: record}, err
	})
	c.board.forget()
	if err == nil {
		return &page{to: laneAddress(link, lane) + "&did=" + r.PathValue("act") + "-lane"}, nil
	}
	v, again := c.laneView(r.Context(), link, lane, "")
	return c.again(r, lanePage(v), errOr(err, again))
}

// replayLane has a range of delivered messages delivered again.
func (c *Console) replayLane(ctx context.Context, tx *store.Tx, r *http.Request, link, lane string) (int64, error) {
	from, err1 := strconv.ParseInt(r.PostFormValue("from"), 10, 64)
	to, err2 := strconv.ParseInt(r.PostFormValue("to"), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, &problem.Error{Kind: problem.Invalid, What: "replay messages of the lane", Why: "from and to must be numbers of messages", Hint: fmt.Sprintf("write 1 and %d, or the like", max(to, 1))}
	}
	var epoch int64 // the newest
	if text := r.PostFormValue("epoch"); text != "" {
		var err error
		if epoch, err = strconv.ParseInt(text, 10, 64); err != nil || epoch < 1 {
			return 0, &problem.Error{Kind: problem.Invalid, What: "replay messages of the lane", Why: "the epoch must be a number", Hint: "write 1, or the like"}
		}
	}
	return c.Jobs.Replay(ctx, tx, actorOf(ctx).Name, link, lane, outbox.Range{Epoch: epoch, From: from, To: to}, r.PostFormValue("reason"))
}

// recordedLane is a lane as the audit record keeps it.
func recordedLane(l outbox.Lane) map[string]any {
	return map[string]any{"link": l.Link, "lane": l.Name, "state": l.State, "paused": l.Paused, "reason": l.Reason, "head": l.Head, "owed": l.Owed}
}
