package torture

import (
	"slices"
	"testing"
	"time"
)

func TestTheSameSeedGivesTheSameSchedule(t *testing.T) {
	a, b := plan(7, time.Minute, 20, Faults()), plan(7, time.Minute, 20, Faults())
	if !slices.Equal(a, b) {
		t.Error("two schedules of one seed differ")
	}
	if slices.Equal(a, plan(8, time.Minute, 20, Faults())) {
		t.Error("two seeds gave one schedule")
	}
}

func TestAMinuteHoldsEveryFaultAndAllKills(t *testing.T) {
	for seed := range uint64(50) {
		count := map[Fault]int{}
		last := time.Duration(0)
		for _, s := range plan(seed, time.Minute, 30, Faults()) {
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
