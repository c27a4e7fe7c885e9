package erpbroker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// settle has the ERP act on one event and publishes what it says. It tells whether that is done; it is not when ctx ends before.
func (e *ERP) settle(ctx context.Context, it item) bool {
	reply, err := e.act(ctx, it)
	if err != nil {
		return false
	}
	for reply != nil {
		err := e.broker.Emit(ctx, *reply)
		if err == nil {
			break
		}
		if pause(ctx, failPause) != nil {
			return false
		}
	}
	return true
}

// act gives the ERP's answer to an event; nil for one of which the ERP wants nothing. The error is that ctx has ended.
func (e *ERP) act(ctx context.Context, it item) (*message.Incoming, error) {
	v, err := message.Verify(ctx, seal.Inbound(it.Claimed), it.Message)
	if err != nil || it.Kind == "" {
		return e.refuse(it, &problem.Error{Kind: problem.Integrity, Why: "it is no event, or not as it was signed", Cause: err}), nil
	}
	if it.Role == message.Void {
		return nil, nil
	}
	doc, err := e.document(ctx, v)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case problem.KindOf(err) == problem.NotFound:
		return nil, nil // the ERP has no document for this kind
	case err != nil:
		return e.refuse(it, err), nil
	}
	out, err := e.bring(ctx, message.Delivery{Event: v, Doc: doc})
	if err != nil {
		return nil, err
	}
	if out.Verdict == message.Refused {
		return e.refuse(it, out.Err), nil
	}
	if it.Creates != "" {
		if err := e.numbers.put(it.Creates, out.Receipt.Document); err != nil {
			e.log.ErrorContext(ctx, "a number is not kept", "message", it.ID, "err", err)
		}
	}
	return e.answer(it, outbox.ReceiptKind, map[string]any{
		"message": it.ID, "document": out.Receipt.Document, "kind": out.Receipt.Kind, "at": out.Receipt.At.UTC(),
	}), nil
}

// document maps an event. It waits for the numbers that the document needs, and tries again what may pass.
func (e *ERP) document(ctx context.Context, v message.Verified) (message.Document, error) {
	for {
		changed := e.numbers.watch()
		doc, err := e.rules.Apply(ctx, e.cfg.Mapping, v, e.numbers.resolve)
		if _, waits := errors.AsType[*mapping.Waiting](err); !waits {
			return doc, err
		}
		select {
		case <-ctx.Done():
			return doc, context.Cause(ctx)
		case <-changed:
		}
	}
}

// bring has the ERP take a document, once, and gives its answer: Delivered or Refused. The error is that ctx has ended.
func (e *ERP) bring(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	sent := false // it may be under way
	for ctx.Err() == nil {
		if err := e.calls.Acquire(ctx, 1); err != nil {
			break
		}
		out, err := e.attempt(ctx, d, &sent)
		e.calls.Release(1)
		switch {
		case err == nil && (out.Verdict == message.Delivered || out.Verdict == message.Refused):
			return out, nil
		case err != nil || out.Err != nil:
			e.log.DebugContext(ctx, "the ERP has not taken a document yet", "message", d.Event.Message().ID, "err", errors.Join(err, out.Err))
		}
		_ = pause(ctx, max(out.After, failPause/4))
	}
	return message.Outcome{}, context.Cause(ctx)
}

// attempt asks for the document, and sends it where the ERP does not have it.
func (e *ERP) attempt(ctx context.Context, d message.Delivery, sent *bool) (message.Outcome, error) {
	d.Quiet = !*sent
	out, err := e.erp.Ask(ctx, d)
	if err != nil || out.Verdict != message.Again {
		return out, err
	}
	out = e.erp.Deliver(ctx, []message.Delivery{d})[0]
	*sent = out.Verdict != message.Again
	return out, nil
}

// refuse is the ERP's no to an event.
func (e *ERP) refuse(it item, why error) *message.Incoming {
	body := map[string]any{"message": it.ID, "code": string(problem.KindOf(why)), "text": fmt.Sprint(why), "at": time.Now().UTC()}
	if p, ok := errors.AsType[*problem.Error](why); ok {
		body["text"] = p.Why
	}
	return e.answer(it, outbox.RefusalKind, body)
}

// answer is an event of the ERP about an event of the plant. Its ID says what it says: the same answer again has the same ID. All about
// one lane have one key, so that they keep their order.
func (e *ERP) answer(it item, kind string, body map[string]any) *message.Incoming {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // texts and times only
	}
	sum := sha256.Sum256(text)
	at, _ := body["at"].(time.Time)
	return &message.Incoming{Message: message.Message{
		ID: kind + "/" + it.ID + "@" + hex.EncodeToString(sum[:6]), Source: e.cfg.Source, Kind: kind, Version: 1, Key: it.Lane, Time: at, Body: text,
		Cause: it.ID, Trace: it.Trace, Place: message.Place{Role: message.Event},
	}}
}
