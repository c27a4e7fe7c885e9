//go:build unix && !race

package edm_test

import (
	"syscall"
	"testing"
	"time"

	"holdfast/adapters/odata/edm"
)

// spent is the processor time of this process: a test must not fail because the machine is busy with others.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestFiveMegabytesAreReadInAFractionOfASecond(t *testing.T) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml"} {
		text := large(t, file, 5<<20)
		best := time.Hour
		for range 3 {
			began := spent(t)
			if _, err := edm.Parse(text); err != nil {
				t.Fatal(err)
			}
			best = min(best, spent(t)-began)
		}
		t.Logf("%s: %d bytes in %s of processor time", file, len(text), best)
		if best > 300*time.Millisecond {
			t.Errorf("%s: %d bytes took %s, want under 300 ms", file, len(text), best)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml"} {
		b.Run(file, func(b *testing.B) {
			text := large(b, file, 5<<20)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := edm.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
