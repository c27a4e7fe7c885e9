package httpapi

import (
	"context"
	"encoding/json"

	"holdfast/internal/access"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ListMessages answers GET /v1/messages.
func (s *Server) ListMessages(ctx context.Context, r ListMessagesRequestObject) (ListMessagesResponseObject, error) {
	cursor, err := cursorIn(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	p := r.Params
	f := outbox.Filter{Link: p.Link, Lane: p.Lane, Kind: p.Kind, Owed: p.Owed, Settled: p.Settled, Limit: limit(p.Limit)}
	page := MessagePage{Items: []Message{}}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		list, next, err := s.Outbox.Messages(ctx, tx, f, cursor)
		if err != nil {
			return err
		}
		page.NextCursor = cursorOut(next)
		for _, d := range list {
			page.Items = append(page.Items, outMessage(d))
		}
		return nil
	})
	return ListMessages200JSONResponse(page), err
}

// GetMessage answers GET /v1/messages/{message}.
func (s *Server) GetMessage(ctx context.Context, r GetMessageRequestObject) (GetMessageResponseObject, error) {
	var d outbox.Detail
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		d, err = s.Outbox.Message(ctx, tx, r.Message)
		return err
	})
	if err == nil {
		err = s.permitLink(ctx, access.MsgRead, d.Link, access.MessageObject(r.Message))
	}
	if err != nil {
		return nil, err
	}
	return GetMessage200JSONResponse(detail(d)), nil
}

// RetryMessage answers POST /v1/messages/{message}/retry.
func (s *Server) RetryMessage(ctx context.Context, r RetryMessageRequestObject) (RetryMessageResponseObject, error) {
	c := call{access.MsgRetry, access.MessageObject(r.Message), r.Body.Reason, r.Params.IdempotencyKey, nil}
	m, err := s.repair(ctx, c, r.Message, func(ctx context.Context, tx *store.Tx, _ outbox.Detail) error {
		return s.Outbox.Retry(ctx, tx, r.Message, r.Body.Reason)
	})
	return RetryMessage200JSONResponse(m), err
}

// DiscardMessage answers POST /v1/messages/{message}/discard.
func (s *Server) DiscardMessage(ctx context.Context, r DiscardMessageRequestObject) (DiscardMessageResponseObject, error) {
	why, err := outbox.Because(outbox.Cause(r.Body.Cause), r.Body.Reason)
	if err != nil {
		return nil, err
	}
	c := call{access.MsgDiscard, access.MessageObject(r.Message), string(why), r.Params.IdempotencyKey, r.Body}
	m, err := s.repair(ctx, c, r.Message, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
		discard := s.Outbox.Discard
		if r.Body.Force {
			discard = s.Outbox.DiscardInDoubt
		}
		return discard(ctx, tx, d.ID, why)
	})
	return DiscardMessage200JSONResponse(m), err
}

// AmendMessage answers POST /v1/messages/{message}/amend.
func (s *Server) AmendMessage(ctx context.Context, r AmendMessageRequestObject) (AmendMessageResponseObject, error) {
	c := call{access.MsgAmend, access.MessageObject(r.Message), r.Body.Reason, r.Params.IdempotencyKey, r.Body}
	m, err := s.repair(ctx, c, r.Message, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
		if err := stillIs("amend message "+d.ID, d.Digest, r.Body.IfDigest, d.Corrected()); err != nil {
			return err
		}
		if err := s.Outbox.Amend(ctx, tx, r.Message, r.Body.Body, r.Body.Reason); err != nil {
			return err
		}
		amended, err := s.Outbox.Message(ctx, tx, r.Message)
		if err == nil {
			err = wasStill(d, amended)
		}
		if err != nil {
			return err
		}
		return s.Checker.Check(ctx, tx, amended)
	})
	return AmendMessage200JSONResponse(m), err
}

// stillIs refuses to correct another version than the one that was read; of what was corrected before, one must have been.
func stillIs(what, is, read string, corrected bool) error {
	if read == is || read == "" && !corrected {
		return nil
	}
	e := &problem.Error{Kind: problem.Conflict, What: what, Why: "somebody else has changed it since it was read", Hint: "read it again, and correct that, with its digest as ifDigest: " + is}
	if read == "" {
		e.Why = "it was corrected before, and nothing says that you have seen that"
	}
	return e
}

// wasStill refuses a correction of another version than was looked at: d was read before the lane was locked, and another node may have been first.
func wasStill(d, amended outbox.Detail) error {
	for i := len(amended.History) - 1; i >= 0 && amended.Digest != d.Digest; i-- {
		if h := amended.History[i]; h.Digest != "" {
			return stillIs("amend message "+d.ID, h.Digest, d.Digest, true)
		}
	}
	return nil
}

// MarkMessage answers POST /v1/messages/{message}/mark-delivered.
func (s *Server) MarkMessage(ctx context.Context, r MarkMessageRequestObject) (MarkMessageResponseObject, error) {
	c := call{access.MsgMarkDelivered, access.MessageObject(r.Message), r.Body.Reason, r.Params.IdempotencyKey, r.Body}
	m, err := s.repair(ctx, c, r.Message, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
		return s.Outbox.MarkDelivered(ctx, tx, d.ID, r.Body.Document, r.Body.Reason)
	})
	return MarkMessage200JSONResponse(m), err
}

// SendMessageAgain answers POST /v1/messages/{message}/send-again.
func (s *Server) SendMessageAgain(ctx context.Context, r SendMessageAgainRequestObject) (SendMessageAgainResponseObject, error) {
	c := call{access.MsgSendAgain, access.MessageObject(r.Message), r.Body.Reason, r.Params.IdempotencyKey, nil}
	m, err := s.repair(ctx, c, r.Message, func(ctx context.Context, tx *store.Tx, d outbox.Detail) error {
		return s.Outbox.SendAgain(ctx, tx, d.ID, r.Body.Reason)
	})
	return SendMessageAgain200JSONResponse(m), err
}

// repair does one act on a message, with the message before and after in the audit record.
func (s *Server) repair(ctx context.Context, c call, id string, fn func(ctx context.Context, tx *store.Tx, d outbox.Detail) error) (Message, error) {
	m, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[Message], error) {
		before, err := s.Outbox.Message(ctx, tx, id)
		if err == nil {
			err = s.onLink(ctx, c, before.Link)
		}
		if err != nil {
			return did[Message]{}, err
		}
		if err := fn(ctx, tx, before); err != nil {
			return did[Message]{}, err
		}
		about, err := s.Outbox.LetGo(ctx, tx, before)
		if err != nil {
			return did[Message]{}, err
		}
		after, err := s.Outbox.Message(ctx, tx, id)
		return did[Message]{value: outMessage(after), before: outMessage(before), about: about}, err
	})
	return m, err
}

// ReplayMessages answers POST /v1/messages/replay.
func (s *Server) ReplayMessages(ctx context.Context, r ReplayMessagesRequestObject) (ReplayMessagesResponseObject, error) {
	b := r.Body
	c := call{access.MsgReplay, "lane/" + b.Link + "/" + b.Lane, b.Reason, r.Params.IdempotencyKey, b}
	n, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[ReplayResult], error) {
		if err := s.onLink(ctx, c, b.Link); err != nil {
			return did[ReplayResult]{}, err
		}
		n, err := s.Jobs.Replay(ctx, tx, actor(ctx).Name, b.Link, b.Lane, outbox.Range{Epoch: b.Epoch, From: b.From, To: b.To, Force: b.Force}, b.Reason)
		return did[ReplayResult]{value: ReplayResult{Messages: n}}, err
	})
	return ReplayMessages200JSONResponse(n), err
}

func outMessage(d outbox.Detail) Message {
	m := Message{
		ID: d.ID, Kind: d.Kind, Key: d.Key, Link: d.Link, Lane: d.Lane, Epoch: d.Epoch, Number: d.Number, Role: MessageRole(d.Role),
		State: messageState(d), Attempts: d.Attempts, Sends: d.Sends, Replay: d.Redelivery, Created: d.CreatedAt, Settled: d.SettledAt, Document: d.Receipt.Document,
	}
	if !d.Settled && d.LaneState.At(d.Place) {
		m.Reason, m.NextAttempt = d.LaneState.Reason, d.LaneState.DueAt
	}
	if d.Refused != "" {
		m.Reason = d.Refused
	}
	return m
}

func detail(d outbox.Detail) MessageDetail {
	out := MessageDetail{
		Message: outMessage(d), Event: d.Event, Body: message.Shown(d.Body, d.Large), Digest: d.Digest, Previous: d.Prev, Trace: d.Trace, History: []Happened{},
	}
	if d.Settled && !d.Receipt.At.IsZero() {
		out.Receipt = Receipt{
			Document: d.Receipt.Document, Kind: d.Receipt.Kind, Status: d.Receipt.Status, At: d.Receipt.At, Asked: d.Receipt.Asked,
			Answer: string(d.Receipt.Answer),
		}
	}
	for _, h := range d.History {
		was := Happened{At: h.At, What: h.What, Detail: h.Detail, Digest: h.Digest}
		if h.What != outbox.Asked { // whose body it never was
			was.Body = json.RawMessage(message.Shown(h.Body, h.Large))
		}
		out.History = append(out.History, was)
	}
	return out
}
