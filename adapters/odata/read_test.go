package odata

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata/edm"
)

// seeded is a service with n confirmations, each with one item.
func (d dialect) seeded(t *testing.T, n int, cfg edmx.Config, change ...func(*Config)) (*world, *Client) {
	t.Helper()
	w := d.start(t, cfg, change...)
	items := w.mock.Model().Sets[d.set].Of.Links[0].Name
	for i := range n {
		err := w.mock.Seed(d.set, map[string]any{
			"OrderID": fmt.Sprintf("%012d", i), "ConfirmationYieldQuantity": fmt.Sprintf("%d.500", i), "PostingDate": "2026-03-29",
			items: []any{map[string]any{"Material": "M1", "QuantityInEntryUnit": "1.000"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := w.link.Service("conf")
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

// plain are the dialects of reading.
func plain() []dialect { return dialects()[:2] }

func TestPagesAreFollowedToTheEndOnTheConfiguredHost(t *testing.T) {
	for _, d := range plain() {
		t.Run(d.name, func(t *testing.T) {
			w, c := d.seeded(t, 120, edmx.Config{})
			var got []string
			each := func(e Entity) error { got = append(got, str(e.Values["OrderID"])); return nil }
			if _, err := c.All(t.Context(), Query{Set: d.set, Count: true, OrderBy: []Order{{Field: "OrderID"}}}, each); err != nil {
				t.Fatal(err)
			}
			if len(got) != 120 || !slices.IsSorted(got) || got[119] != "000000000119" {
				t.Errorf("got %d: %.200v", len(got), got)
			}
			if n := w.mock.Calls()[http.MethodGet]; n != 4 { // the $metadata and three pages
				t.Errorf("%d calls", n)
			}
			got = nil
			if _, err := c.All(t.Context(), Query{Set: d.set, Top: 3}, each); err != nil || len(got) != 3 {
				t.Errorf("the first three: %q, %v", got, err)
			}
		})
	}
}

func TestALinkToAnotherHostIsNotFollowed(t *testing.T) {
	tests := []struct {
		name, host string
		hosts      []string
		want       string // of the error; "" is none
	}{
		{"another name of this machine", "", nil, ""},
		{"another host", "evil.example", nil, "another host"},
		{"another host that is the system's", "internal.example:8000", []string{"internal.example"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := dialects()[0]
			m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, Host: tt.host})
			if err != nil {
				t.Fatal(err)
			}
			for range 60 {
				if err := m.Seed(d.set, map[string]any{"OrderID": "1"}); err != nil {
					t.Fatal(err)
				}
			}
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if tt.host == "" {
					r.Host = strings.Replace(r.Host, "127.0.0.1", "localhost", 1)
				}
				m.Handler().ServeHTTP(rw, r)
			}))
			defer srv.Close()
			c := d.config(srv.URL)
			c.Hosts = tt.hosts
			client, err := open(t, c).Service("conf")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			_, err = client.All(t.Context(), Query{Set: d.set}, func(Entity) error { n++; return nil })
			if tt.want == "" && (err != nil || n != 60) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("read %d: %v, want %q", n, err, tt.want)
			}
		})
	}
}

func TestQueriesSelectByTypedValues(t *testing.T) {
	for _, d := range plain() {
		t.Run(d.name, func(t *testing.T) {
			_, c := d.seeded(t, 20, edmx.Config{Page: 7})
			tests := []struct {
				name  string
				where Condition
				want  int
			}{
				{"a text", Equal("OrderID", "000000000007"), 1},
				{"a decimal", AtLeast("ConfirmationYieldQuantity", "10.5"), 10},
				{"a date", Equal("PostingDate", "2026-03-29"), 20},
				{"null", Equal("ExternalSystemConfirmation", nil), 20},
				{"a GUID", Equal("ExternalSystemConfirmation", "01234567-89ab-cdef-0123-456789abcdef"), 0},
				{"one of several", AnyOf("OrderID", "000000000001", "000000000002"), 2},
				{"joined", And(Greater("ConfirmationYieldQuantity", "5"), Less("ConfirmationYieldQuantity", "8"), NotEqual("OrderID", "000000000006")), 2},
				{"or below and", And(Or(Equal("OrderID", "000000000001"), Equal("OrderID", "000000000002")), AtMost("ConfirmationYieldQuantity", "1.5")), 1},
				{"the beginning of a text", StartsWith("OrderID", "00000000001"), 10},
				{"what would break out", Equal("OrderID", "' or '1'='1"), 0},
			}
			for _, tt := range tests {
				n := 0
				_, err := c.All(t.Context(), Query{Set: d.set, Where: tt.where}, func(Entity) error { n++; return nil })
				if err != nil || n != tt.want {
					t.Errorf("%s: found %d, %v, want %d", tt.name, n, err, tt.want)
				}
			}
		})
	}
}

func TestAQueryThatDoesNotFitIsNotSent(t *testing.T) {
	w, c := dialects()[0].seeded(t, 0, edmx.Config{})
	for name, q := range map[string]Query{
		"an unknown field":              {Where: Equal("Nothing", "1")},
		"a value of another type":       {Where: Equal("ConfirmationYieldQuantity", "many")},
		"a value that is too long":      {Where: Equal("OrderID", "0000000000001")},
		"a link that is none":           {Expand: []string{"to_Nothing"}},
		"a field of what is not there":  {Select: []string{"to_ProdnOrdConfMatlDocItm/Material"}},
		"an order by an unknown field":  {OrderBy: []Order{{Field: "1; drop"}}},
		"a selection of unknown fields": {Select: []string{"*"}},
	} {
		q.Set = w.set
		if _, err := c.All(t.Context(), q, func(Entity) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := w.mock.Calls()[http.MethodGet]; n != 1 {
		t.Errorf("%d calls, want that for the $metadata alone", n)
	}
}

func TestSelectAndExpandAreWrittenAsEachVersionHasThem(t *testing.T) {
	tests := []struct {
		name   string
		q      Query
		v2, v4 string
	}{
		{"fields", Query{Select: []string{"OrderID", "Plant"}}, "$select=OrderID,Plant", "$select=OrderID,Plant"},
		{"a link", Query{Expand: []string{"L"}}, "$expand=L", "$expand=L"},
		{"fields and a link", Query{Select: []string{"OrderID"}, Expand: []string{"L"}}, "$select=OrderID,L&$expand=L", "$select=OrderID&$expand=L"},
		{
			"fields of both",
			Query{Select: []string{"OrderID", "L/Material"}, Expand: []string{"L"}},
			"$select=OrderID,L%2FMaterial&$expand=L", "$select=OrderID&$expand=L($select%3DMaterial)",
		},
		{"fields of the link alone", Query{Select: []string{"L/Material"}, Expand: []string{"L"}}, "$select=%2A,L%2FMaterial&$expand=L", "$expand=L($select%3DMaterial)"},
	}
	for _, tt := range tests {
		for _, d := range plain() {
			m, err := edm.Parse(d.metadata(t))
			if err != nil {
				t.Fatal(err)
			}
			of := m.Sets[d.set].Of
			real := strings.NewReplacer("L", of.Links[0].Name)
			for i, s := range tt.q.Select {
				if strings.HasPrefix(s, "L/") {
					tt.q.Select[i] = real.Replace("L") + s[1:]
				}
			}
			q := Query{Select: slices.Clone(tt.q.Select), Expand: slices.Clone(tt.q.Expand)}
			for i, s := range q.Expand {
				q.Expand[i] = real.Replace(s)
			}
			want := tt.v2
			if m.Version == edm.V4 {
				want = tt.v4
				for i, s := range q.Select {
					if _, field, ok := strings.Cut(s, "/"); ok {
						q.Select[i] = of.Links[0].Name + "/" + field
					}
				}
			}
			got, err := q.build(of, m.Version)
			if got = strings.ReplaceAll(got, of.Links[0].Name, "L"); err != nil || got != want {
				t.Errorf("%s, %s: got %s, %v, want %s", tt.name, d.name, got, err, want)
			}
		}
	}
}

func TestOneEntityIsReadByItsKeyWithWhatBelongsToIt(t *testing.T) {
	for _, d := range plain() {
		t.Run(d.name, func(t *testing.T) {
			w, c := d.seeded(t, 3, edmx.Config{})
			items := w.mock.Model().Sets[d.set].Of.Links[0].Name
			key := map[string]any{"ConfirmationGroup": "0000000002", "ConfirmationCount": "00000001"}
			if docs := w.mock.Documents(d.set); docs[1]["ConfirmationGroup"] != nil {
				key["ConfirmationGroup"], key["ConfirmationCount"] = docs[1]["ConfirmationGroup"], docs[1]["ConfirmationCount"]
			}
			e, err := c.Get(t.Context(), d.set, key, items)
			if err != nil {
				t.Fatal(err)
			}
			below, _ := e.Values[items].([]Entity)
			if e.Values["ConfirmationYieldQuantity"] != "1.500" || len(below) != 1 || below[0].Values["QuantityInEntryUnit"] != "1.000" {
				t.Errorf("got %v", e.Values)
			}
			key["ConfirmationCount"] = "99"
			if _, err := c.Get(t.Context(), d.set, key); err == nil {
				t.Error("what is not there was found")
			}
		})
	}
}

func TestDeltaLinksGiveWhatChanged(t *testing.T) {
	for _, d := range plain() {
		t.Run(d.name, func(t *testing.T) {
			w, c := d.seeded(t, 60, edmx.Config{Delta: true})
			n := 0
			delta, err := c.All(t.Context(), Query{Set: d.set, Track: true}, func(Entity) error { n++; return nil })
			if err != nil || n != 60 || delta == "" {
				t.Fatalf("read %d, delta %q, %v", n, delta, err)
			}
			w.mock.Change(d.set, "OrderID", "000000000007", map[string]any{"ConfirmationText": "changed"})
			var got []string
			next, err := c.Changes(t.Context(), d.set, delta, func(e Entity) error {
				got = append(got, str(e.Values["OrderID"])+" "+str(e.Values["ConfirmationText"]))
				return nil
			})
			if diff := cmp.Diff([]string{"000000000007 changed"}, got); err != nil || diff != "" || next == delta {
				t.Errorf("%v, next %q: %s", err, next, diff)
			}
			if _, err := c.Changes(t.Context(), d.set, "https://evil.example/x?$deltatoken=1", func(Entity) error { return nil }); err == nil {
				t.Error("a delta link to another host was followed")
			}
		})
	}
}
