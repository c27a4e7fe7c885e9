package httpapi

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// lookAgain is how often a waiting call looks by itself: the net under a wake that was lost between two processes.
const lookAgain = time.Second

// wait reads the preference wait=N of RFC 7240 (section 4.3) and what Preference-Applied says of it, "" if it does not apply.
// A preference that cannot be read does not apply (section 2); one over the limit is shortened to it.
func (s *Server) wait(prefer string) (time.Duration, string) {
	for _, one := range strings.Split(prefer, ",") {
		one, _, _ = strings.Cut(one, ";") // parameters of a preference mean nothing here
		name, value, _ := strings.Cut(one, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, ""
		}
		d := min(time.Duration(n)*time.Second, s.cfg.MaxWait)
		return d, fmt.Sprintf("wait=%d", d/time.Second)
	}
	return 0, ""
}

// told says how far the ERP is told of an act, and waits for that as long as the caller prefers.
func (s *Server) told(ctx context.Context, res access.Result, prefer string) (ERPState, *string, error) {
	limit, applied := s.wait(prefer)
	news, end := s.DB.Subscribe(outbox.Settled)
	defer end()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		state, err := s.erpState(ctx, res.Events)
		if err != nil || state.State != ERPProgressQueued || limit == 0 {
			return state, optional(applied), err
		}
		select {
		case <-news:
		case <-time.After(lookAgain):
		case <-timeout.C:
			limit = 0
		case <-s.stopping:
			limit = 0
		case <-ctx.Done():
			return ERPState{}, nil, ctx.Err()
		}
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// erpState is how far the ERPs are told of these events.
func (s *Server) erpState(ctx context.Context, events []string) (ERPState, error) {
	state := ERPState{State: ERPProgressNone, Messages: []MessageBrief{}}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		for _, e := range events {
			all, err := s.Outbox.Of(ctx, tx, e)
			if err != nil {
				return fmt.Errorf("see what the ERP knows of %s: %w", e, err)
			}
			for _, d := range all {
				state.Messages = append(state.Messages, brief(d))
			}
		}
		return nil
	})
	state.State = joint(state.Messages)
	return state, err
}

// joint is the state of all messages of an act: the one that is furthest from delivered.
func joint(all []MessageBrief) ERPProgress {
	worst := ERPProgressNone
	for _, m := range all {
		switch m.State {
		case MessageStateParked, MessageStateUnknown, MessageStateRefused:
			return ERPProgressParked
		case MessageStateDelivered, MessageStateVoided:
			if worst == ERPProgressNone {
				worst = ERPProgressDelivered
			}
		default:
			worst = ERPProgressQueued
		}
	}
	return worst
}

func brief(d outbox.Detail) MessageBrief {
	return MessageBrief{
		ID: d.ID, Kind: d.Kind, Link: d.Link, Lane: d.Lane, Number: d.Number, State: messageState(d), Document: d.Receipt.Document,
	}
}

// messageState is the state of one message; d has its lane's state if it is still owed.
func messageState(d outbox.Detail) MessageState {
	l := d.LaneState
	head := l.At(d.Place)
	switch {
	case d.Settled && d.Role == message.Void:
		return MessageStateVoided
	case d.Refused != "":
		return MessageStateRefused
	case d.Settled:
		return MessageStateDelivered
	case head && l.State == outbox.Parked:
		return MessageStateParked
	case head && l.State == outbox.Unknown:
		return MessageStateUnknown
	case head && l.State == outbox.Waiting:
		return MessageStateWaiting
	case head && l.InHand != "":
		return MessageStateSending
	default:
		return MessageStateQueued
	}
}
