package heap

import (
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestHowMuchMayBeAllocated(t *testing.T) {
	const mb = 1 << 20
	for _, test := range []struct {
		live uint64
		want int
	}{
		{0, 1600}, {4 * mb, 1500}, {8 * mb, 700}, {16 * mb, 300}, {31 * mb, 106}, {32 * mb, 100}, {64 * mb, 100}, {1024 * mb, 100},
	} {
		if got := percentOf(test.live); got != test.want {
			t.Errorf("of %d MB live: got %d %%, want %d", test.live/mb, got, test.want)
		}
		if goal := test.live + max(test.live, Floor/16)*uint64(percentOf(test.live))/100; goal > max(Floor, 2*test.live)+4*mb {
			t.Errorf("of %d MB live: collected at %d MB", test.live/mb, goal/mb)
		}
	}
}

// TestTheHeapIsCollectedByWhatLives: seldom while that is little, and as usual once it is much, and afterwards.
func TestTheHeapIsCollectedByWhatLives(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if v, set := os.LookupEnv(name); set {
			t.Setenv(name, v) // it is put back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := Keep()
	until(t, "it is collected seldom while little lives", func() bool { return set() > 2*usual })
	ballast := make([]byte, Floor)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	until(t, "and as usual while much does", func() bool { return set() == usual })
	runtime.KeepAlive(ballast)
	until(t, "and seldom again", func() bool { return set() > 2*usual })
	stop()
	until(t, "and as usual in the end", func() bool { return set() == usual })
	t.Setenv("GOGC", "50")
	defer Keep()()
	until(t, "nothing is changed where the operator has said", func() bool { return set() == usual })
}

// until collects until what should hold does. The runtime calls adjust some time after a collection.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 1000 {
		if holds() {
			return
		}
		runtime.GC()
		runtime.Gosched()
	}
	t.Fatalf("%s: GOGC is %d", what, set())
}

// set is the GOGC that counts now, in percent.
func set() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
