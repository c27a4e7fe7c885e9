package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestNodesShareTheWorkAndSurviveStops has two nodes relay from one database while messages come in and one node is stopped and
// started again and again. Every eleventh answer is lost.
func TestNodesShareTheWorkAndSurviveStops(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		t.Parallel()
		p := newPlant(t, db)
		p.losing()
		settled, done := db.Subscribe(outbox.Settled)
		defer done()

		p.cfg.Node = "n1"
		stop1 := p.start()
		var ids []string
		for i := range 300 {
			id := fmt.Sprintf("e%d", i)
			p.owe(event(id, "operation.confirmed", fmt.Sprintf("o%d", i%17)))
			ids = append(ids, id)
			if i%50 == 0 {
				p.cfg.Node = "n2"
				stop2 := p.start()
				<-settled
				stop2()
			}
		}
		for p.links().Owed > 0 {
			<-settled
		}
		stop1()
		p.wantOnce(ids...)
	})
}

func TestDeliveryIsMeasuredAndTraced(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		spans := tracetest.NewSpanRecorder()
		metrics := prometheus.NewRegistry()
		p.cfg.Tracer, p.cfg.Metrics = trace.NewTracerProvider(trace.WithSpanProcessor(spans)), metrics
		p.erp.Answer = first(verdict(message.Unsure), false)
		m := event("a", "operation.confirmed", "o1")
		m.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		p.owe(m)
		p.runFor(30 * time.Second)
		var names []string
		for _, s := range spans.Ended() {
			names = append(names, s.Name())
			if got := s.SpanContext().TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
				t.Errorf("span %s belongs to trace %s, want that of the call", s.Name(), got)
			}
		}
		if got, want := fmt.Sprint(names), "[deliver operation.confirmed ask operation.confirmed deliver operation.confirmed]"; got != want {
			t.Errorf("spans %s, want %s", got, want)
		}
		for name, want := range map[string]int{"holdfast_relay_outcomes_total": 3, "holdfast_outbox_owed": 1, "holdfast_outbox_in_doubt": 1, "holdfast_relay_delivery_seconds": 1} {
			if got, err := testutil.GatherAndCount(metrics, name); err != nil || got != want {
				t.Errorf("%s has %d series, %v, want %d", name, got, err, want)
			}
		}
		if problems, err := testutil.GatherAndLint(metrics); err != nil || len(problems) != 0 {
			t.Errorf("metrics: %v, %v", problems, err)
		}
	})
}

// silent is an adapter that does not keep its promise of one outcome for each delivery, the first time.
type silent struct {
	*adaptertest.Recorder
	spoken atomic.Bool
}

func (s *silent) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	all := s.Recorder.Deliver(ctx, ds)
	if s.spoken.CompareAndSwap(false, true) {
		return nil
	}
	return all
}

func TestWhatTheAdapterSaysNothingOfIsAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.link.Deliverer = &silent{Recorder: p.erp}
		ids := p.oweMany(1, 3)
		p.runFor(time.Minute)
		p.wantOnce(ids...)
	})
}

// TestNothingIsClaimedUnderANameThatIsNotOurs has another process take the node's name for a while, and be killed with a lane in hand.
func TestNothingIsClaimedUnderANameThatIsNotOurs(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var others atomic.Bool
		p.cfg.Node, p.cfg.Term = "n1", func() uint64 {
			if others.Load() {
				return 0
			}
			return 1
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		stop := p.start()
		time.Sleep(5 * time.Second)
		others.Store(true)
		p.owe(event("b", "operation.confirmed", "o2"))
		time.Sleep(5 * time.Second)
		if got := len(p.erp.Calls()); got != 1 {
			t.Errorf("%d calls, want only the one before", got)
		}
		p.claimAs("n1")
		others.Store(false)
		time.Sleep(10 * time.Second)
		stop()
		p.wantOnce("a", "b")
	})
}

// TestWorkGoesOnAfterTheDatabaseWasAway has every transaction fail for a while, in the middle of deliveries.
func TestWorkGoesOnAfterTheDatabaseWasAway(t *testing.T) {
	var away atomic.Bool
	var db *store.DB
	before := func(context.Context, string) error {
		if away.Load() {
			return &problem.Error{Kind: problem.Unavailable, Why: "the database is away"}
		}
		return nil
	}
	db = storetest.SQLite(t, storetest.WithBefore(before))
	p := newPlant(t, db)
	p.cfg.Poll = 20 * time.Millisecond
	var n atomic.Int64
	delivered := make(chan struct{}, 100)
	p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
		if n.Add(1) == 5 {
			away.Store(true)
		}
		delivered <- struct{}{}
		return message.Outcome{Verdict: message.Delivered}, true
	}
	settled, done := db.Subscribe(outbox.Settled)
	defer done()
	ids := p.oweMany(10, 2)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r := relay.New(db, p.out, p.rule, seal.Chain, map[string]relay.Link{"erp": p.link}, p.cfg, slog.New(slog.DiscardHandler))
	go func() { ended <- r.Run(ctx) }()
	for range 5 {
		<-delivered
	}
	away.Store(false)
	for p.links().Owed > 0 {
		<-settled
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.wantOnce(ids...)
}

// TestLaneWhoseAnswersCannotBeRecordedParksAlone has the database refuse what one lane's ERP answered, whatever else is settled.
func TestLaneWhoseAnswersCannotBeRecordedParksAlone(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `CREATE TRIGGER refuse BEFORE INSERT ON outbox_delivered WHEN NEW.lane = 'o3' BEGIN SELECT RAISE(ABORT, 'no such receipt'); END`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p.oweMany(6, 3)
		stop := p.start()
		time.Sleep(30 * time.Second)
		if l := p.lane("o3"); l.State != outbox.Parked || !strings.Contains(l.Reason, "no such receipt") || l.Owed != 3 || l.InHand != "" {
			t.Errorf("got %+v, want it parked with the reason", l)
		}
		if got := p.links().Owed; got != 3 {
			t.Errorf("%d messages are owed, want only those of one lane", got)
		}
		err = p.act(func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.Exec(ctx, `DROP TRIGGER refuse`); err != nil {
				return err
			}
			return p.out.Resume(ctx, tx, "erp", "o3", "mended")
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		stop()
		for id, n := range p.erp.Effects() {
			if n != 1 {
				t.Errorf("%s took effect %d times, want once", id, n)
			}
		}
		if got := p.links().Owed; got != 0 {
			t.Errorf("%d messages are still owed", got)
		}
	})
}

// TestANameThatWasLostForAMomentTakesBackItsLanes has another process take the node's name, send what this one has in hand, and be
// killed, all between two looks at whose name it is.
func TestANameThatWasLostForAMomentTakesBackItsLanes(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var term atomic.Uint64
		term.Store(1)
		p.cfg.Node, p.cfg.Term = "n1", term.Load
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			if d.Event.Message().Number == 1 {
				time.Sleep(4 * time.Second)
			}
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D"}}, true
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		p.owe(event("b", "operation.confirmed", "o1"))
		stop := p.start()
		time.Sleep(time.Second)
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			_, err := p.out.TakeBack(ctx, tx, "n1", "erp", nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // until what was taken back is due
		var b message.Delivery
		if b.Event, err = message.Verify(t.Context(), nothing{}, p.claimAs("n1")[0].Messages[1].Message); err != nil {
			t.Fatal(err)
		}
		term.Store(2)
		p.erp.Deliver(t.Context(), []message.Delivery{b})
		time.Sleep(time.Minute)
		stop()
		if n, owed := p.erp.Effects()[b.Event.Message().ID], p.links().Owed; n != 1 || owed != 0 {
			t.Errorf("the second message took effect %d times, %d are owed, want once and none", n, owed)
		}
	})
}
