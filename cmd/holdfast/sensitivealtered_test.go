package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestAnAlteredTokenParksItsLaneWithAnAlert: who writes another's value into the row of a token has nothing of it delivered or shown, and the
// alert says which token it is, at the delivery and at each look.
func TestAnAlteredTokenParksItsLaneWithAnAlert(t *testing.T) {
	erp := &repeating{heard: []string{""}}
	srv := httptest.NewServer(erp)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	if status := run(t.Context(), []string{"init", dir, "--erp", srv.URL}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sensitive = &SensitiveConfig{}
	l := cfg.Links["erp"]
	l.Reveal = []string{"person"}
	cfg.Links["erp"] = l
	p := canaryPlant(t, cfg, slog.New(slog.DiscardHandler))
	if err := p.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	reportAs(t, p, theirs)
	tok := storedToken(t, p)
	err = p.db.InTx(t.Context(), func(tx *store.Tx) error {
		other, err := p.tokens.Of(t.Context(), tx, "person", "another")
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), `UPDATE tokens SET value = (SELECT value FROM tokens WHERE token = ?) WHERE token = ?`, other, tok)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	relayUntil(t, p, func(m outbox.Detail) bool {
		if m.Settled {
			t.Fatal("it was delivered")
		}
		return m.LaneState.State == outbox.Parked
	})
	want := []string{"token/" + tok}
	if got := toldAltered(t, p); !slices.Equal(got, want) {
		t.Errorf("once its lane is parked, told of %q, want %q", got, want)
	}
	form := url.Values{"token": {tok}, "reason": {"an accident report"}, "key": {"0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a"}}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/console/tokens/show", strings.NewReader(form.Encode()))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if p.openConsole().Handler().ServeHTTP(w, r); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("the look is answered by %d: %s", w.Code, w.Body)
	}
	if got := toldAltered(t, p); !slices.Equal(got, append(want, want...)) {
		t.Errorf("once it was looked up, told of %q, want %q twice", got, want)
	}
}

// toldAltered are the objects of which the record has the alert message.altered.
func toldAltered(t *testing.T, p *process) (objects []string) {
	t.Helper()
	err := p.db.View(t.Context(), func(tx *store.Tx) error {
		all, err := audit.List(t.Context(), tx, audit.Filter{Action: "message.altered"})
		for _, e := range all {
			objects = append(objects, e.Object)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
