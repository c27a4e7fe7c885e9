package alert_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/store"
)

// TestANoticeThatIsRefusedForGoodKeepsNoOtherBack: it is put aside, and told once its receiver takes it; what is refused for another reason waits.
func TestANoticeThatIsRefusedForGoodKeepsNoOtherBack(t *testing.T) {
	eachWatched(t, func(w *watched) {
		var got []string
		answer := http.StatusUnprocessableEntity
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var n alert.Notice
			_ = json.NewDecoder(r.Body).Decode(&n)
			if n.Object == "link/bad" && answer != 0 {
				rw.WriteHeader(answer)
				return
			}
			got = append(got, n.Alert)
		}))
		defer srv.Close()
		hook := alert.NewChannel(w.db, w.tree.Place, "a", alert.Channel{Name: "hook", To: alert.Webhook{URL: srv.URL, Client: srv.Client()}, Plant: "1000"}, slog.New(slog.DiscardHandler))
		w.forward(hook)
		w.raise("link.unposted", "link/bad")
		w.raise("message.altered", "message/1")
		answer = http.StatusServiceUnavailable
		for range 20 {
			_, _ = hook.Forward(t.Context())
		}
		if len(got) > 0 {
			t.Errorf("told %q while the receiver is away, want that they wait", got)
		}
		answer = http.StatusUnprocessableEntity
		for range 6 {
			_, _ = hook.Forward(t.Context())
		}
		if want := []string{"message.altered"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q behind what is refused", got, want)
		}
		err := w.db.InTx(t.Context(), func(tx *store.Tx) error { // whoever writes there what nobody can read keeps none back either
			_, err := tx.Exec(t.Context(), `INSERT INTO alert_aside (channel, id, notice, why, aside_at, tried_at) SELECT channel, 'a', ?, why, aside_at, 0 FROM alert_aside`, []byte("no notice"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		answer = 0
		w.forward(hook)
		w.now = w.now.Add(time.Hour)
		w.forward(hook)
		w.forward(hook)
		if want := []string{"message.altered", "link.unposted"}; !slices.Equal(got, want) {
			t.Errorf("an hour later told %q, want %q", got, want)
		}
	})
}

func (w *watched) raise(name, object string) {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error { return w.alerts.Raise(w.t.Context(), tx, name, object, errors.New("x")) }); err != nil {
		w.t.Fatal(err)
	}
}
