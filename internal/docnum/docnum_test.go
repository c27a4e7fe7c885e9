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
		out, _, err = Number(t.Context(), tx, link, message, []string{key}, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func message(ctx context.Context, db *store.DB, link, number string) (out string, err error) {
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		sent, err := Message(ctx, tx, link, number)
		out = sent.Message
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
				number, _, err := Number(t.Context(), tx, "sap", "m1", []string{"m1"}, document)
				if err != nil {
					return err
				}
				if got, err := Message(t.Context(), tx, "sap", number); got != (Sent{Message: "m1", Document: want}) || err != nil {
					t.Errorf("sent as %q: got %+v, %v, want %q", document, got, err, want)
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

// TestWhatIsSentAnewHasANumberOfItsOwn: the latest that there is counts, of what is not forced again; and the earlier one tells that there is a later.
func TestWhatIsSentAnewHasANumberOfItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		in := func(keys ...string) (number, key string) {
			t.Helper()
			err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
				number, key, err = Number(t.Context(), tx, "sap", "m1", keys, "")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return number, key
		}
		first, key := in("m1 2", "m1 1", "m1")
		if key != "m1" {
			t.Errorf("numbered by %q", key)
		}
		second, _ := in("m1 2")
		if second == first {
			t.Fatalf("%s stands for two", first)
		}
		if again, key := in("m1 3", "m1 2", "m1 1", "m1"); again != second || key != "m1 2" {
			t.Errorf("the latest is %s by %q, want %s", again, key, second)
		}
		for number, want := range map[string]Sent{first: {Message: "m1", Later: second}, second: {Message: "m1"}} {
			err := db.View(t.Context(), func(tx *store.Tx) error {
				got, err := Message(t.Context(), tx, "sap", number)
				if got != want {
					t.Errorf("%s is of %+v, want %+v", number, got, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
