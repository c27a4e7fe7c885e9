package mapping

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Effect is what changes for one message if another version of the mappings takes over.
type Effect struct {
	Message     string       `json:"message"`
	Kind        string       `json:"kind"`
	Before      string       `json:"before,omitempty"` // the mapping's version
	After       string       `json:"after,omitempty"`
	Differences []Difference `json:"differences,omitempty"`
}

// Compare maps one message by two sets and says what would differ in the document. A mapping that fails, waits or leaves the message out
// differs in that.
func Compare(ctx context.Context, before, after *Set, name string, m message.Message, refs Resolver) Effect {
	was, errWas := before.Try(ctx, name, m, refs)
	is, errIs := after.Try(ctx, name, m, refs)
	return effect(m, was, errWas, is, errIs)
}

// effect compares what was made of one message with what another set made of it.
func effect(m message.Message, was Made, errWas error, is Made, errIs error) Effect {
	e := Effect{Message: m.ID, Kind: m.Kind, Before: was.Version, After: is.Version}
	say := func(at, a, b string) {
		if a != b {
			e.Differences = append(e.Differences, Difference{at, a, b})
		}
	}
	if say("error", reason(errWas), reason(errIs)); errWas != nil || errIs != nil {
		return e
	}
	say("waits", was.Waits, is.Waits)
	say("leftOut", fmt.Sprint(was.LeftOut), fmt.Sprint(is.LeftOut))
	say("target", was.Target, is.Target)
	say("kind", was.Kind, is.Kind)
	say("key", was.Key, is.Key)
	for _, n := range sortedKeys(was.Params) {
		say("params/"+n, was.Params[n], is.Params[n])
	}
	for _, n := range sortedKeys(is.Params) {
		if _, both := was.Params[n]; !both {
			say("params/"+n, "", is.Params[n])
		}
	}
	if !bytes.Equal(was.Body, is.Body) {
		e.Differences = append(e.Differences, Differences(was.Body, is.Body)...)
	}
	return e
}

// reason is an error without the version of the mapping, which is another each time.
func reason(err error) string {
	if err == nil {
		return ""
	}
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Why
	}
	return err.Error()
}
