package mapping

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Trial is what a set that is only tried made of a message which the one in use has just mapped.
type Trial struct {
	Effect

	Mapping string // the name that it was mapped by
	Link    string
}

// trial is a set that maps each message too, after the one in use. Nothing that it makes goes anywhere, and no error of it counts.
type trial struct {
	set  *Set
	tell func(Trial)
}

// Try has a set map each message too from now on, and tells what came of it; nil ends that. The message goes on by the set in use as if there
// were no other: the same numbers of the ERP are given to both, and the bounds of a mapping hold for each. tell must not wait.
func (l *Live) Try(s *Set, tell func(Trial)) {
	if s == nil {
		l.trial.Store(nil)
		return
	}
	l.trial.Store(&trial{s, tell})
}

func (t *trial) out(ctx context.Context, name string, v message.Verified, refs Resolver, doc message.Document, err error) {
	tried, errTried := contained(func() (message.Document, error) { return t.set.Apply(ctx, name, v, refs) })
	m := v.Message()
	t.compare(m, name, err, errTried, ofDocument(doc), ofDocument(tried))
}

func (t *trial) in(ctx context.Context, name string, m message.Message, refs Resolver, out message.Message, err error) {
	tried, errTried := contained(func() (message.Message, error) { return t.set.ApplyIn(ctx, name, m, refs) })
	t.compare(m, name, err, errTried, ofMessage(out), ofMessage(tried))
}

// contained has a panic of what is only tried be an error of it: the message goes on by the set in use.
func contained[T any](do func() (T, error)) (made T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &problem.Error{
				Kind: problem.Invalid, What: "map by mappings that are tried", Why: fmt.Sprint("they came to a defect of Holdfast: ", p),
				Hint: "end the trial, and tell the makers of Holdfast what is written here",
			}
		}
	}()
	return do()
}

// compare tells of a message, unless something else than a mapping stood in its way: it is tried again then.
func (t *trial) compare(m message.Message, name string, err, errTried error, is, tried Made) {
	if passing(err) || passing(errTried) {
		return
	}
	is, err = made(is, err)
	tried, errTried = made(tried, errTried)
	t.tell(Trial{effect(m, is, err, tried, errTried), name, m.Link})
}

// passing tells whether an error says nothing about a mapping.
func passing(err error) bool {
	if err == nil || errors.Is(err, ErrLeftOut) {
		return false
	}
	if _, waits := errors.AsType[*Waiting](err); waits {
		return false
	}
	p, ok := errors.AsType[*problem.Error](err)
	return !ok || p.Kind != problem.Invalid && p.Kind != problem.NotFound && p.Kind != problem.TooLarge
}

func ofDocument(d message.Document) Made {
	m := Made{Version: d.Mapping, Target: d.Target, Params: d.Params}
	if !d.Whole {
		m.Body = d.Body
	}
	return m
}

func ofMessage(m message.Message) Made { return Made{Kind: m.Kind, Key: m.Key, Body: m.Body} }

// remembering asks for each name once, so that two sets see the same.
func remembering(refs Resolver) Resolver {
	if refs == nil {
		return nil
	}
	type answer struct {
		name  string
		known bool
	}
	seen := map[string]answer{}
	return func(ctx context.Context, object string) (string, bool, error) {
		if a, ok := seen[object]; ok {
			return a.name, a.known, nil
		}
		name, known, err := refs(ctx, object)
		if err == nil {
			seen[object] = answer{name, known}
		}
		return name, known, err
	}
}
