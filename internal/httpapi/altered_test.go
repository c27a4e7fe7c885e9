package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/httpapi"
	"holdfast/internal/mes"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAnAlteredConfirmationHidesNoOther: whoever swaps the bodies of two in the database has neither believed, the list names both, and an alarm is
// raised of each; the others are there.
func TestAnAlteredConfirmationHidesNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sealAtRest(t, db)
		p := open(t, db)
		p.mes = mes.New(owing{p.out}, mes.Config{Alarm: alert.New(slog.New(slog.DiscardHandler))})
		p.serve(httpapi.Config{CheckAnswers: true})
		o := p.order()
		var ids []string
		for range 4 {
			var got httpapi.ConfirmationAct
			p.call("POST", "/v1/confirmations", object{"order": o.ID, "operation": "0010", "yield": "1"}).want(t, 201, &got)
			ids = append(ids, got.Confirmation.ID)
		}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			var a, b []byte
			err := errors.Join(
				tx.Get(t.Context(), &a, `SELECT body FROM plant_confirmations WHERE id = ?`, ids[1]),
				tx.Get(t.Context(), &b, `SELECT body FROM plant_confirmations WHERE id = ?`, ids[2]),
			)
			for id, body := range map[string][]byte{ids[1]: b, ids[2]: a} {
				_, e := tx.Exec(t.Context(), `UPDATE plant_confirmations SET body = ? WHERE id = ?`, body, id)
				err = errors.Join(err, e)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var page httpapi.ConfirmationPage
		p.call("GET", "/v1/confirmations?limit=3", nil).want(t, 200, &page)
		slices.Sort(page.Altered)
		if want := sorted(ids[1], ids[2]); len(page.Items) != 1 || page.Items[0].ID != ids[0] || !slices.Equal(page.Altered, want) || page.NextCursor == "" {
			t.Errorf("got %d confirmations, altered %v and the cursor %q, want the first, and %v as altered", len(page.Items), page.Altered, page.NextCursor, want)
		}
		var rest httpapi.ConfirmationPage
		p.call("GET", "/v1/confirmations?limit=3&cursor="+page.NextCursor, nil).want(t, 200, &rest)
		if len(rest.Items) != 1 || rest.Items[0].ID != ids[3] || len(rest.Altered) > 0 {
			t.Errorf("the next page has %+v, want the last alone", rest)
		}
		p.call("GET", "/v1/confirmations/"+ids[1], nil).refused(t, 422, "integrity")
		var told []string
		err = db.View(t.Context(), func(tx *store.Tx) error {
			entries, err := audit.List(context.Background(), tx, audit.Filter{Action: "message.altered"})
			for _, e := range entries {
				told = append(told, e.Object)
			}
			return err
		})
		slices.Sort(told)
		if want := sorted("confirmation/"+ids[1], "confirmation/"+ids[2]); err != nil || !slices.Equal(told, want) {
			t.Errorf("alarms of %v (%v), want %v", told, err, want)
		}
	})
}

func sorted(all ...string) []string {
	slices.Sort(all)
	return all
}
