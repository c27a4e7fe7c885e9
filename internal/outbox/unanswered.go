package outbox

import (
	"fmt"
	"time"
)

// Unanswered says of a message at the head of its lane that may be with the ERP, and of which nobody knows, what happened and what is done
// about it by itself; "" if that is not so, or it is being sent or asked for at this moment.
func (d Detail) Unanswered(now time.Time) string {
	l := d.LaneState
	if !l.At(d.Place) || !d.MaySent() || l.InHand != "" && l.DueAt.After(now) || d.Redelivery > 0 {
		return ""
	}
	switch {
	case l.State == Unknown:
		return "it may be in the ERP and may not: it was sent, no answer came, and the ERP could not say. Its lane stands still until a person says which"
	case l.State != Open:
		return "" // it stands still for a reason of its own
	case l.Paused:
		return "it may be in the ERP and may not: it was sent, and no answer came. Its lane is paused; once it is resumed, the ERP is asked for it before anything is sent again"
	}
	next := "as soon as it can be reached"
	if l.DueAt.After(now) {
		next = "next at " + l.DueAt.Format(time.RFC3339) + " or " + next
	}
	return fmt.Sprintf("it may be in the ERP and may not: it was sent, and no answer came. The ERP is asked for it, %s: what is there counts as delivered, what is not is sent again", next)
}
