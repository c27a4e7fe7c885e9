package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// remembering is an ERP that has lost the first message that it was asked for, and has all else.
type remembering struct {
	link
	mu    sync.Mutex
	lost  string // guarded by mu
	asked int    // guarded by mu
}

// Ask is relay.Deliverer.
func (e *remembering) Ask(_ context.Context, d message.Delivery) (message.Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	id := d.Event.Message().ID
	if e.lost == "" {
		e.lost = id
	}
	if id == e.lost {
		return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}, Err: errors.New("not found")}, nil
	}
	return message.Outcome{Verdict: message.Delivered}, nil
}

// demonstrated is the plant that a demo has left, with two orders, and what is needed to compare it with its ERP.
func demonstrated(t *testing.T, more ...string) (*records, sendable) {
	t.Helper()
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "d")
	args := append([]string{"demo", "--once", "--json", "--orders", "2", "--outage", "0s", "--keys", "none", "--data", dir}, more...)
	if status := run(ctx, args, io.Discard, io.Discard); status != 0 {
		t.Fatalf("the demo ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRecords(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	check, done, err := r.sendable(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return r, check
}

// TestPlantAndERPAreComparedByTheClockAndAfterAnOutage, once for each, and not again where another node has done so.
func TestPlantAndERPAreComparedByTheClockAndAfterAnOutage(t *testing.T) {
	ctx := t.Context()
	r, check := demonstrated(t)
	erp := &remembering{}
	check.links = map[string]link{"erp": erp}
	s := &reconciler{
		r: r, check: check, cfg: ReconcileConfig{Every: time.Hour}, node: "node:a", links: []string{"erp"},
		log: slog.New(slog.DiscardHandler), down: map[string]time.Time{}, tried: map[string]time.Time{},
	}
	breaker := func(state string) {
		t.Helper()
		if err := r.db.InTx(ctx, func(tx *store.Tx) error { return r.out.SetBreaker(ctx, tx, "erp", state, "gone") }); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		do   func()
		want int // comparisons that are on record
	}{
		{"the first", func() {}, 1},
		{"the clock has not come round", func() {}, 1},
		{"the link is down", func() { breaker("open") }, 1},
		{"it is tried", func() { breaker("half-open") }, 1},
		{"it is back", func() { breaker("closed") }, 2},
		{"it still is", func() {}, 2},
		{"it is down again", func() { breaker("open") }, 2},
		{"it is back, and another node was faster", func() {
			breaker("closed")
			err := r.db.InTx(ctx, func(tx *store.Tx) error {
				return audit.Append(ctx, tx, audit.Entry{Actor: "node:b", Action: access.ReconcileRun, Object: "link/erp", After: []byte(`{}`), At: tx.Now.Add(time.Millisecond)})
			})
			if err != nil {
				t.Fatal(err)
			}
		}, 3},
	} {
		tt.do()
		if err := s.step(ctx); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := len(comparisonsOf(t, r)); got != tt.want {
			t.Errorf("%s: %d comparisons, want %d", tt.name, got, tt.want)
		}
	}
	for _, e := range comparisonsOf(t, r)[1:] {
		var c comparison
		if err := json.Unmarshal(e.After, &c); err != nil {
			t.Fatal(err)
		}
		for _, d := range c.Differences {
			if !strings.Contains(d.Object, " of order ") {
				t.Errorf("a difference is of %q, want the order's number", d.Object)
			}
		}
		if e.Actor != "node:a" || c.Messages < 2 || c.Agree != c.Messages-1 || len(c.Differences) != 1 || c.Differences[0].What != lost || c.Differences[0].Message != erp.lost {
			t.Errorf("%s has found %+v, want one lost, %s, of at least two", e.Actor, c, erp.lost)
		}
	}
}

func comparisonsOf(t *testing.T, r *records) (list []audit.Entry) {
	t.Helper()
	err := r.db.View(t.Context(), func(tx *store.Tx) (err error) {
		list, err = audit.List(t.Context(), tx, audit.Filter{Action: access.ReconcileRun})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestAnOutageBeforeAStartIsComparedToo: whoever starts after the ERP is back has seen no outage, and the last comparison was before its end.
func TestAnOutageBeforeAStartIsComparedToo(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name       string
		after      bool
		back, last time.Time
		from       time.Time
		due        bool
	}{
		{"back since the last comparison", true, now.Add(-time.Minute), now.Add(-48 * time.Hour), now.Add(-48 * time.Hour), true},
		{"back, and never compared", true, now.Add(-time.Minute), time.Time{}, now.Add(-time.Minute), true},
		{"back before the first start that compares", true, now.Add(-24 * time.Hour), time.Time{}, now, false},
		{"compared since it is back", true, now.Add(-time.Hour), now.Add(-time.Minute), now, false},
		{"never away", true, time.Time{}, time.Time{}, now, false},
		{"nobody asks for it", false, now.Add(-time.Minute), now.Add(-48 * time.Hour), now, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &reconciler{cfg: ReconcileConfig{At: neverAt, AfterOutage: &tt.after}, links: []string{"erp"}, began: now.Add(-time.Hour), down: map[string]time.Time{}, tried: map[string]time.Time{}}
			if up := s.seen([]outbox.Link{{Name: "erp", Breaker: "closed", ChangedAt: tt.back, Paused: true}}); len(up) > 0 {
				t.Errorf("a paused link is asked: %v", up)
			}
			up := s.seen([]outbox.Link{{Name: "erp", Breaker: "closed", ChangedAt: tt.back}})
			if from, due := s.due("erp", up, tt.last, now); due != tt.due || !from.Equal(tt.from) {
				t.Errorf("due %t from %s, want %t from %s", due, from, tt.due, tt.from)
			}
		})
	}
}

// TestWithoutAWordThePlantIsComparedEachNightInItsZone, and not before a night has come since it began; what another node has recorded counts.
func TestWithoutAWordThePlantIsComparedEachNightInItsZone(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, zone) }
	tests := []struct {
		name             string
		cfg              ReconcileConfig
		began, last, now time.Time
		due              bool
	}{
		{"before the night", ReconcileConfig{}, at(26, 8, 0), at(26, 2, 31), at(27, 2, 29), false},
		{"at night", ReconcileConfig{}, at(26, 8, 0), at(26, 2, 31), at(27, 2, 30), true},
		{"compared this night", ReconcileConfig{}, at(26, 8, 0), at(27, 2, 30), at(27, 23, 0), false},
		{"the hour that the day leaves out", ReconcileConfig{}, at(26, 8, 0), at(28, 2, 31), at(29, 3, 31), true},
		{"the zone's day, not UTC's", ReconcileConfig{At: "00:30"}, at(26, 8, 0), at(26, 0, 31), at(27, 0, 31).UTC(), true},
		{"a plant that has just begun", ReconcileConfig{}, at(26, 8, 0), time.Time{}, at(26, 9, 0), false},
		{"its first night", ReconcileConfig{}, at(26, 8, 0), time.Time{}, at(27, 2, 31), true},
		{"never", ReconcileConfig{At: neverAt}, at(26, 8, 0), at(20, 2, 31), at(27, 2, 31), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &reconciler{cfg: tt.cfg, zone: zone, began: tt.began, links: []string{"erp"}, down: map[string]time.Time{}, tried: map[string]time.Time{}}
			if _, due := s.due("erp", s.seen(nil), tt.last, tt.now); due != tt.due {
				t.Errorf("due %t, want %t", due, tt.due)
			}
		})
	}
	if c := (ReconcileConfig{}); !c.afterOutage() || !c.byClock() {
		t.Error("by itself it is off")
	}
}
