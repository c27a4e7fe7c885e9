package torture

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Fault is one kind of misfortune.
type Fault string

// The faults that torture knows.
const (
	Kill     Fault = "kill"      // SIGKILL, then a new process on the same database
	Term     Fault = "term"      // SIGTERM: an orderly stop, then a new process
	Freeze   Fault = "freeze"    // SIGSTOP for a while, then SIGCONT
	Cut      Fault = "cut"       // the ERP refuses connections for a while
	Lost     Fault = "lost"      // the ERP does the work and its answer is lost
	Reset    Fault = "reset"     // the connection is reset before the ERP does anything
	Hang     Fault = "hang"      // the ERP does the work and never answers
	Throttle Fault = "throttle"  // the ERP takes few requests a second and answers 429 with Retry-After to the rest
	Errors   Fault = "errors"    // the ERP answers 500, 502 and 503, before and after its work
	FullDisk Fault = "full-disk" // the disk of the plant's database fills, and is freed again
	SlowDB   Fault = "slow-db"   // each statement takes longer
	Clock    Fault = "clock"     // the process's own clock jumps forth or back
)

// Faults lists every fault, those that end the process first.
func Faults() []Fault {
	return []Fault{Kill, Term, Freeze, Cut, Lost, Reset, Hang, Throttle, Errors, FullDisk, SlowDB, Clock}
}

// strike is one fault at one instant of the run.
type strike struct {
	At    time.Duration // since the run began
	Fault Fault
	For   time.Duration // for how long, where the fault lasts
	Jump  time.Duration // Clock: how far
}

func (s strike) String() string {
	switch s.Fault {
	case Clock:
		return fmt.Sprintf("%7.1fs %s by %s", s.At.Seconds(), s.Fault, s.Jump)
	case Kill, Term, Lost, Reset, Hang, Errors:
		return fmt.Sprintf("%7.1fs %s", s.At.Seconds(), s.Fault)
	default:
		return fmt.Sprintf("%7.1fs %s for %s", s.At.Seconds(), s.Fault, s.For)
	}
}

// plan makes the whole schedule from the seed: kills evenly with jitter over the run, and between them every other fault in turn,
// in an order that is shuffled anew for each round. The same arguments give the same schedule.
func plan(seed uint64, length time.Duration, kills int, faults []Fault) []strike {
	rng := rand.New(rand.NewPCG(seed, 0x746f7274757265))
	var out []strike
	if slices.Contains(faults, Kill) {
		gap := length / time.Duration(kills+1)
		for i := range kills {
			out = append(out, strike{At: gap*time.Duration(i+1) + between(rng, -gap/3, gap/3), Fault: Kill})
		}
	}
	others := slices.DeleteFunc(slices.Clone(faults), func(f Fault) bool { return f == Kill })
	for at := time.Second; at < length && len(others) > 0; {
		rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		for _, f := range others {
			out = append(out, newStrike(rng, at, f))
			at += between(rng, 300*time.Millisecond, 2500*time.Millisecond)
		}
	}
	out = slices.DeleteFunc(out, func(s strike) bool { return s.At >= length })
	slices.SortFunc(out, func(a, b strike) int { return cmp.Compare(a.At, b.At) })
	return out
}

func newStrike(rng *rand.Rand, at time.Duration, f Fault) strike {
	s := strike{At: at, Fault: f, For: between(rng, 300*time.Millisecond, 2*time.Second)}
	if f == Clock {
		jumps := []time.Duration{-2 * time.Hour, -45 * time.Second, 20 * time.Second, time.Hour, 26 * time.Hour}
		s.Jump = jumps[rng.IntN(len(jumps))]
	}
	return s
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}
