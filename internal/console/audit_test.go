package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestTheAuditPageSearches: by who in whatever list of names, outcome, time and words, with the count of all and a page that keeps what was asked.
func TestTheAuditPageSearches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.tx(func(tx *store.Tx) error {
			for _, e := range []audit.Entry{
				{Actor: "user:anna", Action: "link.pause", Object: "link/erp", Reason: "first <of> two"},
				{Actor: "oidc:anna", Action: "link.rate", Object: "link/erp", Reason: "second", Outcome: audit.Refused},
				{Actor: "user:hanna", Action: "link.rate", Object: "link/erp", Reason: "third"},
			} {
				if err := audit.Append(t.Context(), tx, e); err != nil {
					return err
				}
			}
			for range 250 {
				if err := audit.Append(t.Context(), tx, audit.Entry{Actor: "many", Action: "order.start", Object: "order/x", Reason: "Übergabe"}); err != nil {
					return err
				}
			}
			return nil
		})
		for _, tt := range []struct {
			query       string
			found       string
			want, never []string
		}{
			{"actor=anna", "2 entries found", []string{"user:anna", "oidc:anna"}, []string{"user:hanna"}},
			{"actor=anna&outcome=refused", "1 entry found", []string{"oidc:anna"}, []string{"user:anna"}},
			{"q=" + url.QueryEscape("<OF> two"), "1 entry found", []string{"first &lt;of&gt; two"}, []string{"second"}},
			{"actor=anna&to=1999-01-01", "0 entries found", []string{"No such entry"}, nil},
			{"q=" + url.QueryEscape("übergabe"), "250 entries found", []string{"q=%C3%BCbergabe"}, nil},
		} {
			status, page := p.get("/console/audit?" + tt.query)
			if status != http.StatusOK || !strings.Contains(page, tt.found) {
				t.Errorf("%s: %d, want %q: %s", tt.query, status, tt.found, p.says(page))
			}
			for _, w := range tt.want {
				if !strings.Contains(page, w) {
					t.Errorf("%s: the page has no %q", tt.query, w)
				}
			}
			for _, n := range tt.never {
				if strings.Contains(page, ">"+n+"<") {
					t.Errorf("%s: the page has %q", tt.query, n)
				}
			}
			for _, wrong := range unsound(t, page) {
				t.Errorf("%s: %s", tt.query, wrong)
			}
		}
		if status, page := p.get("/console/audit?from=yesterday"); status != http.StatusUnprocessableEntity && status != http.StatusBadRequest || !strings.Contains(page, "it is not a time") {
			t.Errorf("no time: %d %s", status, p.says(page))
		}
	})
}
