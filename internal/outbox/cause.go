package outbox

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"holdfast/internal/problem"
)

// Cause is the code of why a message is given up, so that a plant can count what goes wrong. It is one of Causes.
type Cause string

// The causes of a discard.
const (
	EnteredWrong Cause = "entered-wrong" // what was reported is not what happened
	Duplicate    Cause = "duplicate"     // the same was reported twice
	BookedByHand Cause = "booked-by-hand"
	NotWanted    Cause = "not-wanted" // the ERP has no use for it any more: its order is closed, its period over
	ForTest      Cause = "test"
	OtherCause   Cause = "other"
)

// Causes are all there are, the most frequent first.
func Causes() []Cause {
	return []Cause{EnteredWrong, Duplicate, BookedByHand, NotWanted, ForTest, OtherCause}
}

// Says is a cause in words.
func (c Cause) Says() string {
	switch c {
	case EnteredWrong:
		return "what was reported did not happen so"
	case Duplicate:
		return "it was reported twice"
	case BookedByHand:
		return "it was booked in the ERP by hand"
	case NotWanted:
		return "the ERP has no use for it any more"
	case ForTest:
		return "it was made for a test"
	case OtherCause:
		return "something else, told in the reason"
	default:
		return ""
	}
}

// Why is the reason of a discard: its cause and a person's own words. Because makes it.
type Why string

// fewestLetters are the fewest of a reason, before which its cause stands: a cause alone says nothing of this message.
const fewestLetters = 3

// Because joins a cause and a person's words for it: "booked-by-hand: posted as 4900000123". Invalid if the cause is none, or has no words with it.
func Because(c Cause, words string) (Why, error) {
	words = strings.TrimSpace(words)
	e := &problem.Error{Kind: problem.Invalid, What: "give a message up"}
	switch {
	case c.Says() == "":
		all := make([]string, 0, len(Causes()))
		for _, c := range Causes() {
			all = append(all, string(c))
		}
		if e.Why = "no cause is given"; c != "" {
			e.Why = fmt.Sprintf("%q is no cause", string(c))
		}
		e.Hint = "say one of " + strings.Join(all, ", ")
		e.Fields = []problem.Field{{Pointer: "/cause", Why: "is none of them"}}
	case utf8.RuneCountInString(words) < fewestLetters:
		e.Why, e.Hint = "no reason is given", "say why, for whoever reads it in three years"
		e.Fields = []problem.Field{{Pointer: "/reason", Why: "is required"}}
	default:
		return Why(string(c) + ": " + words), nil
	}
	return "", e
}
