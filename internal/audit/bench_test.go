package audit_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// BenchmarkVerify checks a record of 100,000 entries, sealed by a hundred signed checkpoints, and tells what processor time that takes: of a plant whose
// entries have MACs, and of one without.
func BenchmarkVerify(b *testing.B) {
	b.Run("macs", func(b *testing.B) { benchmarkVerify(b, true) })
	b.Run("none", func(b *testing.B) { benchmarkVerify(b, false) })
}

func benchmarkVerify(b *testing.B, macs bool) {
	b.Helper()
	const all, at = 100_000, 1_000
	db := storetest.SQLite(b)
	sign, by := signer(b, db)
	begun := int64(0)
	if macs {
		begun = 1
		keyed(b, db, seal.RestConfig{Now: db.Now})
		if err := db.InTx(b.Context(), func(tx *store.Tx) error { return audit.BeginMACs(b.Context(), tx, "node:a", nil) }); err != nil {
			b.Fatal(err)
		}
	}
	tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
	for n := 0; n < all; n += at {
		err := db.InTx(b.Context(), func(tx *store.Tx) error {
			for i := range at {
				e := audit.Entry{
					Actor: "local:anna", From: "127.0.0.1", Action: "message.amend", Object: fmt.Sprintf("message/%d", n+i), Reason: "typed wrong",
					Before: []byte(`{"yield":"4.000","unit":"PCE"}`), After: []byte(`{"yield":"4.001","unit":"PCE"}`),
				}
				if err := audit.Append(b.Context(), tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tree.Seal(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	began := cpu(b)
	for b.Loop() {
		if r := verify(b, db, by); r.Entries != all+begun || r.Covered != all+begun || r.Err() != nil {
			b.Fatalf("%+v", r)
		}
	}
	b.ReportMetric((cpu(b)-began).Seconds()/float64(b.N), "cpu-s/op")
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
