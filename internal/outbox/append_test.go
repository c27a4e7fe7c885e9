package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

var at = time.Date(2026, 11, 24, 6, 0, 0, 0, time.FixedZone("", 3600))

func everything(cfg outbox.Config) *outbox.Outbox {
	return outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "all"}}, "urn:plant:1000", cfg)
}

func event(id, key string) message.Message {
	return message.Message{
		ID: id, Kind: "operation.confirmed", Version: 1, Key: key, Time: at, Body: []byte(`{"id":"` + id + `"}`), Place: message.Place{Role: message.Event},
	}
}

// owe appends events, each written "lane/id", in one transaction each.
func owe(t *testing.T, db *store.DB, out *outbox.Outbox, key string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		err := db.InTx(t.Context(), func(tx *store.Tx) error { return out.Append(t.Context(), tx, event(id, key)) })
		if err != nil {
			t.Fatalf("append %s: %v", id, err)
		}
	}
}

func TestNumbersHaveNoGapsUnderManyWritersAndRollbacks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		out := everything(outbox.Config{})
		changeOfMind := errors.New("rolled back")
		kept := make([][4]int, 32)
		var wg sync.WaitGroup
		for w := range 32 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				for i := range 30 {
					lane, leave := random.IntN(4), random.IntN(3) == 0
					err := db.InTx(t.Context(), func(tx *store.Tx) error {
						m := event(fmt.Sprintf("%d-%d", w, i), fmt.Sprintf("o%d", lane))
						if err := out.Append(t.Context(), tx, m); err != nil {
							return err
						}
						if leave {
							return changeOfMind
						}
						return nil
					})
					switch {
					case leave && errors.Is(err, changeOfMind):
					case !leave && err == nil:
						kept[w][lane]++
					default:
						t.Errorf("writer %d: %v", w, err)
					}
				}
			})
		}
		wg.Wait()

		for lane := range 4 {
			want := 0
			for w := range kept {
				want += kept[w][lane]
			}
			chain(t, db, out, fmt.Sprintf("o%d", lane), want)
		}
	})
}

// chain claims a whole lane and checks that it has want messages, numbered from 1, each naming its predecessor's digest.
func chain(t *testing.T, db *store.DB, out *outbox.Outbox, lane string, want int) {
	t.Helper()
	var got []outbox.Detail
	err := db.View(t.Context(), func(tx *store.Tx) error {
		var err error
		got, _, err = out.Messages(t.Context(), tx, outbox.Filter{Link: "erp", Lane: lane, OldestFirst: true, Limit: 10000}, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != want {
		t.Errorf("lane %s: %d messages, want %d", lane, len(got), want)
	}
	byNumber := map[int64]message.Message{}
	for _, d := range got {
		byNumber[d.Number] = d.Message
	}
	prev := ""
	for n := int64(1); n <= int64(len(got)); n++ {
		m, ok := byNumber[n]
		if !ok || m.Prev != prev {
			t.Fatalf("lane %s: message %d: there %t, names %q, want %q", lane, n, ok, m.Prev, prev)
		}
		prev = m.Digest()
	}
}

// TestDigestOfTheDatabaseIsTheMessagesOwn appends what could be read in two ways on its way through SQL: on PostgreSQL the database makes
// the digest.
func TestDigestOfTheDatabaseIsTheMessagesOwn(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for i, text := range []string{`plain`, `a\b`, `a\\000`, `\x6162`, `a'b"c`, `Größe`, `火`, ` `} {
			m := event(fmt.Sprintf("%d%s", i, text), text)
			m.Kind, m.Creates, m.Cause, m.Trace, m.Lane, m.Version = "k"+text, text, text, text, "lane "+text, i+1
			m.Body = []byte(`{"a":"` + fmt.Sprint(i) + `"}`)
			for n := range 2 { // the first of its lane, and the next
				m.ID += fmt.Sprint(n)
				b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, m) })
				d := b.message(m.ID)
				if got, want := d.Digest, d.Message.Digest(); got != want {
					t.Errorf("%q, number %d: digest %s, want %s", text, d.Number, got, want)
				}
			}
		}
	})
}
