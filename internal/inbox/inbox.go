// Package inbox takes what the ERPs say, once, and has the plant act on it, once.
//
// # Guarantees
//
//   - A message is stored by (source, id) before its sender hears that it was taken. The same one again has no effect.
//   - The effect of a message and the mark that it is done are one transaction. A crash before it repeats the mapping, never the
//     effect.
//     A batch (ReceiveAll) has its effects in the transaction that stores it, as long as nothing speaks against any of them.
//   - Messages with a lane number are applied in the order of their numbers, without a gap: one that is early waits for the missing
//     one, which only Skip lets pass. Beyond a bound it is put aside in quarantine, holds nobody up but its own lane, and comes back
//     by itself when its turn is near.
//   - A sender that was restored counts anew, in a later epoch, which begins with its number 1. What came of the epoch before without a gap
//     is applied first; what waited there for a missing number is left to a person.
//   - Messages without a lane number are applied by the version of their object: one that is no newer than what was applied has no
//     effect.
//   - What the plant refuses goes to quarantine with the reason and holds its own lane (or, without numbers and versions, its own
//     object) and nothing else. What may pass by itself is tried again, with growing pauses, and never goes there.
//   - What cannot be believed is kept under a row number, and takes no (source, id) from an honest sender. What is altered, unsigned,
//     expired or replayed raises an alert.
//   - A message that its transport has delivered many times without success goes to quarantine instead of being tried once more.
//   - Messages are remembered for a time and up to a count. Beyond that their number or version still tells whether they were applied.
//     For those that have neither, a horizon is kept for each source: the latest time of a message that was forgotten. What is no
//     newer is quarantined, since nobody knows whether it was applied. Three rules keep that sound. When a message came proves nothing
//     of its age, since it may be a copy: one without a time of its own is quarantined as soon as its source has a horizon. A time
//     more than a day ahead of its coming would pass the horizon later: such a message is quarantined when it comes. No forgotten
//     message moves the horizon further than a day beyond its own coming, so that a wrong date cannot shut everybody else out. A
//     person who replays one of these vouches that it was not applied.
//
// Several processes may run on one PostgreSQL database: a stream is locked for the length of the transaction that applies its
// message, so there is no lease that could outlive a crash.
//
// The package owns the tables inbox_*; nothing else reads or writes them.
package inbox

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// Topic is what Accept wakes.
const Topic = "inbox"

// Mapper makes a message of the plant out of an ERP's document. mapping.ErrLeftOut means that it shall have no effect; a
// *problem.Error other than Unavailable or Full means that it never will; anything else is tried again. It is called inside the
// transaction of the effect, and again if that is repeated.
type Mapper interface {
	ApplyIn(ctx context.Context, name string, m message.Message, refs mapping.Resolver) (message.Message, error)
}

// Apply has the plant act on a message, in tx. Its errors are judged as the Mapper's are.
type Apply func(ctx context.Context, tx *store.Tx, m message.Message) error

// Config is the tunable part of an Inbox; zero fields mean the default.
type Config struct {
	Node     string        // name of this node, unique in the plant: by it a node that was killed knows its own feeds; default a new one each time
	Batch    int           // messages in one transaction; default 200 on PostgreSQL, 50 on SQLite, whose one writer others wait for
	Workers  int           // transactions at a time on PostgreSQL; default 4. SQLite has one writer
	Poll     time.Duration // how often to look without being woken; default 1 s
	Retry    time.Duration // first pause after a failure that may pass, doubled each time; default 200 ms
	MaxRetry time.Duration // longest such pause; default 30 s
	Attempts int           // tries of a message that fails for no known reason before it is quarantined; default 10

	MaxBody       int           // bytes of one body; default, and the most, message.MaxBody
	Inline        int           // bytes of a body that is kept in its message's own row, a larger one is kept beside it (package body); default 256 KiB
	MaxEarly      int           // messages that wait in one lane for a missing one, what is more is put aside; default 1,000
	MaxEarlyBytes int64         // bytes of their bodies; default 16 MiB
	MaxDeliveries int           // deliveries by its transport after which a message is held to be poison; default 10
	GapAlert      time.Duration // how long a number may be missing before it is alerted; default 60 s

	KeepFor      time.Duration // how long a message is remembered once it is settled; default 90 days
	KeepCount    int           // how many settled messages are remembered; default 1,000,000
	KeepRejected int           // how many messages that could not be believed are kept, and a few hundred besides; default 10,000

	// Resolve gives the plant's ID of an ERP's object, named "order/NUMBER", for the mapping function plantID. Default: none is known.
	Resolve func(ctx context.Context, tx *store.Tx, link, object string) (id string, known bool, err error)
	// Feeds are polled by Run.
	Feeds []Feed
	// Guard decides what is believed. Default: a message whose digest is right that it claims, and any that claims none.
	Guard Guard
	// Veil has tokens in the place of sensitive values. Default: bodies are kept as they come.
	Veil Veil
	// Clean goes with Veil. Default: none.
	Clean Clean
	// Alarm is told of what is not believed. Default: the log alone.
	Alarm Alarm
}

func (c Config) withDefaults(d store.Dialect) Config {
	if d == store.Postgres {
		c.Batch = cmp.Or(c.Batch, 200)
	}
	c.Batch = cmp.Or(c.Batch, 50)
	c.Workers = cmp.Or(c.Workers, 4)
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Retry = cmp.Or(c.Retry, 200*time.Millisecond)
	c.MaxRetry = cmp.Or(c.MaxRetry, 30*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 10)
	c.MaxBody = min(cmp.Or(c.MaxBody, message.MaxBody), message.MaxBody)
	c.Inline = cmp.Or(c.Inline, body.DefaultInline)
	c.MaxEarly = cmp.Or(c.MaxEarly, 1000)
	c.MaxEarlyBytes = cmp.Or(c.MaxEarlyBytes, 16<<20)
	c.MaxDeliveries = cmp.Or(c.MaxDeliveries, 10)
	c.GapAlert = cmp.Or(c.GapAlert, time.Minute)
	c.KeepFor = cmp.Or(c.KeepFor, 90*24*time.Hour)
	c.KeepCount = cmp.Or(c.KeepCount, 1_000_000)
	c.KeepRejected = cmp.Or(c.KeepRejected, 10_000)
	return c
}

// Inbox is the plant's ear. It is safe for use by many goroutines.
type Inbox struct {
	db     *store.DB
	mapper Mapper
	apply  Apply
	cfg    Config
	log    *slog.Logger
	patrol *body.Patrol
	doubts doubts
	lines  *lines
}

// New returns an Inbox. It opens nothing, so it cannot fail; Run does the work.
func New(db *store.DB, mapper Mapper, apply Apply, cfg Config, log *slog.Logger) *Inbox {
	return &Inbox{
		db: db, mapper: mapper, apply: apply, cfg: cfg.withDefaults(db.Dialect()), log: log.With("part", "inbox"), patrol: &body.Patrol{Of: ownerOf}, lines: &lines{},
	}
}

// State is where a message stands.
type State string

// The states. Those but Ready and Quarantined are final: the message is settled.
const (
	Ready       State = "ready"       // waits for its turn
	Quarantined State = "quarantined" // refused: a person must act
	Done        State = "done"        // the plant has acted on it
	Superseded  State = "superseded"  // the plant had something newer
	LeftOut     State = "left-out"    // its mapping gives it no effect
	Voided      State = "voided"      // its sender says that nothing is sent under this number
	Discarded   State = "discarded"   // a person has taken it out
)
