package inbox_test

import (
	"context"
	"fmt"
	"testing"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// BenchmarkAcceptAndApply takes batches of numbered messages of 1 KiB in 50 lanes, which have their effect at once: one row each.
func BenchmarkAcceptAndApply(b *testing.B) {
	for _, kind := range []struct {
		name string
		open func(testing.TB, ...storetest.Option) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(kind.name, func(b *testing.B) { benchmark(b, kind.open(b)) })
	}
}

func benchmark(b *testing.B, db *store.DB) {
	const lanes, batch = 50, 500
	p := &plant{}
	ctx := context.Background()
	err := db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	in := inbox.New(db, mapper{}, p.apply, inbox.Config{Batch: batch}, quiet())
	body := []byte(fmt.Sprintf(`{"x":"%01000d"}`, 1))
	n := 0
	next := func() []message.Incoming {
		ins := make([]message.Incoming, batch)
		for k := range ins {
			ins[k] = numbered(int64(n/lanes) + 1)
			ins[k].ID, ins[k].Lane, ins[k].Body = fmt.Sprint("b", n), fmt.Sprint("L", n%lanes), body
			n++
		}
		return ins
	}
	b.ResetTimer()
	for range b.N {
		if _, err := in.ReceiveAll(ctx, next(), "erp"); err != nil {
			b.Fatal(err)
		}
	}
	if p.calls != n {
		b.Fatalf("%d messages had an effect, want %d", p.calls, n)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}
