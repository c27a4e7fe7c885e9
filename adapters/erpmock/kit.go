package erpmock

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"holdfast/internal/port"
)

// Served is a mock whose listener Serve closes while it is down.
type Served interface {
	Handler() http.Handler
	IsDown() bool
}

// Controlled is a mock with a control API, which Control gives for a listener of its own: an outage without end can then be ended.
type Controlled interface{ Control() http.Handler }

// Control implements Controlled.
func (m *Mock) Control() http.Handler {
	m.apart.Store(true)
	return http.HandlerFunc(m.control)
}

// Listen serves a mock on a loopback address of its own until the test ends, and gives its base URL. Outages close the listener.
func Listen(t TB, m Served) (url string) {
	ln, err := port.Listen()
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, m) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve ERP mock: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

// Faults are those in force at a mock of another protocol, with the same selectors, counts and chances. Whoever uses it guards it.
type Faults struct {
	set   *faultSet
	began time.Time
}

// Struck is a fault in force, with what it has done so far.
type Struck struct {
	Fault
	Matched int64 `json:"matched"`
	Struck  int64 `json:"struck"`
}

// NewFaults begins without any. What is left to chance comes from seed, and From counts from began.
func NewFaults(seed int64, began time.Time) *Faults {
	return &Faults{set: newFaultSet(nil, rand.New(rand.NewPCG(uint64(seed), 0x6f646174))), began: began} //nolint:gosec // repeatable on purpose
}

// Check fills in defaults and refuses what makes no sense.
func (f *Fault) Check() error { return f.check() }

// Replace puts other faults in force.
func (f *Faults) Replace(faults []Fault) { f.set.replace(faults) }

// Add puts one more in force and gives its ID.
func (f *Faults) Add(fault Fault) string { return f.set.add(fault) }

// Remove takes one away, and tells whether there was one of this ID.
func (f *Faults) Remove(id string) bool { return f.set.remove(id) }

// List is what is in force.
func (f *Faults) List() []Struck {
	out := make([]Struck, 0, len(f.set.list))
	for _, a := range f.set.list {
		out = append(out, Struck{a.Fault, a.Matched, a.Struck})
	}
	return out
}

// Pick finds what hits a request: all latencies together, and the first other fault.
func (f *Faults) Pick(e *Entry, now time.Time) (delay time.Duration, hit *Fault) {
	delays, s := f.set.pick(e, f.began, now)
	for _, d := range delays {
		delay += time.Duration(d.Delay)
	}
	if s == nil {
		return delay, nil
	}
	one := s.Fault
	one.RetryAfter = max(one.RetryAfter, Duration(s.wait))
	e.Fault, e.Phase, e.FaultID = one.Kind, one.Phase, one.ID
	return delay, &one
}

// Gate says whether an ERP can be reached at all.
type Gate struct {
	gate     gate
	schedule []Fault
}

// NewGate is open, save while one of the faults is an outage; From counts from began.
func NewGate(began time.Time, faults []Fault) *Gate {
	return &Gate{gate: gate{began: began}, schedule: faults}
}

// Close makes it unreachable for a time; zero: until Open.
func (g *Gate) Close(now time.Time, d time.Duration) { g.gate.close(now, d) }

// Open makes it reachable.
func (g *Gate) Open() { g.gate.open() }

// IsClosed tells whether it is unreachable now.
func (g *Gate) IsClosed(now time.Time) bool { return g.gate.isClosed(now, g.schedule) }
