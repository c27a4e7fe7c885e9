package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"holdfast/adapters/erpmock/edmx"
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
			s.SetRules(edmx.Rule{Set: "ProdnOrdConf2", Code: "RU/004", Text: "Person " + cut + " is locked", Count: 1})
		}
	}
	heard := &hearing{next: sys.Handler()}
	srv := httptest.NewServer(heard)
	t.Cleanup(srv.Close)

	dir := t.TempDir()
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	at := sapConfig(t)
	l := at.Links["erp"]
	l.SAP.BaseURL, l.Reveal = srv.URL, []string{"person"}
	if kind == "odata" {
		l.Kind, l.OData = kind, l.SAP.Config
	}
	cfg.Links, cfg.Routes, cfg.Sensitive = map[string]LinkConfig{"erp": l}, at.Routes, &SensitiveConfig{}
	log := &lockedLog{}
	p := canaryPlant(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err := p.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	reportAs(t, p, theirs)
	deliverAll(t, p)

	if said := heard.said(); strings.Count(said, cut) < 2 {
		t.Errorf("SAP was told %s, want the number twice", said)
	}
	m := confirmed(t, p)
	told, err := json.Marshal(m.History)
	if err != nil || !strings.Contains(string(told), "Person "+storedToken(t, p)+" is locked") {
		t.Errorf("the history has %s, %v; want SAP's words with the token", told, err)
	}
	searchAll(t, p, dir, log.Bytes(), theirs, cut)
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

func (h *hearing) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.heard, "\n")
}
