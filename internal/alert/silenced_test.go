package alert_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// heard is a channel that remembers what it was told of.
type heard []string

func (h *heard) Tell(_ context.Context, n alert.Notice) error {
	*h = append(*h, n.Object)
	return nil
}

// TestAnEntryThatSomebodyPutsInSilencesNoAlert: alerts go out for entries that have their places. One in each chain, under a key that there is not, must not
// have those wait that are behind it.
func TestAnEntryThatSomebodyPutsInSilencesNoAlert(t *testing.T) {
	const seed = `INSERT INTO rest_epochs (wrapped, made_at) VALUES ('local:v1:AAAA', 1)`
	for name, put := range map[string]struct {
		before []string
		epoch  string
	}{"under a key that there is not": {nil, "4711"}, "under a key that nobody can open": {[]string{seed}, "(SELECT MAX(id) FROM rest_epochs)"}} {
		t.Run(name, func(t *testing.T) {
			eachWatched(t, func(w *watched) {
				w.keyed()
				var got heard
				hook := alert.NewChannel(w.db, w.tree.Place, "a", alert.Channel{Name: "mail", To: &got, Plant: "1000"}, slog.New(slog.DiscardHandler))
				w.forward(hook)
				for _, s := range append(put.before, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, outcome, chain, link, previous, mac, epoch)
					SELECT 1, 'x', '', 'x', 'x', '', 'done', id, -1, mac, mac, `+put.epoch+` FROM audit_chains`) {
					w.do(func(ctx context.Context, tx *store.Tx) error { _, err := tx.Exec(ctx, s); return err })
				}
				w.do(func(ctx context.Context, tx *store.Tx) error {
					return w.alerts.Raise(ctx, tx, "message.altered", "lane/erp/o1", errors.New("x"))
				})
				w.forward(hook)
				if want := []string{"lane/erp/o1"}; !slices.Equal(got, want) {
					w.t.Errorf("told of %q, want %q", got, want)
				}
			})
		})
	}
}

// keyed gives the plant a keyring, and its entries MACs.
func (w *watched) keyed() {
	w.t.Helper()
	safe := seal.NewSafe(w.t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", w.db.Now()); err != nil {
		w.t.Fatal(err)
	}
	rest, err := seal.OpenRest(w.t.Context(), w.db, seal.NewLocal(safe, "a", time.Hour, w.db.Now),
		seal.RestConfig{Now: w.db.Now, Begin: func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.db.SealWith(rest)
	w.do(func(ctx context.Context, tx *store.Tx) error { return audit.BeginMACs(ctx, tx, "node:a", nil) })
	if _, err := w.tree.Seal(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) do(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error { return fn(w.t.Context(), tx) }); err != nil {
		w.t.Fatal(err)
	}
}
