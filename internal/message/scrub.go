package message

import (
	"errors"

	"holdfast/internal/problem"
)

// Scrubber takes values out of what an ERP says that must be kept nowhere.
type Scrubber interface {
	Scrub(text string) string
	ScrubBody(body []byte) []byte // which stays JSON if it was
}

// Scrubbed is an outcome without the values of a scrubber, which may be nil: nothing of it may be kept or logged before.
func (o Outcome) Scrubbed(s Scrubber) Outcome {
	if s == nil {
		return o
	}
	o.Receipt.Answer = s.ScrubBody(o.Receipt.Answer)
	o.Receipt.Document, o.Receipt.Kind = s.Scrub(o.Receipt.Document), s.Scrub(o.Receipt.Kind)
	o.Err = ScrubError(o.Err, s)
	return o
}

// ScrubError is an error without the values of a scrubber. One that has any loses what is underneath it, for that has them too; a problem
// stays one.
func ScrubError(err error, s Scrubber) error {
	if err == nil || s == nil {
		return err
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		if clean := s.Scrub(err.Error()); clean != err.Error() {
			return errors.New(clean)
		}
		return err
	}
	clean := &problem.Error{Kind: p.Kind, What: s.Scrub(p.What), Why: s.Scrub(p.Why), Hint: s.Scrub(p.Hint)}
	for _, f := range p.Fields {
		f.Why = s.Scrub(f.Why)
		clean.Fields = append(clean.Fields, f)
	}
	if s.Scrub(err.Error()) == err.Error() && p.Cause == nil && clean.Hint == p.Hint {
		return err
	}
	return clean
}
