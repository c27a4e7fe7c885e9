package relay

import (
	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// markSent remembers whether a message that is not done may have been sent. That an attempt took no effect says so of this attempt
// alone: a mark of an earlier one stays.
func (l *lane) markSent(q outbox.Queued, o message.Outcome) {
	switch {
	case o.Verdict == message.Again && !o.Sent, o.Verdict == message.Refused:
	case q.Again: // it is asked for in any case
		l.gone = true
	default:
		l.gone, l.sentTo = true, max(l.sentTo, q.Number)
	}
}

// unsent remembers that a message took no effect, and so none that follows it, where the ERP itself has said so: an adapter that may
// send it once more in any case knows nothing of what follows. A replay proves nothing of those that follow it either: they may have
// been sent long ago. Those in doubt for themselves stay so.
func (l *lane) unsent(q outbox.Queued) {
	if !l.heard || q.Again {
		return
	}
	if l.sentTo = q.Number - 1; q.Doubt {
		l.without = q.ID
	}
}
