package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

// TestASensitiveValueReachesSAPAndNothingElse reports work under a personnel number over links of kind sap and odata. SAP has room for
// its beginning only, refuses it first in words that repeat that, and then takes it.
func TestASensitiveValueReachesSAPAndNothingElse(t *testing.T) {
	for _, kind := range []string{"sap", "odata"} {
		t.Run(kind, func(t *testing.T) { plantPersonAtSAP(t, kind) })
	}
}

func plantPersonAtSAP(t *testing.T, kind string) {
	const cut = "canary-4715-" // as much of theirs as the field takes
	w := sapWithReveal(t, kind, 1, edmx.Rule{Text: "Person " + cut + " is locked", Count: 1})
	reportAs(t, w.process, theirs)
	deliverAll(t, w.process)

	if said := w.heard.said(); strings.Count(said, cut) < 2 {
		t.Errorf("SAP was told %s, want the number twice", said)
	}
	m := confirmed(t, w.process)
	told, err := json.Marshal(m.History)
	if err != nil || !strings.Contains(string(told), "Person "+storedToken(t, w.process)+" is locked") {
		t.Errorf("the history has %s, %v; want SAP's words with the token", told, err)
	}
	searchAll(t, w.process, w.dir, w.log.Bytes(), theirs, cut)
}

// TestAPartOfABatchThatNamesAnotherIsKeptWithTokens: persons report on orders, whose confirmations go to SAP in $batches. SAP refuses one of
// them in words that repeat the number of its person, and that of a person in another part.
func TestAPartOfABatchThatNamesAnotherIsKeptWithTokens(t *testing.T) {
	const stem, first, second = "canary-472", "canary-472a-", "canary-472b-" // as much of the numbers as the field takes
	w := sapWithReveal(t, "sap", 50, edmx.Rule{Field: "EnteredByExternalUser", Value: first, Text: "Person " + first + " is locked, and so is " + second})
	relaying(t, w.process)
	for n := range 3 { // a link begins with one request at a time, and joins more as they are taken
		reportOn(t, w.process, n+1, "canary-472c-person")
	}
	untilJudged(t, w.process, 3)
	pause := func(what func(context.Context, *store.Tx, string, string) error) {
		t.Helper()
		if err := w.db.InTx(t.Context(), func(tx *store.Tx) error { return what(t.Context(), tx, "erp", "stocktaking") }); err != nil {
			t.Fatal(err)
		}
	}
	pause(w.outbox.PauseLink)
	reportOn(t, w.process, 4, first+"person")
	reportOn(t, w.process, 5, second+"person")
	pause(w.outbox.ResumeLink)
	all := untilJudged(t, w.process, 5)
	together := slices.ContainsFunc(w.heard.all(), func(request string) bool {
		return strings.Contains(request, "/$batch") && strings.Contains(request, first) && strings.Contains(request, second)
	})
	if !together {
		t.Errorf("no $batch has both numbers: %s", w.heard.said())
	}
	parked := 0
	for _, m := range all {
		if m.LaneState.State == outbox.Parked {
			parked++
			if why := m.LaneState.Reason; strings.Contains(why, stem) || strings.Count(why, token.Prefix) != 2 {
				t.Errorf("the lane says %q, want SAP's words with two tokens", why)
			}
		}
	}
	if parked != 1 {
		t.Errorf("%d lanes are parked, want one", parked)
	}
	searchAll(t, w.process, w.dir, w.log.Bytes(), stem)
}

// relaying relays until the test ends.
func relaying(t *testing.T, p *process) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var work errgroup.Group
	work.Go(func() error { return p.relay(p.tel.registry).Run(ctx) })
	t.Cleanup(func() {
		stop()
		if err := work.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// confirmedLast is the last message that the plant owes.
func confirmedLast(t *testing.T, p *process) (last outbox.Detail) {
	t.Helper()
	err := p.db.View(t.Context(), func(tx *store.Tx) error {
		all, _, err := p.outbox.Messages(t.Context(), tx, outbox.Filter{Limit: 1}, "")
		if err == nil && len(all) > 0 {
			last, err = p.outbox.Message(t.Context(), tx, all[0].ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// untilJudged waits until each of so many messages is taken or has parked its lane, and gives them.
func untilJudged(t *testing.T, p *process, messages int) []outbox.Detail {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute) // a keyring that was away is asked every half minute
	defer stop()
	woken, done := p.db.Subscribe(outbox.Settled)
	defer done()
	for {
		var judged []outbox.Detail
		err := p.db.View(t.Context(), func(tx *store.Tx) error {
			all, _, err := p.outbox.Messages(t.Context(), tx, outbox.Filter{Limit: 10}, "")
			for _, m := range all {
				d, derr := p.outbox.Message(t.Context(), tx, m.ID)
				if err = errors.Join(err, derr); err == nil && (d.Settled || d.LaneState.State == outbox.Parked) {
					judged = append(judged, d)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(judged) == messages {
			return judged
		}
		select {
		case <-woken:
		case <-ctx.Done():
			t.Fatalf("%d of %d messages are taken or parked", len(judged), messages)
		}
	}
}

// sapWorld is a plant whose ERP has SAP's services, and is told who did what.
type sapWorld struct {
	*process
	dir   string
	log   *lockedLog
	heard *hearing
}

// sapWithReveal is a plant whose link of a kind joins so many writes, and whose ERP refuses confirmations by a rule.
func sapWithReveal(t *testing.T, kind string, batch int, refusal edmx.Rule) sapWorld {
	t.Helper()
	services, err := sapServices()
	if err != nil {
		t.Fatal(err)
	}
	sys, err := edmx.NewSystem(edmx.Config{}, services...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	for _, s := range sys.Services() {
		if s.Model().Sets["ProdnOrdConf2"] != nil {
			refusal.Set, refusal.Code = "ProdnOrdConf2", "RU/004"
			s.SetRules(refusal)
		}
	}
	w := sapWorld{dir: t.TempDir(), log: &lockedLog{}, heard: &hearing{next: sys.Handler()}}
	srv := httptest.NewServer(w.heard)
	t.Cleanup(srv.Close)
	if status := run(t.Context(), []string{"init", w.dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(w.dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	at := sapConfig(t)
	l := at.Links["erp"]
	l.SAP.BaseURL, l.SAP.Batch, l.Reveal = srv.URL, batch, []string{"person"}
	if kind == "odata" {
		l.Kind, l.OData = kind, l.SAP.Config
		at.Routes[0].Kinds = slices.DeleteFunc(at.Routes[0].Kinds, func(k string) bool { return k == mes.InspectionRecordedKind }) // sap alone looks up its keys
	}
	cfg.Links, cfg.Routes, cfg.Sensitive = map[string]LinkConfig{"erp": l}, at.Routes, &SensitiveConfig{}
	w.process = canaryPlant(t, cfg, slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err := w.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// hearing notes what a server is told.
type hearing struct {
	next http.Handler

	mu    sync.Mutex
	heard []string // guarded by mu
}

// ServeHTTP implements http.Handler.
func (h *hearing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	h.heard = append(h.heard, r.URL.Path+" "+string(body))
	h.mu.Unlock()
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	h.next.ServeHTTP(w, r)
}

func (h *hearing) said() string { return strings.Join(h.all(), "\n") }

// all are the requests that were heard.
func (h *hearing) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard)
}
