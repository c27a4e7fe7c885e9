package console_test

import (
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestALinkSaysWhoHasPausedIt: as the record of acts has it, and no more once it goes on.
func TestALinkSaysWhoHasPausedIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		for _, act := range []string{"pause", "resume"} {
			want := act == "pause"
			if status, _, page := p.post("/console/links/erp/"+act, form("reason", "the ERP is upgraded")); status != http.StatusSeeOther {
				t.Fatalf("%s: status %d: %s", act, status, p.says(page))
			}
			if _, page := p.get("/console/links"); strings.Contains(page, "Paused by <strong>local</strong>") != want {
				t.Errorf("%s: whether it says who has paused it is %t: %s", act, !want, p.says(page))
			}
		}
	})
}

// TestAForecastIsOfWhatCanGo: what waits for a person is counted beside it, and not foretold.
func TestAForecastIsOfWhatCanGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		for _, path := range []string{"/console/links", "/console/"} {
			if _, page := p.get(path); !strings.Contains(page, "2 wait for a person") || strings.Contains(page, "<data value=") {
				t.Errorf("%s foretells what a person has to let go, or does not count it: %s", path, p.says(page))
			}
		}
		p.order()
		p.post("/console/messages/"+p.stuck+"/note", form("reason", "a look")) // what was counted is counted again
		if _, page := p.get("/console/links"); !strings.Contains(page, "2 wait for a person") || !strings.Contains(page, "<data value=") {
			t.Errorf("what can go is not foretold: %s", p.says(page))
		}
	})
}
