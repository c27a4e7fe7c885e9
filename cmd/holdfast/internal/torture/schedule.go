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
	Kill            Fault = "kill"              // SIGKILL, then a new process on the same database; at times only once another node has its lanes
	Term            Fault = "term"              // SIGTERM: an orderly stop, then a new process
	Freeze          Fault = "freeze"            // SIGSTOP for a while, then SIGCONT
	FrozenPastLease Fault = "frozen-past-lease" // the same for longer than a lease: it wakes and believes that it still holds its lanes
	Cut             Fault = "cut"               // the ERP refuses connections for a while
	Lost            Fault = "lost"              // the ERP does the work and its answer is lost
	Reset           Fault = "reset"             // the connection is reset before the ERP does anything
	Hang            Fault = "hang"              // the ERP does the work and never answers
	Throttle        Fault = "throttle"          // the ERP takes few requests a second and answers 429 with Retry-After to the rest
	Errors          Fault = "errors"            // the ERP answers 500, 502 and 503, before and after its work
	FullDisk        Fault = "full-disk"         // the disk of the plant's database fills, and is freed again
	SlowDB          Fault = "slow-db"           // each statement takes longer
	Clock           Fault = "clock"             // the process's own clock jumps forth or back; of several nodes, as far as they may differ
	PostgresRestart Fault = "postgres-restart"  // PostgreSQL is ended in the middle of its work, in order or at once, and started again

	BrokerRestart     Fault = "broker-restart"     // RabbitMQ is ended and started again
	ConnectionsClosed Fault = "connections-closed" // RabbitMQ closes every connection
	BrokerFull        Fault = "broker-full"        // RabbitMQ takes its disk for full, and takes nothing for a while
	QueueFull         Fault = "queue-full"         // queues take little: RabbitMQ turns away some of what is published, among what it takes
	WireDelay         Fault = "wire-delay"         // what passes between plant and broker takes longer
	WireLimit         Fault = "wire-limit"         // few bytes a second pass between them
	WireCut           Fault = "wire-cut"           // nothing passes for a while
	WireReset         Fault = "wire-reset"         // every connection between them breaks
)

// Faults lists every fault, those that end the process first.
func Faults() []Fault {
	return []Fault{
		Kill, Term, Freeze, FrozenPastLease, Cut, Lost, Reset, Hang, Throttle, Errors, FullDisk, SlowDB, Clock, PostgresRestart,
		BrokerRestart, ConnectionsClosed, BrokerFull, QueueFull, WireDelay, WireLimit, WireCut, WireReset,
	}
}

// OfBroker lists the faults of a broker, and of the line to it.
func OfBroker() []Fault {
	return []Fault{BrokerRestart, ConnectionsClosed, BrokerFull, QueueFull, WireDelay, WireLimit, WireCut, WireReset}
}

// ofProcess tells whether a fault befalls a process by itself; the others happen around it.
func (f Fault) ofProcess() bool {
	switch f {
	case Kill, Term, Freeze, FrozenPastLease, Clock:
		return true
	default:
		return false
	}
}

// strike is one fault at one instant of the run.
type strike struct {
	At    time.Duration // since the run began
	Fault Fault
	For   time.Duration // for how long, where the fault lasts; beyond the lease for FrozenPastLease
	Nodes []int         // whom it hits: one node, at times two; every fault that is not of a node has one all the same
	Past  bool          // Kill: the node stays away until another has its lanes
	Hard  bool          // PostgresRestart: at once, without an orderly end
	Jump  int           // Clock: which way and how far, see jumps
}

func (s strike) String() string {
	text := fmt.Sprintf("%7.1fs %s", s.At.Seconds(), s.Fault)
	if s.Fault.ofProcess() || s.Fault == SlowDB {
		for _, n := range s.Nodes {
			text += fmt.Sprintf(" node %d", n+1)
		}
	}
	switch {
	case s.Past:
		return text + " until another has its lanes"
	case s.Fault == PostgresRestart && s.Hard:
		return text + " at once"
	case slices.Contains([]Fault{Freeze, Cut, FullDisk, SlowDB, BrokerFull, QueueFull, WireDelay, WireLimit, WireCut}, s.Fault):
		return fmt.Sprintf("%s for %s", text, s.For.Round(time.Millisecond))
	default:
		return text
	}
}

// past is how many kills of several nodes have one that leaves the node dead past its lease.
const past = 6

// plan makes the whole schedule from the seed: kills evenly with jitter over the run, and between them every other fault in turn,
// in an order that is shuffled anew for each round. The same arguments give the same schedule.
func plan(seed uint64, length time.Duration, kills int, faults []Fault, nodes int) []strike {
	rng := rand.New(rand.NewPCG(seed, 0x746f7274757265))
	var out []strike
	if slices.Contains(faults, Kill) {
		gap := length / time.Duration(kills+1)
		for i := range kills {
			s := newStrike(rng, gap*time.Duration(i+1)+between(rng, -gap/3, gap/3), Kill, nodes)
			s.Past = nodes > 1 && i%past == past/2
			out = append(out, s)
		}
	}
	others := slices.DeleteFunc(slices.Clone(faults), func(f Fault) bool { return f == Kill })
	for at := time.Second; at < length && len(others) > 0; {
		rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		for _, f := range others {
			out = append(out, newStrike(rng, at, f, nodes))
			at += between(rng, 300*time.Millisecond, 2500*time.Millisecond)
		}
	}
	out = slices.DeleteFunc(out, func(s strike) bool { return s.At >= length })
	slices.SortFunc(out, func(a, b strike) int { return cmp.Compare(a.At, b.At) })
	return out
}

// newStrike makes a strike at one node, or at two in one case of four where a third is left to go on.
func newStrike(rng *rand.Rand, at time.Duration, f Fault, nodes int) strike {
	s := strike{At: at, Fault: f, For: between(rng, 300*time.Millisecond, 2*time.Second), Jump: rng.IntN(len(jumps())), Hard: rng.IntN(2) == 0}
	s.Nodes = rng.Perm(nodes)[:1]
	if two := rng.IntN(4) == 0; two && nodes > 2 && f.ofProcess() && f != Clock {
		s.Nodes = rng.Perm(nodes)[:2]
	}
	return s
}

// jumps are those of the one clock of a single node.
func jumps() []time.Duration {
	return []time.Duration{-2 * time.Hour, -45 * time.Second, 20 * time.Second, time.Hour, 26 * time.Hour}
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}
