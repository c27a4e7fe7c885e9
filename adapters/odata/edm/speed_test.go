package edm_test

import (
	"bytes"
	"encoding/xml"
	"runtime"
	"testing"

	"holdfast/adapters/odata/edm"
)

// TestFiveMegabytesAreReadWithLittleWork counts what reading costs, and not the time, which a busy machine decides: at most half of the
// allocations that encoding/xml needs to walk through the same tokens and keep none, ten bytes for each of the text, and twice as much for twice
// the size. The time is printed by make bench ROWS=metadata, against 300 ms and against the bare tokens.
func TestFiveMegabytesAreReadWithLittleWork(t *testing.T) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml"} {
		half, whole := large(t, file, 5<<19), large(t, file, 5<<20)
		few, _ := cost(t, half)
		all, weight := cost(t, whole)
		walk := testing.AllocsPerRun(1, func() {
			for d := xml.NewDecoder(bytes.NewReader(whole)); ; {
				if _, err := d.Token(); err != nil {
					return
				}
			}
		})
		t.Logf("%s: %d bytes in %d allocations of %d bytes; %d of half the size, %.0f of encoding/xml", file, len(whole), all, weight, few, walk)
		if float64(all) > walk/2 || weight > uint64(10*len(whole)) || float64(all) > 2.1*float64(few) {
			t.Errorf("%s: reading %d bytes costs more than it may", file, len(whole))
		}
	}
}

// cost is what reading a document allocates: how often, and how many bytes.
func cost(t *testing.T, text []byte) (allocations, weight uint64) {
	t.Helper()
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	if _, err := edm.Parse(text); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&to)
	return to.Mallocs - from.Mallocs, to.TotalAlloc - from.TotalAlloc
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
