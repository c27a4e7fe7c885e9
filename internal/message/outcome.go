package message

import (
	"fmt"
	"time"
)

// Verdict is what an adapter makes of an ERP's answer, once and for all.
type Verdict string

// The verdicts. A zero Verdict is treated as Unsure: what nobody has classified may have taken effect.
const (
	Delivered Verdict = "delivered" // the ERP has it; Receipt says under which number
	Again     Verdict = "again"     // it certainly took no effect; send again, not before After
	Refused   Verdict = "refused"   // the ERP says no to this message: a person must act
	Unsure    Verdict = "unknown"   // it may have taken effect: ask, never send blindly
)

// Outcome is the answer to one delivery.
type Outcome struct {
	Verdict Verdict
	After   time.Duration // Again: the ERP's own Retry-After (RFC 9110 section 10.2.3), 0 if it gave none
	// LinkDown tells that the failure says nothing about this message but all about the link (no connection, 429, 503): it spends
	// no attempt and counts for the circuit breaker.
	LinkDown bool
	// Sent tells with Again that somebody may have the message all the same. It is sent once more under its ID, and counts as sent for whoever
	// would change it, discard it or let it expire.
	Sent bool
	// Locked tells that somebody works in the ERP on what the message is about: Again, soon, for as long as that lasts. It spends no attempt.
	Locked bool
	// Throttled tells that the ERP asked for less (429): the relay halves its rate.
	Throttled bool
	Receipt   Receipt // Delivered; of any other answer only the Status, and that is 0 where nothing was answered
	Err       error   // what went wrong, for a person; nil when Delivered
}

// Receipt is what the ERP said when it took a message.
type Receipt struct {
	Document string    `json:"document,omitempty"` // the ERP's document number
	Kind     string    `json:"kind,omitempty"`     // the ERP's word for it, such as "confirmation"
	Answer   []byte    `json:"answer,omitempty"`   // the answer's body, bounded by the adapter
	Status   int       `json:"status,omitempty"`   // the protocol's status
	At       time.Time `json:"at"`                 // when the answer came
	Signed   string    `json:"signed,omitempty"`   // the ERP's own signature over its receipt, once it was checked
	Asked    bool      `json:"asked,omitempty"`    // found by asking after a lost answer, not told at delivery
}

// String is one line for logs: no body.
func (o Outcome) String() string {
	switch {
	case o.Verdict == Delivered:
		return fmt.Sprintf("delivered as %s", o.Receipt.Document)
	case o.Err != nil:
		return fmt.Sprintf("%s: %v", o.Verdict, o.Err)
	default:
		return string(o.Verdict)
	}
}
