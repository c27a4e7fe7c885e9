package docnum

import (
	"errors"
	"testing"
	"time"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestNoTwoOfALaneHaveOneSecond: also where the clock went back between them; what is asked for again has its own, and another lane has nothing to
// do with it.
func TestNoTwoOfALaneHaveOneSecond(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, tt := range []struct {
			link, lane, key string
			wanted, want    int64
		}{
			{"sap", "o1", "m1", 1000, 1000},
			{"sap", "o1", "m2", 1000, 1001},
			{"sap", "o1", "m3", 1001, 1002},
			{"sap", "o1", "m4", 900, 1003},
			{"sap", "o1", "m2", 1000, 1001},
			{"sap", "o1", "m5", 2000, 2000},
			{"sap", "o2", "m6", 1000, 1000},
			{"other", "o1", "m1", 1000, 1000},
		} {
			var got int64
			err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
				got, err = Second(t.Context(), tx, tt.link, tt.lane, tt.key, tt.wanted)
				return err
			})
			if err != nil || got != tt.want {
				t.Errorf("%s of lane %s on %s, wanted at %d: %d, %v, want %d", tt.key, tt.lane, tt.link, tt.wanted, got, err, tt.want)
			}
		}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := Second(t.Context(), tx, "sap", "o3", "young", tx.Now.Add(-Keep).Add(time.Hour).Unix())
			var left int
			return errors.Join(err, forget(t.Context(), tx), tx.Get(t.Context(), &left, `SELECT COUNT(*) FROM docnum_seconds WHERE key <> 'young'`), some(left))
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func some(left int) error {
	if left != 0 {
		return errors.New("old seconds are kept")
	}
	return nil
}
