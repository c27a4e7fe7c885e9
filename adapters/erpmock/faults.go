package erpmock

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"holdfast/openapi/contract"
)

// Kind says what goes wrong.
type Kind string

// The kinds of fault. What each does to the wire is in docs/erp-mock.md.
const (
	Latency   Kind = "latency"   // wait Delay, then go on
	Status    Kind = "status"    // answer Status with Body
	Quota     Kind = "quota"     // 429 with Retry-After above Rate a second and Burst
	Reset     Kind = "reset"     // TCP reset, no byte of an answer
	Lost      Kind = "lost"      // connection closed, no byte of an answer
	Half      Kind = "half"      // headers and half of the body, then closed
	Headers   Kind = "headers"   // headers only, then closed
	Garbage   Kind = "garbage"   // a complete answer whose body is not what it says
	Malformed Kind = "malformed" // bytes that are not HTTP
	Hang      Kind = "hang"      // nothing until the client leaves or Delay is over, then closed
	Outage    Kind = "down"      // the whole ERP refuses connections; only From and For apply
)

// Phase says on which side of the effect a fault strikes.
type Phase string

// A fault before the effect prevents it; after the effect it spoils the answer only.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// Fault is one thing that goes wrong, and when. Empty selectors match everything.
type Fault struct {
	ID    string `json:"id,omitempty" yaml:"id"`
	Kind  Kind   `json:"kind" yaml:"kind"`
	Phase Phase  `json:"phase,omitempty" yaml:"phase"` // default before; lost: after

	Operation string `json:"operation,omitempty" yaml:"operation"` // operationId
	Method    string `json:"method,omitempty" yaml:"method"`
	Key       string `json:"key,omitempty" yaml:"key"` // Idempotency-Key
	MessageID string `json:"messageId,omitempty" yaml:"messageId"`
	Lane      string `json:"lane,omitempty" yaml:"lane"`

	Skip        int      `json:"skip,omitempty" yaml:"skip"`               // let so many matching requests pass first
	Count       int      `json:"count,omitempty" yaml:"count"`             // strike so often; 0 without end
	Probability float64  `json:"probability,omitempty" yaml:"probability"` // of striking; 0 means always
	From        Duration `json:"from,omitempty" yaml:"from"`               // since the space began, on the mock's clock
	For         Duration `json:"for,omitempty" yaml:"for"`                 // how long from then; 0 without end

	Delay      Duration `json:"delay,omitempty" yaml:"delay"`
	Status     int      `json:"status,omitempty" yaml:"status"`         // default 503
	Body       string   `json:"body,omitempty" yaml:"body"`             // instead of a problem
	RetryAfter Duration `json:"retryAfter,omitempty" yaml:"retryAfter"` // whole seconds, rounded up
	Rate       float64  `json:"rate,omitempty" yaml:"rate"`             // requests a second
	Burst      int      `json:"burst,omitempty" yaml:"burst"`           // requests at once; default 1
}

// kinds tells which faults there are, and their phase where none is given.
func defaultPhase(k Kind) (Phase, bool) {
	switch k {
	case Latency, Status, Quota, Reset, Half, Headers, Garbage, Malformed, Hang, Outage:
		return Before, true
	case Lost:
		return After, true
	}
	return "", false
}

// check fills in defaults and refuses what makes no sense.
func (f *Fault) check() error {
	phase, known := defaultPhase(f.Kind)
	if !known {
		return fmt.Errorf("there is no fault %q; there are latency, status, quota, reset, lost, half, headers, garbage, malformed, hang and down", f.Kind)
	}
	if f.Phase == "" {
		f.Phase = phase
	}
	switch {
	case f.Phase != Before && f.Phase != After:
		return fmt.Errorf("phase %q is neither before nor after", f.Phase)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not an HTTP status that ends a request", f.Status)
	case f.Probability < 0 || f.Probability > 1 || math.IsNaN(f.Probability):
		return fmt.Errorf("probability %v is not between 0 and 1", f.Probability)
	case f.Skip < 0 || f.Count < 0 || f.Delay < 0 || f.From < 0 || f.For < 0 || f.RetryAfter < 0 || f.Burst < 0:
		return fmt.Errorf("a negative number has no meaning here")
	case f.Kind == Quota && !(f.Rate > 0 && f.Rate <= 1e6):
		return fmt.Errorf("a quota needs a rate above 0 requests a second")
	case f.Kind == Latency && f.Delay == 0:
		return fmt.Errorf("latency needs a delay")
	case f.Kind == Outage && f.For == 0:
		return fmt.Errorf("down needs to say for how long; without an end use POST /__mock/down")
	}
	return nil
}

// checkIn refuses also what would never strike, since the document has no such operation.
func (f *Fault) checkIn(doc *contract.Document) error {
	if err := f.check(); err != nil {
		return err
	}
	if _, ok := doc.Operation(f.Operation); f.Operation == "" || ok {
		return nil
	}
	var names []string
	for _, op := range doc.Operations() {
		names = append(names, op.ID)
	}
	slices.Sort(names)
	return fmt.Errorf("the document has no operation %q; it has %s", f.Operation, strings.Join(names, ", "))
}

// Schedule is a file of faults: `holdfast erp mock --faults FILE`.
type Schedule struct {
	Seed   int64   `yaml:"seed"`
	Faults []Fault `yaml:"faults"`
}

// ParseSchedule reads a schedule strictly from YAML (or JSON) and checks each fault.
func ParseSchedule(text []byte) (Schedule, error) {
	var s Schedule
	if err := yaml.Load(text, &s, yaml.WithV4Defaults(), yaml.WithKnownFields()); err != nil {
		return Schedule{}, fmt.Errorf("read fault schedule: %w", err)
	}
	for i := range s.Faults {
		if err := s.Faults[i].check(); err != nil {
			return Schedule{}, fmt.Errorf("read fault schedule: fault %d: %w", i+1, err)
		}
	}
	return s, nil
}

// ParseFault reads a fault in the form of the X-Mock-Fault header: the kind, then members as
// name=value, apart by semicolons: "status; status=503; phase=after; retryAfter=2s".
func ParseFault(text string) (Fault, error) {
	kind, rest, _ := strings.Cut(text, ";")
	f := Fault{Kind: Kind(strings.TrimSpace(kind))}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ";")
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if err := f.setMember(name, value); err != nil {
			return Fault{}, fmt.Errorf("fault member %s: %w", name, err)
		}
	}
	return f, f.check()
}

// setMember reads those members that one request can use.
func (f *Fault) setMember(name, value string) (err error) {
	switch name {
	case "phase":
		f.Phase = Phase(value)
	case "status":
		f.Status, err = strconv.Atoi(value)
	case "body":
		f.Body = value
	case "delay":
		err = f.Delay.UnmarshalText([]byte(value))
	case "retryAfter":
		err = f.RetryAfter.UnmarshalText([]byte(value))
	case "probability":
		f.Probability, err = strconv.ParseFloat(value, 64)
	default:
		err = fmt.Errorf("one request can have phase, status, body, delay, retryAfter and probability")
	}
	return err
}

// armed is a fault in force, with what it has done so far.
type armed struct {
	Fault
	Matched int64 `json:"matched"`
	Struck  int64 `json:"struck"`
	tokens  float64
	filled  time.Time
}

// faultSet are the faults of a space, guarded by its mutex.
type faultSet struct {
	list []*armed
	next int
	rng  *rand.Rand
}

func newFaultSet(faults []Fault, rng *rand.Rand) *faultSet {
	s := &faultSet{rng: rng}
	s.replace(faults)
	return s
}

func (s *faultSet) replace(faults []Fault) {
	s.list = nil
	for _, f := range faults {
		s.add(f)
	}
}

func (s *faultSet) add(f Fault) string {
	if f.ID == "" {
		s.next++
		f.ID = "fault-" + strconv.Itoa(s.next)
	}
	s.list = slices.DeleteFunc(s.list, func(a *armed) bool { return a.ID == f.ID })
	s.list = append(s.list, &armed{Fault: f})
	return f.ID
}

func (s *faultSet) remove(id string) bool {
	n := len(s.list)
	s.list = slices.DeleteFunc(s.list, func(a *armed) bool { return a.ID == id })
	return len(s.list) < n
}

// strike is a fault that hits one request.
type strike struct {
	Fault
	wait time.Duration // of a quota, until the next request has room
}

// pick finds what hits a request: all latencies, and the first other fault.
func (s *faultSet) pick(e *Entry, began, now time.Time) (delays []strike, hit *strike) {
	for _, a := range s.list {
		if a.Kind == Outage || hit != nil && a.Kind != Latency || !a.matches(e, now.Sub(began)) {
			continue
		}
		a.Matched++
		if a.Matched <= int64(a.Skip) || a.Count > 0 && a.Struck >= int64(a.Count) {
			continue
		}
		if a.Probability > 0 && s.rng.Float64() >= a.Probability {
			continue
		}
		st := strike{Fault: a.Fault}
		if a.Kind == Quota {
			if st.wait = a.take(now); st.wait == 0 {
				continue
			}
		}
		a.Struck++
		if a.Kind == Latency {
			delays = append(delays, st)
		} else {
			hit = &st
		}
	}
	return delays, hit
}

func (a *armed) matches(e *Entry, since time.Duration) bool {
	same := func(want, got string) bool { return want == "" || want == got }
	from, end := time.Duration(a.From), time.Duration(a.From+a.For)
	return same(a.Operation, e.Operation) && same(a.Method, e.Method) && same(a.Key, e.Key) &&
		same(a.MessageID, e.MessageID) && same(a.Lane, e.Lane) &&
		since >= from && (a.For == 0 || since < end)
}

// take gives a token of the bucket: zero where there was one, else how long until there is.
func (a *armed) take(now time.Time) time.Duration {
	burst := float64(max(1, a.Burst))
	if a.filled.IsZero() {
		a.tokens = burst
	} else if d := now.Sub(a.filled); d > 0 {
		a.tokens = min(burst, a.tokens+d.Seconds()*a.Rate)
	}
	a.filled = now
	if a.tokens >= 1 {
		a.tokens--
		return 0
	}
	return time.Duration((1 - a.tokens) / a.Rate * float64(time.Second))
}
