package mapping

import (
	"fmt"
	"slices"

	"holdfast/internal/schema"
)

// identity refuses a kind or a key of a message that some documents have none of, at which each of them would stop, and a key that is the same
// for all of them: what has one key waits for what came before, and replaces it.
func (c *compiler) identity(what string, r *rule) {
	if r == nil || r.value == nil && r.constant == nil {
		return
	}
	s, path := r.known(), "to."+what
	switch {
	case (s.absent || r.when != nil && r.absent == nil) && !r.required:
		c.advise(r.at, path, "it may have no value, and a message has a "+what, "say what stands in its place: .orValue(…), or write .value(), which stops such a document")
	case slices.Contains(s.texts(), ""):
		c.advise(r.at, path, "it can be empty, and a message has a "+what, `leave such a document out with when: … != "", or write what stands in its place`)
	case what == "key" && s.same():
		c.advise(r.at, path, "it is the same for each document, so that all wait for one another as if they were of one object",
			`take what names the object: "material/" + src.number`)
	}
}

// same tells whether a value is known to be the same for each message.
func (s shape) same() bool {
	number := s.kind == schema.Integer || s.kind == schema.Decimal
	return len(s.enum) == 1 || s.always != nil || number && s.least != nil && s.most != nil && s.least.Cmp(*s.most) == 0
}

// instant refuses what makes the time of a message of a text that is known to be none, or may be any. What is not known is seen when it is mapped.
func (c *compiler) instant(r *rule) {
	if r == nil {
		return
	}
	s := r.known()
	if s.kind != schema.Text || s.format == dateTime || !slices.Contains(formats(), s.format) && s.pattern == "" && s.length == 0 {
		return
	}
	const what, hint = "to.time", `take a field of the format date-time, or make it: localTime(day, clock, "Europe/Berlin")`
	for _, v := range s.texts() {
		if !formed(dateTime, v) {
			c.advise(r.at, what, fmt.Sprintf("it can be %q, which is no time with an offset (RFC 3339)", clip(v)), hint)
			return
		}
	}
	all, some, known := covered(s.formOrLength(), timeForm)
	switch {
	case s.enum != nil, known && all:
	case slices.Contains(formats(), s.format) && s.format != unformatted:
		c.advise(r.at, what, "it makes a "+formName(s.format)+", and the time of a message has an offset (RFC 3339)", hint)
	case known && !some:
		c.advise(r.at, what, s.formSaid()+", and the time of a message is one with an offset (RFC 3339)", hint)
	case s.format == unformatted:
		c.advise(r.at, what, "it can be any text, and the time of a message is one with an offset (RFC 3339)", hint+"; or ask first whether it matches(…)")
	}
}
