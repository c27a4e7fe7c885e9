package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"holdfast/internal/access"
	"holdfast/internal/store"
)

// call is one request for an act.
type call struct {
	action string // of the registry
	object string // what is acted upon; empty if the act makes it
	reason string
	key    string // Idempotency-Key, empty if none was sent
	body   any    // all that was asked besides: the same key with another body is refused
}

// did is what an act brought about, with the value that its answer is made of.
type did[T any] struct {
	value  T
	object string   // what was made, if the call could not name it
	events []string // the plant's events that the ERP is told of
	before any      // the object before, for the audit record; nil if it is not kept
	about  []string // what else the act is about, for the separation of duties
}

// discreet is a value that is kept sealed, and is not to stand whole in the audit record, which is not.
type discreet interface{ Recorded() any }

// act does one act through the Doer. A repetition under the same key gives the value of the first time.
func act[T any](ctx context.Context, s *Server, c call, fn func(ctx context.Context, tx *store.Tx) (did[T], error)) (T, access.Result, error) {
	var value T
	asked, err := c.digest()
	if err != nil {
		return value, access.Result{}, err
	}
	a := access.Act{Action: c.action, Actor: actor(ctx), Object: c.object, Asks: true, Reason: c.reason}
	if c.key != "" {
		a.Idempotency = &access.Key{Value: c.key, Request: asked}
	}
	res, err := s.Doer.Do(ctx, a, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
		d, err := fn(ctx, tx)
		if err != nil {
			return access.Result{}, err
		}
		return d.result()
	})
	if err != nil {
		return value, res, err
	}
	if err := json.Unmarshal(res.Answer, &value); err != nil {
		return value, res, fmt.Errorf("read the answer of %s: %w", c.action, err)
	}
	return value, res, nil
}

// result keeps the value as JSON: for the answer, for its repetition and for the audit record.
func (d did[T]) result() (access.Result, error) {
	res := access.Result{Object: d.object, Events: d.events, About: d.about}
	var err error
	if res.Answer, err = json.Marshal(d.value); err != nil {
		return res, fmt.Errorf("write the answer: %w", err)
	}
	res.After = res.Answer
	if s, ok := any(d.value).(discreet); ok {
		if res.After, err = json.Marshal(s.Recorded()); err != nil {
			return res, fmt.Errorf("write what the audit record keeps: %w", err)
		}
	}
	if d.before != nil {
		if res.Before, err = json.Marshal(d.before); err != nil {
			return res, fmt.Errorf("write what was before: %w", err)
		}
	}
	return res, nil
}

// digest is the same for two calls that ask for the same.
func (c call) digest() (string, error) {
	b, err := json.Marshal(struct {
		Action, Object, Reason string
		Body                   any
	}{c.action, c.object, c.reason, c.body})
	if err != nil {
		return "", fmt.Errorf("write the request of %s: %w", c.action, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
