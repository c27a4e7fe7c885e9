package mapping

import (
	"context"
	"errors"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
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

// Documents gives the type of the document that a mapping in takes through a link, nil where nothing is known of it.
type Documents func(link, mapping, document string) *schema.Type

type documentsKey struct{}

// Reading has ApplyIn read documents by their types, as the check of the mappings has them: what a contract has as a decimal is one however
// it is written, so that 12 equals 12.0.
func Reading(ctx context.Context, documents Documents) context.Context {
	return context.WithValue(ctx, documentsKey{}, documents)
}

func documentOf(ctx context.Context, link string, m *mapping) *schema.Type {
	documents, _ := ctx.Value(documentsKey{}).(Documents)
	if documents == nil || m.whole {
		return nil
	}
	return documents(link, m.name, m.document)
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
