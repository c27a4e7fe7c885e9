package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/inbox"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// outage is a plant in a synctest bubble that reports four messages a second over a link which may send twenty, while the ERP is away and after.
type outage struct {
	t     *testing.T
	db    *store.DB
	out   *outbox.Outbox
	pages *console.Console
	down  atomic.Bool
}

// during runs test on a plant that has worked for two minutes.
func during(t *testing.T, test func(p *outage)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		quiet := slog.New(slog.DiscardHandler)
		p := &outage{t: t, db: db, out: outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:plant:1000", outbox.Config{})}
		erp := &adaptertest.Recorder{Answer: func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			if p.down.Load() {
				return message.Outcome{Verdict: message.Again, LinkDown: true}, true
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}}
		r := relay.New(db, p.out, nil, seal.Chain, map[string]relay.Link{"erp": {Deliverer: erp, Rate: 20}}, relay.Config{}, quiet)
		plant := mes.New(owing{p.out}, mes.Config{})
		p.pages = p.console(inbox.New(db, refusing{}, plant.Apply, inbox.Config{}, quiet), plant)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 3)
		go func() { ended <- r.Run(ctx) }()
		go func() { ended <- p.pages.Run(ctx) }()
		go func() { ended <- p.produce(ctx) }()
		time.Sleep(2 * time.Minute)
		test(p)
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (p *outage) console(in *inbox.Inbox, plant *mes.Plant) *console.Console {
	space := func(context.Context) (console.Space, error) {
		owed := int64(p.owed())
		return console.Space{Free: 16<<30 - owed<<20, Used: owed << 20}, nil // a mebibyte a message
	}
	return console.New(console.Parts{DB: p.db, Plant: plant, Outbox: p.out, Inbox: in, Doer: access.New(p.db), Gate: console.Local{}},
		console.Config{Plant: "1000", Links: []console.Link{{Name: "erp", Kind: "rest", Rate: 20}}, Space: space}, slog.New(slog.DiscardHandler))
}

// produce reports until ctx ends.
func (p *outage) produce(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("e%d", n)
		m := message.Message{ID: id, Kind: "operation.confirmed", Version: 1, Key: id, Time: p.db.Now(), Body: []byte(`{}`), Place: message.Place{Role: message.Event}}
		if err := p.db.InTx(context.WithoutCancel(ctx), func(tx *store.Tx) error { return p.out.Append(context.WithoutCancel(ctx), tx, m) }); err != nil {
			return err
		}
		time.Sleep(250 * time.Millisecond)
	}
	return nil
}

func (p *outage) owed() int64 {
	p.t.Helper()
	var l outbox.Link
	err := p.db.View(context.Background(), func(tx *store.Tx) error {
		links, err := p.out.Links(context.Background(), tx)
		if len(links) > 0 {
			l = links[0]
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return l.Owed
}

// forecast reads from the first page how long the queue takes.
func (p *outage) forecast() time.Duration {
	p.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://127.0.0.1"+console.Root, nil)
	r.RemoteAddr = "127.0.0.1:1"
	p.pages.Handler().ServeHTTP(w, r)
	found := regexp.MustCompile(`<data value="([0-9.e+]+)">`).FindStringSubmatch(w.Body.String())
	if found == nil {
		p.t.Fatalf("%d, no forecast in %s", w.Code, w.Body)
	}
	s, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(s * float64(time.Second))
}

// TestTheQueueIsDrainedWhenTheForecastSays, within a fifth: while the ERP is away, and when it has just come back, though reports go on.
func TestTheQueueIsDrainedWhenTheForecastSays(t *testing.T) {
	during(t, func(p *outage) {
		p.down.Store(true)
		time.Sleep(10 * time.Minute)
		away := p.forecast()
		p.down.Store(false)
		begun := time.Now()
		for queued := p.owed(); p.owed() >= queued; {
			time.Sleep(time.Second)
		}
		back, after := p.forecast(), time.Since(begun)
		time.Sleep(30 * time.Second)
		later, meanwhile := p.forecast(), time.Since(begun)
		for p.owed() > 20 {
			time.Sleep(time.Second)
		}
		took := time.Since(begun)
		for when, said := range map[string]time.Duration{"away": away, "just back": after + back, "back for half a minute": meanwhile + later} {
			if off := math.Abs(said.Seconds()/took.Seconds() - 1); off > 0.2 {
				t.Errorf("while the ERP was %s: %s was foretold, and it took %s: %.0f %% off", when, said, took, 100*off)
			}
		}
	})
}

// TestACommandForetellsWhatThePageDoes, at each moment of an outage and after.
func TestACommandForetellsWhatThePageDoes(t *testing.T) {
	during(t, func(p *outage) {
		t := p.t
		p.down.Store(true)
		time.Sleep(5*time.Minute + 17*time.Second)
		for _, when := range []string{"away", "just back", "back for a while"} {
			var said time.Duration
			err := p.db.View(t.Context(), func(tx *store.Tx) error {
				links, err := p.out.Links(t.Context(), tx)
				if err != nil {
					return err
				}
				o, err := console.Foretell(t.Context(), tx, links)
				if err == nil {
					said, _ = o.Drain(links[0], 20)
				}
				return err
			})
			if page := p.forecast(); err != nil || math.Abs(page.Seconds()-said.Seconds()) > 1+said.Seconds()/10 { // a page may be some seconds old
				t.Errorf("%s: the page foretells %s, a command %s, %v", when, page, said, err)
			}
			p.down.Store(false)
			time.Sleep(13 * time.Second)
		}
	})
}

// TestTheChartsOutliveARestart, and commands say with them for how long the store lasts.
func TestTheChartsOutliveARestart(t *testing.T) {
	during(t, func(p *outage) {
		p.down.Store(true)
		time.Sleep(20 * time.Minute)
		var o console.Outlook
		err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) { o, err = console.ReadOutlook(p.t.Context(), tx); return err })
		if err != nil {
			t.Fatal(err)
		}
		free := 16<<30 - p.owed()<<20
		want := time.Duration(float64(free) / (4 << 20) * float64(time.Second)) // it grows by four messages a second, for 20 of the 22 minutes
		if got := o.Lasts(free); got < want || got > want*12/10 {
			t.Errorf("the store lasts for %s, want some %s at %.0f bytes a second", got, want, o.Growth())
		}
	})
}
