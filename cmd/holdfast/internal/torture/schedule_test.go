package torture

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheSameSeedGivesTheSameSchedule(t *testing.T) {
	a, b := plan(7, time.Minute, 20, Faults(), 3), plan(7, time.Minute, 20, Faults(), 3)
	if !cmp.Equal(a, b) {
		t.Error("two schedules of one seed differ")
	}
	if cmp.Equal(a, plan(8, time.Minute, 20, Faults(), 3)) {
		t.Error("two seeds gave one schedule")
	}
}

func TestAMinuteHoldsEveryFaultAndAllKills(t *testing.T) {
	for seed := range uint64(50) {
		count := map[Fault]int{}
		last := time.Duration(0)
		for _, s := range plan(seed, time.Minute, 30, Faults(), 3) {
			count[s.Fault]++
			if s.At < last || s.At < 0 || s.At >= time.Minute {
				t.Fatalf("seed %d: %v follows %v", seed, s, last)
			}
			last = s.At
		}
		if got, want := count[Kill], 30; got != want {
			t.Errorf("seed %d: %d kills, want %d", seed, got, want)
		}
		for _, f := range Faults() {
			if count[f] == 0 {
				t.Errorf("seed %d: no %s", seed, f)
			}
		}
	}
}

// TestAStrikeLeavesSomebodyToGoOn has lanes taken over: of several nodes one at least is not hit at that time.
func TestAStrikeLeavesSomebodyToGoOn(t *testing.T) {
	hit, past := map[int]bool{}, 0
	for nodes := 1; nodes <= 4; nodes++ {
		for seed := range uint64(20) {
			for _, s := range plan(seed, time.Minute, 30, Faults(), nodes) {
				if len(s.Nodes) == 0 || len(s.Nodes) > 2 || nodes > 1 && len(s.Nodes) == nodes {
					t.Fatalf("seed %d: %v hits nodes %v of %d", seed, s, s.Nodes, nodes)
				}
				for _, n := range s.Nodes {
					hit[n] = true
				}
				if s.Past {
					past++
				}
			}
		}
	}
	if len(hit) != 4 || past == 0 {
		t.Errorf("nodes %v were hit, %d kills until a takeover; want all four, and some", hit, past)
	}
}
