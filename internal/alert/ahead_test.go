package alert_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// hooked is a channel to a receiver that keeps what it is told.
func (w *watched) hooked() (*alert.Forwarder, *[]string) {
	got := &[]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n alert.Notice
		_ = json.NewDecoder(r.Body).Decode(&n)
		*got = append(*got, fmt.Sprint(n.ID, " ", n.Alert, " ", n.Besides))
	}))
	w.t.Cleanup(srv.Close)
	hook := alert.NewChannel(w.db, w.tree.Place, "a", alert.Channel{Name: "hook", To: alert.Webhook{URL: srv.URL, Client: srv.Client()}, Plant: "1000"}, slog.New(slog.DiscardHandler))
	w.forward(hook)
	return hook, got
}

func (w *watched) exec(query string) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(w.t.Context(), query)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
}

// TestARecordThatStandsDoesNotSilenceItsAlarm breaks the record so that no entry gets a place: rules and channels go on, and tell nothing twice once it is whole.
func TestARecordThatStandsDoesNotSilenceItsAlarm(t *testing.T) {
	wrong := audit.Entry{Actor: "unknown", From: "10.1.2.3", Action: "access.sign-in", Object: "x", Outcome: audit.Refused}
	eachWatched(t, func(w *watched) {
		hook, got := w.hooked()
		w.act(5, wrong)
		w.exec(`UPDATE audit_tree SET size = size + 1000`)
		if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error {
			return w.alerts.Raise(w.t.Context(), tx, "threat.audit-gap", "audit/record", errors.New("it was cut"))
		}); err != nil {
			w.t.Fatal(err)
		}
		if err := w.tree.Place(w.t.Context()); problem.KindOf(err) != problem.Integrity {
			t.Fatalf("the record goes on: %v", err)
		}
		w.act(5, wrong)
		raised := []string{"threat.audit-gap audit/record", "threat.sign-ins-fail from/10.1.2.0/24"}
		w.want("while it stands", raised...)
		w.act(3, wrong)
		w.forward(hook)
		told := []string{"1000-entry-6 threat.audit-gap 0", "1000-entry-12 threat.sign-ins-fail 0"}
		if !slices.Equal(*got, told) {
			t.Errorf("while it stands the channel was told %q, want %q", *got, told)
		}

		w.exec(`UPDATE audit_tree SET size = size - 1000`)
		w.forward(w.rules)
		w.forward(hook)
		w.want("once it goes on", raised...)
		if !slices.Equal(*got, told) {
			t.Errorf("once it goes on the channel was told %q, want nothing anew", *got)
		}
		var left int
		if err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
			return tx.Get(w.t.Context(), &left, `SELECT COUNT(*) FROM siem_ahead`)
		}); err != nil || left != 0 {
			t.Errorf("%d entries, %v are still noted as handed on without places", left, err)
		}
	})
}

// TestWhatComesWhereTheEndWasCutOffIsHandedOn: a place beyond the end of the record would have the next entries pass unseen.
func TestWhatComesWhereTheEndWasCutOffIsHandedOn(t *testing.T) {
	eachWatched(t, func(w *watched) {
		w.act(5, audit.Entry{Actor: "local:anna", Action: "link.pause", Object: "link/erp"})
		w.exec(`UPDATE siem_cursors SET place = 1000`)
		w.act(1, audit.Entry{Actor: "keyring", Action: "keys.listed", Object: "node/a"})
		w.want("a key that was revoked", "threat.key-revoked node/a")
	})
}

// TestACollectorHasWhatCameWhileTheRecordStoodAgainWithItsPlace: it counts on places without gaps.
func TestACollectorHasWhatCameWhileTheRecordStoodAgainWithItsPlace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r, id, whole := newRecord(t, db), newIdentity(t), atomic.Bool{}
		address, got, done := dying(t, id, 0)
		f := alert.NewForwarder(db, func(ctx context.Context) error {
			if whole.Load() {
				return r.tree.Place(ctx)
			}
			return &problem.Error{Kind: problem.Integrity, What: "go on with the audit record", Why: "its end was cut off"}
		}, "n1", alert.Collector{
			Name: "soc", Address: address, TLS: &tls.Config{RootCAs: id.pool, MinVersion: tls.VersionTLS12}, Form: alert.Form{Name: alert.Syslog, Plant: "1000", Host: "n1", Version: "1"},
		}, alert.ForwarderConfig{Timeout: 10 * time.Second}, slog.New(slog.DiscardHandler))
		r.append(3)
		if _, err := f.Forward(t.Context()); problem.KindOf(err) != problem.Unavailable {
			t.Fatalf("the collector died and %v", err)
		}
		if n := drain(t, f); n != 3 {
			t.Fatalf("handed on %d while it stands, want 3", n)
		}
		whole.Store(true)
		if n := drain(t, f); n != 3 {
			t.Fatalf("handed on %d once it goes on, want the same 3", n)
		}
		done()
		for i, line := range unframe(t, got.Bytes()) {
			if want := fmt.Sprintf(`place="%d"`, []int{-1, -1, -1, 0, 1, 2}[i]); !strings.Contains(line, want) {
				t.Errorf("message %d is %q, want %s", i, line, want)
			}
		}
	})
}
