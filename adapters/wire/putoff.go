package wire

import "time"

// PutOff is the cause of a problem whose answer says when the far side wants to be called again: whoever was to send something behind what was asked
// for waits as if that had been answered so itself.
type PutOff struct {
	After     time.Duration // not before
	Throttled bool          // less is wanted (429)
	Locked    bool          // somebody works on what it is about; the far side itself is well
	Forbidden bool          // a right is missing, or a page to log on stands in the way: After is ours
}

// Error says it in words.
func (p *PutOff) Error() string {
	switch {
	case p.Forbidden:
		return "forbidden"
	case p.After > 0:
		return "to be asked again in " + p.After.String()
	}
	return "to be asked again later"
}

// RetryAfter is how long the far side itself has asked to be left alone, 0 if it has not.
func (p *PutOff) RetryAfter() time.Duration {
	if p.Forbidden || p.Locked {
		return 0
	}
	return p.After
}
