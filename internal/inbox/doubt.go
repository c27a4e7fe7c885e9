package inbox

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

const (
	doubtFor   = 15 * time.Minute // a message that cannot be judged is offered again
	mostDoubts = 10_000           // that are remembered
)

// doubts remembers since when messages could not be judged, since the keys of their senders could not be had.
type doubts struct {
	mu    sync.Mutex // guards what follows
	since map[[sha256.Size]byte]time.Time
}

// last tells whether the message could not be judged for doubtFor by now.
func (d *doubts) last(in message.Incoming, link string, now time.Time) bool {
	key := sha256.Sum256([]byte(link + "\n" + in.Digest() + "\n" + in.Signature))
	d.mu.Lock()
	defer d.mu.Unlock()
	if since, known := d.since[key]; known {
		return now.Sub(since) >= doubtFor
	}
	if len(d.since) >= mostDoubts {
		maps.DeleteFunc(d.since, func(_ [sha256.Size]byte, since time.Time) bool { return now.Sub(since) >= 2*doubtFor })
	}
	if d.since == nil {
		d.since = map[[sha256.Size]byte]time.Time{}
	}
	if len(d.since) < mostDoubts {
		d.since[key] = now
	}
	return false
}

// sortOut parts a batch into what can be received now, with its places in the batch, and what cannot be judged yet, which gets its Err in
// all and holds what must not overtake it. It does not do so for ever, or one forged message would keep back all others for as long as the
// keys are away of whom it says it is: after doubtFor it is refused.
func (i *Inbox) sortOut(came []arrival, all []Taken) (now []arrival, at []int) {
	held := map[place]bool{}
	for n, a := range came {
		r := placed(a.in.Message, a.in.ObjectVersion)
		switch {
		case held[r.place()]:
			all[n].Err = errBehind
			continue
		case problem.KindOf(a.err) != problem.Unavailable:
		case i.doubts.last(a.in, a.link, i.db.Now()):
			a.err = &problem.Error{
				Kind: problem.Denied, What: "believe what came", Why: fmt.Sprintf("for %s it could not be told whether it is its sender's: %v", doubtFor, a.err),
				Hint: "have the keys be there again, then have the sender send it anew",
			}
		default:
			all[n].Err, held[r.place()] = a.err, r.ordered() && !r.numbered()
			continue
		}
		now, at = append(now, a), append(at, n)
	}
	return now, at
}
