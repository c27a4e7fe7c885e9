package anomaly_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/anomaly"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

var start = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

// plant is one that reports, on one database.
type plant struct {
	t    *testing.T
	db   *store.DB
	w    *anomaly.Watch
	n    int
	rand *rand.Rand
}

// one runs test on SQLite alone: what it looks at is computed, whatever the database.
func one(t *testing.T, cfg anomaly.Config, test func(p *plant)) {
	t.Helper()
	test(&plant{t: t, db: storetest.SQLite(t), w: anomaly.New(cfg), rand: rand.New(rand.NewPCG(1, 2))})
}

func each(t *testing.T, cfg anomaly.Config, test func(p *plant)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		test(&plant{t: t, db: db, w: anomaly.New(cfg), rand: rand.New(rand.NewPCG(1, 2))})
	})
}

// report is what one confirmation says, as text so that it is exact.
type report struct {
	order, material, operation  string
	yield, scrap, machine, unit string
	at                          time.Time
}

func (p *plant) usual() report {
	p.n++
	pieces := 90 + p.rand.IntN(20)
	return report{
		order: "o1", material: "FG", operation: "0010", yield: fmt.Sprint(pieces), scrap: fmt.Sprint(p.rand.IntN(4)),
		machine: fmt.Sprintf("%.1f", float64(pieces)*(1.9+0.2*p.rand.Float64())), unit: "MIN", at: start.Add(time.Duration(p.n) * 17 * time.Minute),
	}
}

func (p *plant) message(r report) message.Message {
	p.n++
	m, err := message.New(fmt.Sprintf("e%d", p.n), "operation.confirmed", r.order, start, map[string]any{
		"order": map[string]any{"id": r.order, "material": r.material, "unit": "PCE"},
		"confirmation": map[string]any{
			"operation": r.operation, "booked": map[string]any{"yield": r.yield, "scrap": r.scrap, "rework": "0", "unit": "PCE"},
			"machineTime": r.machine, "timeUnit": r.unit, "postedAt": r.at,
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// issue is a message that takes a component out for an order.
func (p *plant) issue(order, quantity, unit string) message.Message {
	p.n++
	m, err := message.New(fmt.Sprintf("e%d", p.n), "goods.issued", order, start, map[string]any{
		"order": map[string]any{"id": order, "material": "FG", "unit": "PCE"},
		"movement": map[string]any{
			"postedAt": start.Add(time.Duration(p.n) * 17 * time.Minute),
			"items":    []any{map[string]any{"item": "0001", "material": "RM", "operation": "0010", "baseQuantity": quantity, "baseUnit": unit}},
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *plant) judge(m message.Message) (v anomaly.Verdict) {
	p.t.Helper()
	p.do(func(ctx context.Context, tx *store.Tx) (err error) {
		v, err = p.w.Judge(ctx, tx, m)
		return err
	})
	return v
}

// tenfold is a number whose point has slipped.
func tenfold(s string) string {
	whole, part, _ := strings.Cut(s, ".")
	return whole + part + strings.Repeat("0", 1-len(part))
}

func (p *plant) do(fn func(ctx context.Context, tx *store.Tx) error) {
	p.t.Helper()
	if err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return fn(p.t.Context(), tx) }); err != nil {
		p.t.Fatal(err)
	}
}

// learn reports what is usual n times; nothing of it may be doubted.
func (p *plant) learn(n int) {
	p.t.Helper()
	p.all(n, func(int) message.Message { return p.message(p.usual()) })
}

// all judges n messages in one transaction; nothing may be doubted.
func (p *plant) all(n int, next func(i int) message.Message) {
	p.t.Helper()
	p.do(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			v, err := p.w.Judge(ctx, tx, next(i))
			if err != nil {
				return err
			}
			if len(v.Doubts) > 0 {
				p.t.Errorf("doubts report %d of what is usual: %s", i, v.Words())
			}
		}
		return nil
	})
}

// learned is how many samples are.
func (p *plant) learned() (n int64) {
	p.t.Helper()
	p.do(func(ctx context.Context, tx *store.Tx) error {
		all, err := p.w.Export(ctx, tx, "")
		for _, u := range all {
			n += u.Learned
		}
		return err
	})
	return n
}

func TestWhatIsFarFromUsualIsHeldWithWordsForAPerson(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *report)
		field  string // "" means that nothing is doubted
		words  string
	}{
		{"usual", func(*report) {}, "", ""},
		{"a yield with a slipped point", func(r *report) { r.yield += "0" }, "yield", "10 times too much, as if a decimal point had slipped"},
		{"half a lot", func(r *report) { r.yield, r.machine = "40", "80" }, "", ""},
		{"the last piece of an order", func(r *report) { r.yield, r.scrap, r.machine = "1", "0", "2" }, "", ""},
		{"twice the time, as after a stoppage", func(r *report) { r.machine = "400" }, "", ""},
		{"minutes entered as hours", func(r *report) { r.unit = "HUR" }, "machine_time", "60 times too much, as if the unit were another"},
		{"minutes entered as seconds", func(r *report) { r.unit = "SEC" }, "machine_time", "60 times too little"},
		{"a time with a slipped point", func(r *report) { r.machine = "20" }, "machine_time", "10 times too little"},
		{"ten times the scrap", func(r *report) { r.scrap = "30" }, "scrap", "scrap ratio"},
		{"a time that is negative", func(r *report) { r.machine = "-200" }, "negative", "machine time below zero"},
		{"the hours of a unit that nobody knows", func(r *report) { r.unit = "FORTNIGHT" }, "", ""},
	}
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(100)
		for _, tt := range tests {
			p.t.Run(tt.name, func(t *testing.T) {
				r := p.usual()
				r.order = "o2"
				tt.change(&r)
				v := p.judge(p.message(r))
				if tt.field == "" {
					if len(v.Doubts) > 0 {
						t.Errorf("doubts it: %s", v.Words())
					}
					return
				}
				found := false
				for _, d := range v.Doubts {
					found = found || d.Field == tt.field && strings.Contains(d.Words, tt.words)
				}
				if !found || v.Action != anomaly.Hold {
					t.Errorf("%s %q, want %s with %q", v.Action, v.Words(), tt.field, tt.words)
				}
			})
		}
	})
}

func TestConsumptionIsJudgedByThePiecesThatWereConfirmed(t *testing.T) {
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		var pieces, scrap float64
		p.all(120, func(i int) message.Message {
			if i%2 == 1 {
				return p.issue("o1", fmt.Sprintf("%.2f", (pieces+scrap)*(4+0.1*p.rand.Float64())), "KG")
			}
			r := p.usual()
			if _, err := fmt.Sscan(r.yield, &pieces); err != nil {
				p.t.Fatal(err)
			}
			if _, err := fmt.Sscan(r.scrap, &scrap); err != nil {
				p.t.Fatal(err)
			}
			return p.message(r)
		})
		p.judge(p.message(p.usual()))
		v := p.judge(p.issue("o1", "4100", "KG"))
		if got := v.Words(); !strings.HasPrefix(got, "consumed 4") || !strings.Contains(got, "KG a piece; usual 4") || !strings.Contains(got, "over 60 issues: 10 times too much") {
			p.t.Errorf("it says %q", got)
		}
		if v := p.judge(p.issue("o9", "4100", "KG")); len(v.Doubts) > 0 {
			p.t.Errorf("doubts an issue before anything was confirmed: %s", v.Words())
		}
	})
}

// TestAnIssueIsJudgedByAllThatWasMade: also by what was not learned, or has been forgotten since, but not by what was taken back. What nobody knows the pieces of
// is not judged.
func TestAnIssueIsJudgedByAllThatWasMade(t *testing.T) {
	of := func(yield, machine string) report {
		return report{order: "o2", material: "FG", operation: "0010", yield: yield, scrap: "0", machine: machine, unit: "MIN"}
	}
	reset := func(p *plant) {
		p.do(func(ctx context.Context, tx *store.Tx) error { _, err := p.w.Reset(ctx, tx, "FG", ""); return err })
	}
	tests := []struct {
		name   string
		before func(p *plant)
		right  string // kg
		judged bool
	}{
		{"of one that is doubted for its time alone", func(p *plant) { p.flagged(of("100", "2000")) }, "405", true},
		{"of two, one of which is", func(p *plant) { p.flagged(of("120", "2400")); p.passes(of("100", "200")) }, "891", true},
		{"of one that was forgotten since", func(p *plant) { p.passes(of("100", "200")); reset(p) }, "405", true},
		{"of one of two that was taken back", func(p *plant) { p.takeBack(p.passes(of("100", "200"))); p.passes(of("110", "220")) }, "445.5", true},
		{"of one whose pieces are doubted", func(p *plant) { p.passes(of("100", "200")); p.flagged(of("1000", "200")) }, "810", false},
		{"since an issue that was taken back", func(p *plant) {
			p.passes(of("100", "200"))
			m := p.issue("o2", "300", "KG")
			p.judge(m)
			p.takeBack(m)
		}, "405", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, anomaly.Config{Policy: anomaly.Flag}, func(p *plant) {
				p.consuming()
				tt.before(p)
				if v := p.judge(p.issue("o2", tt.right, "KG")); len(v.Doubts) > 0 {
					t.Errorf("doubts what is right: %s", v.Words())
				}
			})
			each(t, anomaly.Config{Policy: anomaly.Flag}, func(p *plant) {
				p.consuming()
				tt.before(p)
				if v := p.judge(p.issue("o2", tenfold(tt.right), "KG")); (len(v.Doubts) > 0) != tt.judged {
					t.Errorf("of ten times as much it says %q, want that it is doubted: %t", v.Words(), tt.judged)
				}
			})
		})
	}
}

// consuming learns what is usual, and what a piece consumes: 4 to 4.1 kg.
func (p *plant) consuming() {
	p.t.Helper()
	var pieces, scrap float64
	p.all(120, func(i int) message.Message {
		if i%2 == 1 {
			return p.issue("o1", fmt.Sprintf("%.2f", (pieces+scrap)*(4+0.1*p.rand.Float64())), "KG")
		}
		r := p.usual()
		if _, err := fmt.Sscan(r.yield, &pieces); err != nil {
			p.t.Fatal(err)
		}
		if _, err := fmt.Sscan(r.scrap, &scrap); err != nil {
			p.t.Fatal(err)
		}
		return p.message(r)
	})
}

// passes reports what nobody doubts, now.
func (p *plant) passes(r report) message.Message {
	p.t.Helper()
	return p.reports(r, false)
}

// flagged reports what is doubted, now.
func (p *plant) flagged(r report) {
	p.t.Helper()
	p.reports(r, true)
}

func (p *plant) reports(r report, doubted bool) message.Message {
	p.t.Helper()
	if r.at.IsZero() {
		p.n++
		r.at = start.Add(time.Duration(p.n) * 17 * time.Minute)
	}
	m := p.message(r)
	if v := p.judge(m); (len(v.Doubts) > 0) != doubted {
		p.t.Fatalf("of a report of %s in %s min it says %q, want that it is doubted: %t", r.yield, r.machine, v.Words(), doubted)
	}
	return m
}

// takeBack reverses a report.
func (p *plant) takeBack(m message.Message) {
	p.t.Helper()
	kind, what := "confirmation.reversed", "confirmation"
	if m.Kind == "goods.issued" {
		kind, what = "goods.reversed", "movement"
	}
	p.n++
	back, err := message.New(fmt.Sprintf("e%d", p.n), kind, m.Key, start, map[string]any{"order": map[string]any{"id": m.Key}, what: map[string]any{"reverses": m.ID}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.judge(back)
}

// TestWhatIsTakenBackWasNeverReported: the same again is no second time, what is posted before it in no wrong order, and nobody can have it learned.
func TestWhatIsTakenBackWasNeverReported(t *testing.T) {
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(20)
		r := p.usual()
		r.at = r.at.Add(24 * time.Hour)
		p.takeBack(p.passes(r))
		r.at = r.at.Add(50 * time.Second)
		again := p.passes(r)
		p.takeBack(again)
		r.at = r.at.Add(-time.Hour)
		p.passes(r)
	})
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(60)
		before := p.learned()
		r := p.usual()
		r.machine = "1900"
		m := p.reports(r, true)
		p.takeBack(m)
		p.do(func(ctx context.Context, tx *store.Tx) error {
			return p.w.Accept(ctx, tx, m, "local:anna", "slow tool")
		})
		if got := p.learned(); got != before {
			p.t.Errorf("learned %d of %d: it was taken back", got, before)
		}
	})
}

func TestTheSameTwiceAndTheWrongOrder(t *testing.T) {
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(20)
		r := p.usual()
		p.judge(p.message(r))
		r.at = r.at.Add(20 * time.Second)
		if v := p.judge(p.message(r)); len(v.Doubts) == 0 || v.Doubts[0].Field != anomaly.Duplicate || v.Action != anomaly.Hold {
			p.t.Errorf("%s %q, want that it was entered twice", v.Action, v.Words())
		}
		r.at, r.yield = start, "91"
		if v := p.judge(p.message(r)); len(v.Doubts) == 0 || v.Doubts[0].Field != anomaly.Sequence || v.Action != anomaly.Flag {
			p.t.Errorf("%s %q, want that it came in another order", v.Action, v.Words())
		}
	})
}

func TestWhatIsDoubtfulIsNotLearnedUntilAPersonSaysSo(t *testing.T) {
	for _, policy := range []anomaly.Action{anomaly.Flag, anomaly.Hold} {
		t.Run(string(policy), func(t *testing.T) {
			each(t, anomaly.Config{Policy: policy}, func(p *plant) {
				p.learn(60)
				before := p.learned()
				odd := func() message.Message {
					r := p.usual()
					r.machine = fmt.Sprintf("%.0f", 1900+100*p.rand.Float64())
					return p.message(r)
				}
				m := odd()
				if v := p.judge(m); v.Action != policy {
					p.t.Fatalf("action %s %s", v.Action, v.Words())
				}
				if got := p.learned(); got != before {
					p.t.Errorf("learned %d of %d", got, before)
				}
				accept := func() error {
					return p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.w.Accept(p.t.Context(), tx, m, "local:anna", "slow tool") })
				}
				if err := accept(); err != nil {
					p.t.Fatal(err)
				}
				if err := accept(); problem.KindOf(err) != problem.Conflict {
					p.t.Errorf("accepted twice: %v, want a conflict: it would teach twice", err)
				}
				if got := p.learned(); got != before+1 {
					p.t.Errorf("learned %d, want %d", got, before+1)
				}
				if v := p.judge(odd()); len(v.Doubts) > 0 {
					p.t.Errorf("doubts the like of what was accepted: %s", v.Words())
				}
			})
		})
	}
}

func TestErrorsThatAreLearnedHardlyMoveTheLimits(t *testing.T) {
	limits := func(every int) (low, high float64) {
		one(t, anomaly.Config{Policy: anomaly.Off, Fields: map[string]anomaly.Action{"interval": anomaly.Flag}}, func(p *plant) {
			p.all(anomaly.Ring, func(i int) message.Message {
				r := p.usual()
				if every > 0 && i%every == 0 {
					r.machine = tenfold(r.machine)
				}
				return p.message(r)
			})
			p.do(func(ctx context.Context, tx *store.Tx) error {
				all, err := p.w.Export(ctx, tx, "FG")
				for _, f := range all[0].Profiles {
					if f.Field == "machine_time" {
						low, high = f.Median/(1+6*f.Spread), f.Median*(1+6*f.Spread)
					}
				}
				return err
			})
		})
		return low, high
	}
	low, high := limits(0)
	badLow, badHigh := limits(100)
	if low == 0 || badLow/low < 0.9 || badHigh/high > 1.1 {
		t.Errorf("limits %g to %g, with 1 in 100 ten times too big %g to %g: more than a tenth off", low, high, badLow, badHigh)
	}
}

func TestRepetitionsRollbacksAndNodesCountNothingTwice(t *testing.T) {
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(20)
		m := p.message(p.usual())
		undone := errors.New("undone")
		for range 3 {
			err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
				_, err := p.w.Judge(p.t.Context(), tx, m)
				return errors.Join(err, undone)
			})
			if !errors.Is(err, undone) {
				p.t.Fatal(err)
			}
		}
		if got := p.learned(); got != 20 {
			p.t.Errorf("learned %d, want 20: the others were undone", got)
		}
		var nodes sync.WaitGroup
		for range 8 { // a node of its own each: all that a Watch knows is in the database
			nodes.Go(func() {
				w := anomaly.New(anomaly.Config{Policy: anomaly.Hold})
				if err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error { _, err := w.Judge(p.t.Context(), tx, m); return err }); err != nil {
					p.t.Error(err)
				}
			})
		}
		nodes.Wait()
		if got := p.learned(); got != 21 {
			p.t.Errorf("learned %d, want 21", got)
		}
	})
}

func TestWhatIsTakenBackIsForgotten(t *testing.T) {
	each(t, anomaly.Config{}, func(p *plant) {
		p.learn(10)
		m := p.message(p.usual())
		p.judge(m)
		back, err := message.New("back", "confirmation.reversed", "o1", start, map[string]any{"order": map[string]any{"id": "o1"}, "confirmation": map[string]any{"reverses": m.ID}})
		if err != nil {
			p.t.Fatal(err)
		}
		p.judge(back)
		if got := p.learned(); got != 10 {
			p.t.Errorf("learned %d, want 10", got)
		}
	})
}

func TestANewMaterialIsJudgedByWhatLiesAbove(t *testing.T) {
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(100)
		r := p.usual()
		r.operation = "0020"
		if v := p.judge(p.message(r)); len(v.Doubts) > 0 {
			p.t.Errorf("doubts it: %s", v.Words())
		}
		r.machine = tenfold(r.machine)
		if v := p.judge(p.message(r)); !strings.Contains(v.Words(), "of the material in any operation") || v.Doubts[0].Profile.Level != anomaly.OfMaterial {
			p.t.Errorf("it says %q", v.Words())
		}
		r.material = "NEW"
		if v := p.judge(p.message(r)); !strings.Contains(v.Words(), "of any material, since this one is new") {
			p.t.Errorf("it says %q", v.Words())
		}
	})
}

func TestASlowDriftIsFollowed(t *testing.T) {
	one(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.all(600, func(i int) message.Message { // in the end five times as slow, which at once would be doubted
			r := p.usual()
			r.machine = fmt.Sprintf("%.1f", 200*(1+float64(i)/150)*(0.95+0.1*p.rand.Float64()))
			return p.message(r)
		})
	})
}

func TestTidyKeepsTheProfileAndTheCount(t *testing.T) {
	each(t, anomaly.Config{Policy: anomaly.Hold}, func(p *plant) {
		p.learn(2*anomaly.Ring + 30)
		export := func() (all []anomaly.Usual) {
			p.do(func(ctx context.Context, tx *store.Tx) (err error) {
				all, err = p.w.Export(ctx, tx, "")
				return err
			})
			return all
		}
		before, _ := json.Marshal(export())
		for range 2 {
			p.do(func(ctx context.Context, tx *store.Tx) error { return p.w.Tidy(ctx, tx) })
		}
		after, _ := json.Marshal(export())
		if diff := cmp.Diff(string(before), string(after)); diff != "" {
			p.t.Errorf("another profile (-before +after):\n%s", diff)
		}
		var rows int
		p.do(func(ctx context.Context, tx *store.Tx) error {
			return tx.Get(ctx, &rows, `SELECT COUNT(*) FROM anomaly_samples`)
		})
		if rows != anomaly.Ring {
			p.t.Errorf("%d samples are kept, want %d", rows, anomaly.Ring)
		}
		p.do(func(ctx context.Context, tx *store.Tx) error { _, err := p.w.Reset(ctx, tx, "FG", "0010"); return err })
		if got := p.learned(); got != 0 {
			p.t.Errorf("%d learned after the reset", got)
		}
	})
}

func TestActionsByKindAndField(t *testing.T) {
	tests := []struct {
		name string
		cfg  anomaly.Config
		want anomaly.Action
	}{
		{"nothing said", anomaly.Config{}, anomaly.Flag},
		{"held", anomaly.Config{Policy: anomaly.Hold}, anomaly.Hold},
		{"the field is off", anomaly.Config{Policy: anomaly.Hold, Fields: map[string]anomaly.Action{"machine_time": anomaly.Off}}, anomaly.Off},
		{"the kind is flagged", anomaly.Config{Policy: anomaly.Hold, Kinds: map[string]anomaly.Action{"operation.confirmed": anomaly.Flag}}, anomaly.Flag},
		{"the field before the kind", anomaly.Config{Kinds: map[string]anomaly.Action{"operation.confirmed": anomaly.Flag}, Fields: map[string]anomaly.Action{"machine_time": anomaly.Hold}}, anomaly.Hold},
		{"a kind that is off stays off", anomaly.Config{Kinds: map[string]anomaly.Action{"operation.confirmed": anomaly.Off}, Fields: map[string]anomaly.Action{"machine_time": anomaly.Hold}}, anomaly.Off},
		{"off", anomaly.Config{Policy: anomaly.Off}, anomaly.Off},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			one(t, tt.cfg, func(p *plant) {
				p.learn(60)
				r := p.usual()
				r.machine = tenfold(r.machine)
				if v := p.judge(p.message(r)); v.Action != tt.want {
					t.Errorf("got %s %q, want %s", v.Action, v.Words(), tt.want)
				}
			})
			if len(tt.cfg.Check()) > 0 {
				t.Errorf("it is refused: %v", tt.cfg.Check())
			}
		})
	}
	wrong := anomaly.Config{Policy: "never", Kinds: map[string]anomaly.Action{"lot.created": anomaly.Hold}, Fields: map[string]anomaly.Action{"yeild": anomaly.Hold}}.Check()
	if len(wrong) != 3 {
		t.Errorf("refuses %v, want three keys", wrong)
	}
}

func FuzzJudgeTakesAnyBody(f *testing.F) {
	db := storetest.SQLite(f)
	f.Add("operation.confirmed", []byte(`{"order":{},"confirmation":{"booked":{"yield":"1e3000"},"machineTime":-1,"end":"0001-01-01T00:00:00Z"}}`))
	f.Add("goods.issued", []byte(`{"order":{"id":"o"},"movement":{"items":[{"baseQuantity":"-0"},{}]}}`))
	f.Add("goods.reversed", []byte(`null`))
	n := 0
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		n++
		m := message.Message{ID: fmt.Sprint(n), Kind: kind, Body: body}
		if err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := anomaly.New(anomaly.Config{Policy: anomaly.Hold}).Judge(t.Context(), tx, m)
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}
