package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ReceiveInbound answers POST /v1/inbound-messages. The sender hears that its message was taken once that is committed. What cannot be
// believed or stored is kept as rejected, and its sender is told so.
func (s *Server) ReceiveInbound(ctx context.Context, r ReceiveInboundRequestObject) (ReceiveInboundResponseObject, error) {
	b := cmp.Or(r.JSONBody, r.ApplicationCloudeventsPlusJSONBody)
	c := call{access.InboundReceive, "inbound/" + b.Source + "/" + b.ID, "", r.Params.IdempotencyKey, b}
	link := cmp.Or(b.Link, s.cfg.Link)
	if err := s.permitLink(ctx, c.action, link, c.object); err != nil {
		return nil, err
	}
	proof := s.Inbox.Prove(ctx, hop(ctx), link)
	taken, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[inbox.Taken], error) {
		if err := s.cfg.serves(link, b); err != nil {
			return did[inbox.Taken]{}, err
		}
		in := incoming(*b, tx.Now, Traceparent(ctx))
		in.Proof = proof
		if err := s.decrypt(&in, b, link); err != nil {
			return did[inbox.Taken]{}, err
		}
		if err := named(ctx, tx, &in.Message, b); err != nil {
			return did[inbox.Taken]{}, err
		}
		taken, err := s.Inbox.Receive(ctx, tx, in, link)
		return did[inbox.Taken]{value: taken}, err
	})
	switch {
	case err != nil:
		return nil, err
	case taken.Rejected > 0:
		kind := problem.Invalid
		if taken.Problem == problem.TooLarge {
			kind = taken.Problem
		}
		return nil, &problem.Error{
			Kind: kind, What: "take message " + b.ID + " of " + b.Source, Why: taken.Reason,
			Hint: fmt.Sprintf("it takes no effect; it is kept as rejected message %d", taken.Rejected),
		}
	}
	return ReceiveInbound202JSONResponse(InboundReceipt{ID: b.ID, Source: b.Source, Fresh: taken.Fresh}), nil
}

// decrypt reads data that are encrypted to the plant. What cannot be read is kept as rejected; the error is that of a message which does not say
// what it has.
func (s *Server) decrypt(in *message.Incoming, b *InboundCreate, link string) error {
	jose := b.Datacontenttype == InboundCreateDatacontenttypeApplicationJose
	if jose != (len(b.DataBase64) > 0) {
		return &problem.Error{
			Kind: problem.Invalid, What: "take message " + b.ID + " of " + b.Source, Why: "data_base64 and datacontenttype application/jose go together",
			Hint: "give both, or neither", Fields: []problem.Field{{Pointer: "/datacontenttype", Why: "does not fit the data"}},
		}
	}
	if !jose {
		return nil
	}
	in.Body = b.DataBase64
	by := s.Openers[link]
	if by == nil {
		in.Unread = &problem.Error{
			Kind: problem.Integrity, What: "read message " + b.ID, Why: "it is encrypted, and this link has no key", Hint: "set decrypt_with of the link to the plant's private key",
		}
		return nil
	}
	body, _, err := by.Decrypt(b.DataBase64, b.ID)
	if err == nil && !json.Valid(body) {
		err = &problem.Error{Kind: problem.Invalid, What: "read message " + b.ID, Why: "what is encrypted is no JSON", Hint: "encrypt the document as the mapping reads it"}
	}
	if in.Unread = err; err == nil {
		in.Body = body
	}
	return nil
}

// serves refuses a message over a link that is not there: nothing says by what such a message is believed, and whoever sends it could leave
// its signature out. The same goes for one over no link where the senders of any are verified.
func (c Config) serves(link string, b *InboundCreate) error {
	_, known := c.Links[link]
	if c.Links == nil || known || link == "" && !slices.Contains(slices.Collect(maps.Values(c.Links)), true) {
		return nil
	}
	why := "there is no link " + link
	if link == "" {
		why = "it names no link, and there are several"
	}
	return &problem.Error{
		Kind: problem.Invalid, What: "take message " + b.ID + " of " + b.Source, Why: why, Hint: "name one of " + strings.Join(slices.Sorted(maps.Keys(c.Links)), ", "),
		Fields: []problem.Field{{Pointer: "/link", Why: "must be a link of the configuration"}},
	}
}

// incoming is a CloudEvent in the words of the inbox; nothing of it is believed yet. Where it has no time, that of its coming counts.
func incoming(b InboundCreate, now time.Time, trace string) message.Incoming {
	m := message.Message{
		ID: b.ID, Source: b.Source, Kind: b.Type, Version: 1, Key: b.Subject, Time: b.Time, Body: b.Data, Trace: cmp.Or(b.Traceparent, trace),
		Place: message.Place{Link: b.Link, Lane: b.Lane, Epoch: b.Laneepoch, Number: b.Lanenumber, Role: message.Event},
	}
	if m.Time.IsZero() {
		m.Time = now
	}
	return message.Incoming{Message: m, Claimed: b.Digest, ObjectVersion: b.Objectversion, Mapping: b.Mapping, Undated: b.Time.IsZero()}
}

// ListInbound answers GET /v1/inbound-messages.
func (s *Server) ListInbound(ctx context.Context, r ListInboundRequestObject) (ListInboundResponseObject, error) {
	p := r.Params
	f := inbox.Filter{State: inbox.State(p.State), Source: p.Source, Lane: p.Lane}
	page := InboundPage{}
	var err error
	page.Items, page.NextCursor, err = numbered(ctx, s, p.Cursor, p.Limit, func(ctx context.Context, tx *store.Tx, before int64, n int) ([]Inbound, error) {
		f.Before, f.Limit = before, n
		all, err := s.Inbox.Messages(ctx, tx, f)
		return each(all, inbound), err
	}, func(m Inbound) int64 { return m.Number })
	return ListInbound200JSONResponse(page), err
}

// ListRejected answers GET /v1/rejected-messages.
func (s *Server) ListRejected(ctx context.Context, r ListRejectedRequestObject) (ListRejectedResponseObject, error) {
	page := RejectedPage{}
	var err error
	page.Items, page.NextCursor, err = numbered(ctx, s, r.Params.Cursor, r.Params.Limit, func(ctx context.Context, tx *store.Tx, before int64, n int) ([]Rejected, error) {
		all, err := s.Inbox.RejectedMessages(ctx, tx, before, n)
		return each(all, rejected), err
	}, func(m Rejected) int64 { return m.Number })
	return ListRejected200JSONResponse(page), err
}

// numbered reads one page of a list that is newest first and paged by a number: one item more than is shown tells whether more follow.
func numbered[T any](
	ctx context.Context, s *Server, cursor string, want int,
	read func(ctx context.Context, tx *store.Tx, before int64, n int) ([]T, error), number func(T) int64,
) ([]T, string, error) {
	before, err := cursorNumber(cursor)
	if err != nil {
		return nil, "", err
	}
	n := limit(want)
	var items []T
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		items, err = read(ctx, tx, before, n+1)
		return err
	})
	next := ""
	if len(items) > n {
		items = items[:n]
		next = cursorOut(strconv.FormatInt(number(items[n-1]), 10))
	}
	return items, next, err
}

// each turns every item over; the result is never nil.
func each[A, B any](all []A, turn func(A) B) []B {
	out := make([]B, 0, len(all))
	for _, a := range all {
		out = append(out, turn(a))
	}
	return out
}

// ListInboundLanes answers GET /v1/inbound-lanes.
func (s *Server) ListInboundLanes(ctx context.Context, r ListInboundLanesRequestObject) (ListInboundLanesResponseObject, error) {
	after, err := cursorIn(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	n := limit(r.Params.Limit)
	page := InboundLanePage{}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		all, err := s.Inbox.Lanes(ctx, tx, r.Params.Source, after, n)
		if len(all) == n {
			page.NextCursor = cursorOut(all[n-1].Cursor())
		}
		page.Items = each(all, inboundLane)
		return err
	})
	return ListInboundLanes200JSONResponse(page), err
}

// GetInbound answers GET /v1/inbound-messages/{number}.
func (s *Server) GetInbound(ctx context.Context, r GetInboundRequestObject) (GetInboundResponseObject, error) {
	var m inbox.Message
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		m, err = s.Inbox.Message(ctx, tx, r.Number)
		return err
	})
	if err == nil {
		err = s.permitLink(ctx, access.InboundRead, m.Link, access.InboundObject(r.Number))
	}
	return GetInbound200JSONResponse(InboundDetail{
		Message: inbound(m), Body: message.Shown(m.Body, m.Large), Original: json.RawMessage(message.Shown(m.Original, m.OriginalLarge)), Digest: m.Digest, BodyDigest: bodyDigest(m),
	}), err
}

// ReplayInbound answers POST /v1/inbound-messages/{number}/replay.
func (s *Server) ReplayInbound(ctx context.Context, r ReplayInboundRequestObject) (ReplayInboundResponseObject, error) {
	c := call{access.QuarantineReplay, access.InboundObject(r.Number), r.Body.Reason, r.Params.IdempotencyKey, nil}
	m, err := s.repairInbound(ctx, c, r.Number, s.Inbox.Replay)
	return ReplayInbound200JSONResponse(m), err
}

// DiscardInbound answers POST /v1/inbound-messages/{number}/discard.
func (s *Server) DiscardInbound(ctx context.Context, r DiscardInboundRequestObject) (DiscardInboundResponseObject, error) {
	c := call{access.QuarantineDiscard, access.InboundObject(r.Number), r.Body.Reason, r.Params.IdempotencyKey, nil}
	m, err := s.repairInbound(ctx, c, r.Number, func(ctx context.Context, tx *store.Tx, seq int64) error {
		return s.Inbox.Discard(ctx, tx, seq, r.Body.Reason)
	})
	return DiscardInbound200JSONResponse(m), err
}

// AmendInbound answers POST /v1/inbound-messages/{number}/amend.
func (s *Server) AmendInbound(ctx context.Context, r AmendInboundRequestObject) (AmendInboundResponseObject, error) {
	c := call{access.QuarantineAmend, access.InboundObject(r.Number), r.Body.Reason, r.Params.IdempotencyKey, r.Body}
	m, err := s.repairInbound(ctx, c, r.Number, func(ctx context.Context, tx *store.Tx, seq int64) error {
		m, err := s.Inbox.Locked(ctx, tx, seq)
		if err == nil {
			err = stillIs(fmt.Sprintf("change inbound message %d", seq), bodyDigest(m), r.Body.IfDigest, m.Corrected())
		}
		if err != nil {
			return err
		}
		return s.Inbox.Edit(ctx, tx, seq, r.Body.Body)
	})
	return AmendInbound200JSONResponse(m), err
}

// bodyDigest tells two bodies of an inbound message apart.
func bodyDigest(m inbox.Message) string { return fmt.Sprintf("%x", m.Checksum()) }

// repairInbound does one act on a message that came in, with the message before and after in the audit record.
func (s *Server) repairInbound(ctx context.Context, c call, number int64, fn func(ctx context.Context, tx *store.Tx, seq int64) error) (Inbound, error) {
	m, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[Inbound], error) {
		before, err := s.Inbox.Message(ctx, tx, number)
		if err == nil {
			err = s.onLink(ctx, c, before.Link)
		}
		if err != nil {
			return did[Inbound]{}, err
		}
		if err := fn(ctx, tx, number); err != nil {
			return did[Inbound]{}, err
		}
		after, err := s.Inbox.Message(ctx, tx, number)
		return did[Inbound]{value: inbound(after), before: inbound(before)}, err
	})
	return m, err
}

// SkipInbound answers POST /v1/inbound-gaps/skip.
func (s *Server) SkipInbound(ctx context.Context, r SkipInboundRequestObject) (SkipInboundResponseObject, error) {
	b := r.Body
	c := call{access.InboxSkip, "inbound-lane/" + b.Source + "/" + b.Lane, b.Reason, r.Params.IdempotencyKey, b}
	l, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[InboundLane], error) {
		if err := s.Inbox.Skip(ctx, tx, b.Source, b.Lane, b.Number); err != nil {
			return did[InboundLane]{}, err
		}
		after, err := s.Inbox.Lane(ctx, tx, b.Source, b.Lane)
		return did[InboundLane]{value: inboundLane(after)}, err
	})
	return SkipInbound200JSONResponse(l), err
}

func inbound(m inbox.Message) Inbound {
	return Inbound{
		Number: m.Seq, ID: m.ID, Source: m.Source, Kind: m.Kind, Key: m.Key, Link: m.Link, Mapping: m.Mapping, Lane: m.Lane,
		LaneEpoch: m.Epoch, LaneNumber: m.Number, ObjectVersion: m.ObjectVersion, State: InboundState(m.State), Code: string(m.Problem),
		Reason: m.Reason, Hint: m.Hint, Attempts: m.Attempts, Time: m.Time, Received: m.ReceivedAt, Settled: m.SettledAt,
	}
}

func inboundLane(l inbox.Lane) InboundLane {
	return InboundLane{
		Source: l.Source, Lane: l.Name, Numbered: l.Numbered, Epoch: l.Epoch, Next: l.Next, Version: l.Version, Waiting: l.Waiting,
		Held: l.Held, GapSince: l.GapSince, Alerted: l.Alerted, Attempts: l.Attempts, Trouble: l.Trouble,
	}
}

func rejected(r inbox.Rejected) Rejected {
	return Rejected{
		Number: r.Seq, Source: r.Source, ID: r.ID, Kind: r.Kind, Link: r.Link, Code: string(r.Problem), Reason: r.Reason, Received: r.ReceivedAt,
	}
}
