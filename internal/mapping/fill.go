package mapping

import (
	"context"
	"errors"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Fill changes the text of a message's body on its way into a mapping, such as what stands for a value into the value.
type Fill func(ctx context.Context, text []byte) ([]byte, error)

type fillKey struct{}

// Filling has Apply map what fill makes of a body. The message stays as it was verified: a body that is passed on whole (body: event) is
// not filled, and neither is what a trial compares.
func Filling(ctx context.Context, fill Fill) context.Context {
	return context.WithValue(ctx, fillKey{}, fill)
}

func filled(ctx context.Context, text []byte) ([]byte, error) {
	fill, _ := ctx.Value(fillKey{}).(Fill)
	if fill == nil || len(text) == 0 {
		return text, nil
	}
	return fill(ctx, text)
}

// plain maps a message without filling it, for a trial, which keeps what it compares.
func (s *Set) plain(ctx context.Context, name string, v message.Verified, refs Resolver, doc message.Document, err error) (message.Document, error) {
	if fill, _ := ctx.Value(fillKey{}).(Fill); fill == nil {
		return doc, err
	}
	if _, waits := errors.AsType[*Waiting](err); waits || problem.KindOf(err) == problem.Unavailable {
		return doc, err
	}
	return s.Apply(Filling(ctx, nil), name, v, refs)
}
