package main

import (
	"encoding/json"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// messageView is a message as --json prints it.
type messageView struct {
	ID        string          `json:"id"`
	Event     string          `json:"event"`
	Kind      string          `json:"kind"`
	Link      string          `json:"link"`
	Lane      string          `json:"lane"`
	Number    int64           `json:"number"`
	State     string          `json:"state"`
	Attempts  int             `json:"attempts"`
	Document  string          `json:"document,omitempty"` // the ERP's number
	CreatedAt time.Time       `json:"created_at"`
	SettledAt *time.Time      `json:"settled_at,omitempty"`
	Digest    string          `json:"digest"`
	SentWith  string          `json:"sent_with,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	History   []happened      `json:"history,omitempty"`
}

type happened struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Detail string    `json:"detail,omitempty"`
}

// stateOf is where a message stands, in one word.
func stateOf(d outbox.Detail) string {
	switch {
	case d.Role == message.Void:
		return "voided"
	case !d.Settled:
		return "queued"
	default:
		return "delivered"
	}
}

func messageViewOf(d outbox.Detail, whole bool) messageView {
	v := messageView{
		ID: d.ID, Event: d.Event, Kind: d.Kind, Link: d.Link, Lane: d.Lane, Number: d.Number, State: stateOf(d), Attempts: d.Attempts,
		Document: d.Receipt.Document, CreatedAt: d.CreatedAt, Digest: d.Digest, SentWith: d.SentWith,
	}
	if !d.SettledAt.IsZero() {
		v.SettledAt = &d.SettledAt
	}
	if whole {
		v.Body = d.Body
		for _, h := range d.History {
			v.History = append(v.History, happened{h.At, h.What, h.Detail})
		}
	}
	return v
}

// laneView is a lane as --json prints it.
type laneView struct {
	Link     string     `json:"link"`
	Lane     string     `json:"lane"`
	State    string     `json:"state"`
	Paused   bool       `json:"paused"`
	Owed     int64      `json:"owed"`
	Head     int64      `json:"next"`
	OldestAt *time.Time `json:"oldest_at,omitempty"`
	Awaits   string     `json:"awaits,omitempty"`
	Reason   string     `json:"why,omitempty"`
}

func laneViews(lanes []outbox.Lane) []laneView {
	out := make([]laneView, 0, len(lanes))
	for _, l := range lanes {
		v := laneView{Link: l.Link, Lane: l.Name, State: string(l.State), Paused: l.Paused, Owed: l.Owed, Head: l.Head, Awaits: l.Awaits, Reason: l.Reason}
		if !l.OldestAt.IsZero() {
			v.OldestAt = &l.OldestAt
		}
		out = append(out, v)
	}
	return out
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
	if whole && json.Valid(m.Body) {
		v.Body = m.Body
	}
	return v
}
