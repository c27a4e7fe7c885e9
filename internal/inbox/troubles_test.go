package inbox

import (
	"log/slog"
	"slices"
	"testing"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAFeedThatIsNotPolledAnyMoreIsInNoTrouble: nothing else would ever end it, and its link would never be up again.
func TestAFeedThatIsNotPolledAnyMoreIsInNoTrouble(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, feeds := range [][]Feed{{{Name: "erp/orders"}}, nil} {
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO inbox_cursors (name, trouble) VALUES ('erp/orders', 'away'), ('erp/lots', 'away') ON CONFLICT (name) DO UPDATE SET trouble = 'away'`)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			i := New(db, nil, nil, Config{Feeds: feeds}, slog.New(slog.DiscardHandler))
			i.forgetTroubles(t.Context())
			var got, want []string
			for _, f := range feeds {
				want = append(want, f.Name)
			}
			err = db.View(t.Context(), func(tx *store.Tx) error {
				all, err := i.Status(t.Context(), tx)
				for _, f := range all.Feeds {
					if f.Trouble != "" {
						got = append(got, f.Name)
					}
				}
				return err
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("in trouble are %q, %v, want %q", got, err, want)
			}
		}
	})
}
