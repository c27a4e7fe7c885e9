package edmx

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"holdfast/adapters/erpmock"
)

// core is what the services of one system have in common: sessions, faults, journal, counters and ledger.
type core struct {
	now    func() time.Time // of the machine
	ledger *erpmock.Lines   // nil without one
	gate   *erpmock.Gate
	stop   chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards what follows: a request's rules, effect and journal are one step
	offset   time.Duration
	chance   *rand.Rand
	writes   int               // since the sessions last ended
	sessions map[string]string // CSRF tokens by the cookie's value
	faults   *erpmock.Faults
	journal  []*erpmock.Entry
	dropped  int64 // older entries, which are not there any more
	seq      int64
	attempts map[string]int    // by message ID
	answered map[string]answer // by RequestID
	tokens   int               // how often a token was given
	calls    map[string]int    // by method
	effects  int64
	numbers  int64 // counts documents
	changes  int64 // counts changes, for ETags and delta tokens
}

// mostEntries bounds the journal, mostBody what it keeps of a request.
const (
	mostEntries = 1_000_000
	mostBody    = 4 << 10
)

// newCore joins services to one system, and restores from the ledger, if there is one, what they held.
func newCore(cfg Config, services ...*Mock) (*core, error) {
	c := &core{
		now: cfg.Now, stop: make(chan struct{}), faults: erpmock.NewFaults(cfg.Seed, cfg.Now()), gate: erpmock.NewGate(cfg.Now(), cfg.Faults),
		chance:   rand.New(rand.NewPCG(uint64(cfg.Seed), 0x72756c65)), //nolint:gosec // repeatable on purpose
		sessions: map[string]string{}, attempts: map[string]int{}, answered: map[string]answer{}, calls: map[string]int{},
	}
	for i := range cfg.Faults {
		if err := cfg.Faults[i].Check(); err != nil {
			return nil, fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	c.faults.Replace(cfg.Faults)
	for _, m := range services {
		m.core = c
	}
	if cfg.Ledger == "" {
		return c, nil
	}
	return c, c.openLedger(cfg.Ledger, services)
}

// Close ends requests that hang, and closes the ledger.
func (c *core) Close() (err error) {
	c.once.Do(func() {
		close(c.stop)
		if c.ledger != nil {
			err = c.ledger.Close()
		}
	})
	return err
}

// Now is the time on the mock's clock.
func (c *core) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock()
}

// clock needs the mutex.
func (c *core) clock() time.Time { return c.now().Add(c.offset) }

// Advance moves the clock; negative goes back.
func (c *core) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// Down makes the system unreachable for a time; zero: until Up. A listener of erpmock.Serve is closed meanwhile.
func (c *core) Down(d time.Duration) { c.gate.Close(c.Now(), d) }

// Up makes it reachable again.
func (c *core) Up() { c.gate.Open() }

// IsDown tells whether it is unreachable now.
func (c *core) IsDown() bool { return c.gate.IsClosed(c.Now()) }

// SetFaults replaces the faults. Kinds that a link of HTTP does not have are taken for Lost.
func (c *core) SetFaults(faults ...erpmock.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range faults {
		if faults[i].Kind == erpmock.Lost && faults[i].Phase == "" {
			faults[i].Phase = erpmock.After
		}
	}
	c.faults.Replace(faults)
}

// ExpireSessions makes every cookie and token worthless, as SAP does after half an hour.
func (c *core) ExpireSessions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sessions)
}

// Tokens tells how often a CSRF token was given.
func (c *core) Tokens() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens
}

// Calls counts the requests on the wire by their method.
func (c *core) Calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

// Journal lists the attempts, oldest first.
func (c *core) Journal() []erpmock.Entry { return c.log(0, 0).Entries }

// Log is the journal as a whole.
func (c *core) Log() erpmock.Log { return c.log(0, 0) }

// log lists the entries numbered above after, at most limit where that is positive.
func (c *core) log(after int64, limit int) erpmock.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := erpmock.Log{Entries: []erpmock.Entry{}, Dropped: c.dropped}
	for _, e := range c.journal {
		if e.Seq <= after {
			continue
		}
		if limit > 0 && len(out.Entries) == limit {
			break
		}
		one := *e
		one.Effects = slices.Clone(e.Effects)
		out.Entries = append(out.Entries, one)
	}
	return out
}

// Effects lists all effects in the order of commit.
func (c *core) Effects() []erpmock.Effect { return erpmock.EffectsOf(c.Journal()) }

// enter numbers an attempt. The mutex is held.
func (c *core) enter(e *erpmock.Entry) {
	c.seq++
	e.Seq = c.seq
	if e.MessageID != "" {
		c.attempts[e.MessageID]++
		e.Attempt = c.attempts[e.MessageID]
	}
	c.keep(e)
}

// keep appends an entry, and drops the oldest where there are too many. The mutex is held.
func (c *core) keep(e *erpmock.Entry) {
	if len(e.Body) > mostBody {
		e.Body, e.BodyCut = e.Body[:mostBody], true
	}
	if c.journal = append(c.journal, e); len(c.journal) > mostEntries {
		c.journal[0] = nil
		c.journal = c.journal[1:]
		c.dropped++
	}
}

// arrive enters an attempt in the journal and finds the fault that hits it.
func (c *core) arrive(e *erpmock.Entry) (delay time.Duration, hit *erpmock.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[e.Method]++
	c.enter(e)
	return c.faults.Pick(e, c.clock())
}

// settle notes what became of an attempt.
func (c *core) settle(e *erpmock.Entry, status int, how erpmock.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Status, e.Delivered, e.Open = status, how, false
	if c.ledger != nil {
		c.ledger.Append(line{Answer: &answerLine{e.Seq, status, how}})
	}
}
