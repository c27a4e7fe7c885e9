package console_test

import (
	"strings"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAnAlteredMessageIsNotTakenForAMappingThatIsWrong: its page and the overview say that the database was altered and what to do, and offer no
// correction of what the plant never said.
func TestAnAlteredMessageIsNotTakenForAMappingThatIsWrong(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		if _, page := p.get("/console/messages/" + p.stuck); strings.Contains(page, "behind Holdfast") || !strings.Contains(page, `id="amend-body"`) {
			t.Fatalf("before: %s", p.says(page))
		}
		p.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE outbox_messages SET body = ? WHERE id = ?`, []byte(`{}`), p.stuck)
			if err == nil {
				_, err = tx.Exec(t.Context(), `UPDATE outbox_lanes SET reason = ? WHERE state = 'parked'`, "message 3 is not what the plant has committed. What to do: "+outbox.AlteredDo)
			}
			return err
		})
		_, page := p.get("/console/messages/" + p.stuck)
		for _, want := range []string{"not what the plant has committed", "altered behind Holdfast", "restore the row from a backup"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not say %q: %s", want, p.says(page))
			}
		}
		for _, wrong := range []string{`id="amend-body"`, "The mapping cannot"} {
			if strings.Contains(page, wrong) {
				t.Errorf("the page has %q: %s", wrong, p.says(page))
			}
		}
		if _, page := p.get("/console/"); !strings.Contains(page, "for a person, 1 because the database was altered behind Holdfast") {
			t.Errorf("the overview says %s", p.says(page))
		}
	})
}
