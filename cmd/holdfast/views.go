package main

import (
	"context"
	"encoding/json"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// messageView is a message as --json prints it.
type messageView struct {
	ID        string          `json:"id"`
	Event     string          `json:"event"`
	Kind      string          `json:"kind"`
	Link      string          `json:"link"`
	Lane      string          `json:"lane"`
	Order     string          `json:"order,omitempty"` // number of the order that it is about, in lists
	Number    int64           `json:"number"`
	State     string          `json:"state"`
	Why       string          `json:"why,omitempty"`    // of the message that its lane stands still for
	Replay    int             `json:"replay"`           // how often a person has had it delivered again
	Forced    bool            `json:"forced,omitempty"` // and it goes out without a question
	Sends     int             `json:"sends"`
	Attempts  int             `json:"attempts"`           // that count against it
	Document  string          `json:"document,omitempty"` // the ERP's number
	Asked     bool            `json:"found_by_asking,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	NotBefore *time.Time      `json:"not_before,omitempty"`
	ExpiresAt *time.Time      `json:"expires_at,omitempty"`
	SettledAt *time.Time      `json:"settled_at,omitempty"`
	Digest    string          `json:"digest"`
	SentWith  string          `json:"sent_with,omitempty"`
	Mapping   string          `json:"mapping,omitempty"`
	TriedBy   string          `json:"tried_by_edition,omitempty"` // of the mappings, where its lane stands still at it
	Receipt   *receiptView    `json:"receipt,omitempty"`
	LaneNow   *laneView       `json:"lane_now,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	History   []happened      `json:"history,omitempty"`
}

type receiptView struct {
	Document string    `json:"document,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Status   int       `json:"status,omitempty"`
	At       time.Time `json:"at"`
	Answer   string    `json:"answer,omitempty"` // the ERP's own words
	Signed   string    `json:"signed,omitempty"` // by the ERP, a JWS
}

type happened struct {
	At     time.Time       `json:"at"`
	What   string          `json:"what"`
	Detail string          `json:"detail,omitempty"`
	Body   json.RawMessage `json:"body_before,omitempty"` // what it was before a person changed it, or it expired
	Wanted json.RawMessage `json:"body_wanted,omitempty"` // what somebody has asked that it become
	Digest string          `json:"digest_before,omitempty"`
}

// isHead tells whether a message is the one that its lane stands at.
func isHead(d outbox.Detail) bool { return !d.Settled && d.LaneState.At(d.Place) }

// stateOf is where a message stands, in one word.
func stateOf(d outbox.Detail) string {
	l := d.LaneState
	switch {
	case d.Role == message.Void:
		return "voided"
	case d.Refused != "":
		return "refused"
	case d.Settled:
		return "delivered"
	case isHead(d) && l.State != outbox.Open:
		return string(l.State)
	case l.Paused:
		return "paused"
	case isHead(d) && l.InHand != "":
		return "sending"
	case l.Before(d.Place) && (l.State == outbox.Parked || l.State == outbox.Unknown):
		return "blocked" // as the console says it
	default:
		return "queued"
	}
}

// had tells whether a replay found that the ERP still has the message, so that nothing was sent.
func had(d outbox.Detail) bool {
	return d.Settled && d.Redelivery > 0 && d.Receipt.Asked && d.Sends == 0
}

// stateCell is stateOf in a list, where a replayed message stands once for each time.
func stateCell(d outbox.Detail) string {
	switch {
	case had(d):
		return "ERP had it"
	case d.Redelivery > 0:
		return stateOf(d) + " (replay)"
	default:
		return stateOf(d)
	}
}

// whyOf is the reason for which the lane of a message stands still at it, or what the ERP said against it.
func whyOf(d outbox.Detail) string {
	if d.Refused != "" {
		return d.Refused
	}
	if isHead(d) || !d.Settled && d.LaneState.Paused {
		return d.LaneState.Reason
	}
	return ""
}

func messageViewOf(d outbox.Detail, whole bool) messageView {
	v := messageView{
		ID: d.ID, Event: d.Event, Kind: d.Kind, Link: d.Link, Lane: d.Lane, Number: d.Number, State: stateOf(d), Why: whyOf(d),
		Replay: d.Redelivery, Forced: d.Replay == outbox.Forced, Sends: d.Sends, Attempts: d.Attempts, Document: d.Receipt.Document,
		Asked: d.Receipt.Asked, CreatedAt: d.CreatedAt, NotBefore: some(d.NotBefore), ExpiresAt: some(d.ExpiresAt), SettledAt: some(d.SettledAt),
		Digest: d.Digest, SentWith: d.SentWith, Mapping: d.Mapping, TriedBy: d.TriedBy(),
	}
	if !whole {
		return v
	}
	v.Body = message.Shown(d.Body, d.Large)
	lane := laneViewOf(d.LaneState)
	v.LaneNow = &lane
	if r := d.Receipt; !r.At.IsZero() {
		v.Receipt = &receiptView{Document: r.Document, Kind: r.Kind, Status: r.Status, At: r.At, Answer: string(r.Answer), Signed: r.Signed}
	}
	for _, h := range d.History {
		was := happened{At: h.At, What: h.What, Detail: h.Detail, Body: message.Shown(h.Body, h.Large), Digest: h.Digest}
		if h.What == outbox.Asked {
			was.Body, was.Wanted = nil, was.Body
		}
		v.History = append(v.History, was)
	}
	return v
}

// some is a time that JSON leaves out if there is none.
func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// laneView is a lane as --json prints it.
type laneView struct {
	Link     string     `json:"link"`
	Lane     string     `json:"lane"`
	Order    string     `json:"order,omitempty"` // number of the order that it is of, in lists
	State    string     `json:"state"`
	Paused   bool       `json:"paused"`
	Owed     int64      `json:"owed"`
	Head     int64      `json:"next"`
	OldestAt *time.Time `json:"oldest_at,omitempty"`
	Awaits   string     `json:"awaits,omitempty"`
	Reason   string     `json:"why,omitempty"`
}

func laneViews(lanes []outbox.Lane, orders map[string]string) []laneView {
	out := make([]laneView, 0, len(lanes))
	for _, l := range lanes {
		v := laneViewOf(l)
		v.Order = orders[l.Name]
		out = append(out, v)
	}
	return out
}

// orders are the numbers of the orders that keys of messages, or names of lanes, are of: what the shop floor and the ERP call them.
func (r *records) orders(ctx context.Context, tx *store.Tx, keys []string) (map[string]string, error) {
	numbers := map[string]string{}
	for _, key := range keys {
		if _, known := numbers[key]; known {
			continue
		}
		o, err := r.plant.Order(ctx, tx, key)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return nil, err
		}
		numbers[key] = o.Number
	}
	return numbers, nil
}

func laneViewOf(l outbox.Lane) laneView {
	return laneView{
		Link: l.Link, Lane: l.Name, State: string(l.State), Paused: l.Paused, Owed: l.Owed, Head: l.Head, OldestAt: some(l.OldestAt),
		Awaits: l.Awaits, Reason: l.Reason,
	}
}

// inboundView is an inbound message as --json prints it.
type inboundView struct {
	Number     int64           `json:"number"`
	Source     string          `json:"source"`
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`
	Key        string          `json:"key"`
	State      string          `json:"state"`
	Reason     string          `json:"why,omitempty"`
	Hint       string          `json:"hint,omitempty"`
	ReceivedAt time.Time       `json:"received_at"`
	Body       json.RawMessage `json:"body,omitempty"`
}

func inboundViewOf(m inbox.Message, whole bool) inboundView {
	v := inboundView{
		Number: m.Seq, Source: m.Source, ID: m.ID, Kind: m.Kind, Key: m.Key, State: string(m.State), Reason: m.Reason, Hint: m.Hint, ReceivedAt: m.ReceivedAt,
	}
	if text := message.Shown(m.Body, m.Large); whole && json.Valid(text) {
		v.Body = text
	}
	return v
}
