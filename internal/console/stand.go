package console

import (
	"cmp"
	"strings"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
)

// The states of a link, in the console, in status and in link list.
const (
	Up       = "up"
	Degraded = "degraded" // nothing new comes in over it: its polls fail
	Down     = "down"
	Paused   = "paused"
)

// Stand is how a link stands: its state, why, and since when; zero where nobody knows. A link is up only if its polls succeed too: where nothing is owed
// they alone tell that the ERP does not answer.
func Stand(l outbox.Link, feeds []inbox.FeedStatus) (state, why string, since time.Time) {
	switch {
	case l.Paused:
		return Paused, l.Reason, l.ChangedAt
	case l.Breaker == "open" || l.Breaker == "half-open":
		return Down, l.Trouble, l.ChangedAt
	}
	state, since = Up, l.ChangedAt
	for _, f := range feeds {
		if of, _, _ := strings.Cut(f.Name, "/"); of != l.Name || f.Trouble == "" {
			continue
		}
		if state == Degraded && (since.IsZero() || !f.PolledAt.IsZero() && f.PolledAt.After(since)) {
			continue // another has failed for longer
		}
		state, why, since = Degraded, "poll "+f.Name+" fails: "+troubleOf(f), f.PolledAt
	}
	return state, why, since
}

// troubleOf is the trouble of a feed without its name, which whoever met it has put before it, some of them twice.
func troubleOf(f inbox.FeedStatus) string {
	said := strings.TrimPrefix(strings.TrimPrefix(f.Trouble, "poll "+f.Name+": "), "poll "+f.Name+" ")
	return cmp.Or(said, f.Trouble)
}
