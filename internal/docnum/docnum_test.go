package docnum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func number(t *testing.T, db *store.DB, link, message, key string) string {
	t.Helper()
	var out string
	err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		out, err = Number(t.Context(), tx, link, message, key, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func message(ctx context.Context, db *store.DB, link, number string) (out string, err error) {
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		out, _, err = Message(ctx, tx, link, number)
		return err
	})
	return out, err
}

func TestWhatIsSentHasOneNumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		first := number(t, db, "sap", "m1", "m1")
		if len(first) != 16 || first == "0000000000000000" {
			t.Errorf("got %q, want 16 digits", first)
		}
		if again := number(t, db, "sap", "m1", "m1"); again != first {
			t.Errorf("asked again: %s, want %s", again, first)
		}
		amended := number(t, db, "sap", "m1", "m1 amended")
		if amended == first || number(t, db, "sap", "m2", "m2") == first {
			t.Errorf("%s stands for two", first)
		}
		for _, n := range []string{first, amended} {
			if got, err := message(t.Context(), db, "sap", n); got != "m1" || err != nil {
				t.Errorf("%s is of %q, %v, want m1", n, got, err)
			}
		}
		if _, err := message(t.Context(), db, "other", first); problem.KindOf(err) != problem.NotFound {
			t.Errorf("another link: got %v, want it not found", err)
		}
	})
}

// TestARestoredPlantGivesTheSameNumbers: what it has forgotten keeps its number, which SAP may have.
func TestARestoredPlantGivesTheSameNumbers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		before := number(t, db, "sap", "m1", "m1")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `DELETE FROM docnums`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		number(t, db, "sap", "another", "another")
		if after := number(t, db, "sap", "m1", "m1"); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
	})
}

func TestANumberThatIsTakenIsNotGivenAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		first := number(t, db, "sap", "m1", "m1")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE docnums SET key = 'x', message = 'x'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if second := number(t, db, "sap", "m1", "m1"); second == first {
			t.Errorf("%s stands for two", first)
		}
	})
}

func TestManyAtOnceGetOneNumberEach(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		got := make([]string, 8)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i] = number(t, db, "sap", fmt.Sprint(i%2), fmt.Sprint(i%2)) })
		}
		all.Wait()
		for i := range got {
			if got[i] != got[i%2] || got[0] == got[1] {
				t.Fatalf("got %v", got)
			}
		}
	})
}

func TestOldNumbersAreForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		old, young := number(t, db, "sap", "old", "old"), number(t, db, "sap", "young", "young")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE docnums SET at = ? WHERE number = ?`, store.Micros(tx.Now.Add(-Keep-time.Minute)), old)
			return errors.Join(err, forget(t.Context(), tx))
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := message(t.Context(), db, "sap", old); problem.KindOf(err) != problem.NotFound {
			t.Errorf("got %v, want it forgotten", err)
		}
		if got, err := message(t.Context(), db, "sap", young); got != "young" {
			t.Errorf("got %q, %v, want it kept", got, err)
		}
	})
}

// TestADocumentIsCalledAsItWasLastSent: asking for the number does not forget it, another mapping may change it.
func TestADocumentIsCalledAsItWasLastSent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sent := func(document, want string) {
			t.Helper()
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				number, err := Number(t.Context(), tx, "sap", "m1", "m1", document)
				if err != nil {
					return err
				}
				if id, got, err := Message(t.Context(), tx, "sap", number); id != "m1" || got != want || err != nil {
					t.Errorf("sent as %q: got %q of message %q, %v, want %q", document, got, id, err, want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		sent("", "")
		sent("L000001", "L000001")
		sent("", "L000001")
		sent("L1", "L1")
	})
}
