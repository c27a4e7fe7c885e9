package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// TestAMappingThatNothingReachesIsHeldAgainstWhatKnowsItsTarget: mapping new writes to mine/KIND, which no route names yet. It is checked and
// tested as if one did, and no test passes for want of a contract.
func TestAMappingThatNothingReachesIsHeldAgainstWhatKnowsItsTarget(t *testing.T) {
	const good = "  order: ref(\"order\", src.order.id)\n"
	tests := []struct {
		name, target, fields string
		check, test          []string // what is said
	}{
		{
			"a field that the contract refuses", "createConfirmation", "  yeild: src.confirmation.final\n",
			[]string{"mine/a.yaml:4:10: fields.yeild", "fields.order: link erp: operation createConfirmation requires order"},
			[]string{"link erp: "},
		},
		{"an operation that is not there", "createConfirmatoin", good, []string{"mine/a.yaml:2:5: to", "has no operation of this ID"}, []string{"no link of the configuration has a contract that knows createConfirmatoin"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := workshopOf(t, fmt.Sprintf("from: {kind: operation.confirmed}\nto: {operation: %s}\nfields:\n%s", tt.target, tt.fields))
			var out bytes.Buffer
			tells(t, "check", fmt.Sprint(w.check(&out)), tt.check)
			for _, against := range []string{"", "mock"} {
				out.Reset()
				err := w.test(t.Context(), &out, mappingTestFlags{fuzz: 20, seed: 1, against: against, form: "text"}, []string{"mine/a"})
				if err == nil {
					t.Errorf("test against %q passes", against)
				}
				tells(t, "test against "+against, out.String(), tt.test)
			}
		})
	}
}

// TestWhatComesInIsTypedBeforeItIsPublished: a mapping that is right by the contract's types is, by its example, also found right by those that
// publish it.
func TestWhatComesInIsTypedBeforeItIsPublished(t *testing.T) {
	set, err := mapping.Load(fstest.MapFS{}, fstest.MapFS{
		"m.yaml":         {Data: []byte("from: {document: Stock}\nto: {kind: '\"stock.counted\"', key: src.key}\nfields: {sum: src.q * src.f}\n")},
		"m.example.yaml": {Data: []byte("- name: one\n  body: '{\"key\":\"k\",\"q\":12,\"f\":2.5}'\n  want: {kind: stock.counted, key: k, body: '{\"sum\":\"30.0\"}'}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	number := &schema.Type{Kind: schema.Decimal, Digits: 12, Scale: 3}
	stock := &documentType{schema.NewObject("Stock",
		&schema.Field{Name: "key", Type: &schema.Type{Kind: schema.Text, MaxLength: 20, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "q", Type: number, Required: true}, &schema.Field{Name: "f", Type: number, Required: true})}
	links := map[string]link{"erp": &countedLink{Contract: stock}}
	report, err := Config{}.readySet(t.Context(), set, links)
	if err != nil || !report.OK() {
		t.Errorf("got %+v, %v", report.Cases, err)
	}
	if got := (mappingPage{&floors{links: links}}).Document(set, "m"); got != stock.Type {
		t.Errorf("the console has it as %v", got)
	}
}

func tells(t *testing.T, what, got string, want []string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(got, part) {
			t.Errorf("%s: got %s, want %q in it", what, got, part)
		}
	}
}

// workshopOf is that of a plant of the plain ERP's with one mapping of its own, mine/a, that no route names.
func workshopOf(t *testing.T, text string) *workshop {
	t.Helper()
	return workshopTo(t, "kind: rest, base_url: http://127.0.0.1:1, spec: builtin:erp", text)
}

// workshopTo is workshopOf a plant with another link.
func workshopTo(t *testing.T, link, text string) *workshop {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "mappings", "mine", "a.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte("plant: {number: \"1000\", zone: Europe/Berlin}\n"+
		"links:\n  erp: {"+link+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{cfg, rules, links}
	t.Cleanup(w.close)
	return w
}

// TestAMisspeltDocumentIsAMistake: nothing would be held against it. No link starts with it, or reloads it; what was published before goes on.
func TestAMisspeltDocumentIsAMistake(t *testing.T) {
	const head = "plant: {number: \"1000\", zone: Europe/Berlin}\nlinks:\n  erp: "
	edmx, err := filepath.Abs("../../adapters/odata/testdata")
	if err != nil {
		t.Fatal(err)
	}
	order := "orders: {path: /sap/opu/odata/sap/API_PRODUCTION_ORDER_2_SRV, metadata: " + edmx + "/order-v2.xml}"
	odata := func(services string) string {
		return head + "{kind: odata, base_url: http://127.0.0.1:1, services: {" + services + "}, polls: [{name: o, set: orders/A_ProductionOrder_2, watermark: " +
			"LastChangeDateTime, source: \"urn:erp\", kind: erp.order, mapping: mine/a, key: ManufacturingOrder}]}\n"
	}
	rest := head + "{kind: rest, base_url: http://127.0.0.1:1, spec: builtin:erp, polls: [{name: o, operation: listMaterials, items: /items, key: /number, " +
		"version: /version, source: \"urn:erp\", kind: erp.material, mapping: mine/a}]}\n"
	tests := []struct{ name, cfg, document, want, hint string }{
		{"of an OpenAPI document", rest, "Materail", "a.yaml:1:18: from.document: link erp: the contract gives no Materail: erp.yaml has no schema of this name", "Material"},
		{"as it is", rest, "Material", "", ""},
		{"of a service", odata(order), "order/A_ProductionOrder_2", "the link has no service order", "orders/A_ProductionOrder_2"},
		{"of a set", odata(order), "A_ProductoinOrder_2", "no service has a set of this name", "A_ProductionOrder_2"},
		{"of two services", odata(order + ", again: {path: /b, metadata: " + edmx + "/order-v2.xml}"), "A_ProductionOrder_2", "more than one service has a set of this name", ""},
		{"of a service that has not told yet", odata(order + ", conf: {path: /b}"), "A_ProductoinOrder_2", "", ""},
		{"of one that has, beside it", odata(order + ", conf: {path: /b}"), "orders/A_ProductoinOrder_2", "no service has a set of this name", "orders/A_ProductionOrder_2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "from: {document: " + tt.document + "}\nto: {kind: '\"mine.changed\"', key: src.key}\nbody: event\n"
			cfg, err := parseConfig(filepath.Join(t.TempDir(), "holdfast.yaml"), []byte(tt.cfg))
			if err != nil {
				t.Fatal(err)
			}
			links, err := openLinks(cfg.onlyLooking(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer (&workshop{cfg, nil, links}).close()
			for published, load := range map[bool]func(...fs.FS) (*mapping.Set, error){false: mapping.Load, true: mapping.LoadPublished} {
				set, err := load(fstest.MapFS{}, fstest.MapFS{"mine/a.yaml": {Data: []byte(text)}})
				if err != nil {
					t.Fatal(err)
				}
				found := cfg.fit(set, links)
				switch err := cfg.refused(found); {
				case len(found) > 0 != (tt.want != ""):
					t.Errorf("published %v: found %v, want %q", published, found, tt.want)
				case published && (err != nil || tt.want != "" && !found[0].Newer):
					t.Errorf("what was published is refused: %v", err)
				case !published:
					tells(t, "fit", fmt.Sprint(err), []string{tt.want})
					if tt.hint != "" && found[0].Hint != "did you mean "+tt.hint+"?" {
						t.Errorf("got hint %s, want %s", found[0].Hint, tt.hint)
					}
				}
			}
		})
	}
}

// TestAMockIsGivenNoSecret: who tests a mapping need not have the plant's passwords, and no token endpoint, proxy or Vault is asked for it.
func TestAMockIsGivenNoSecret(t *testing.T) {
	edmx, err := filepath.Abs("../../adapters/odata/testdata")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer real.Close()
	odata := "kind: odata, base_url: " + real.URL + ", services: {conf: {path: /sap/conf, metadata: " + edmx + "/confirmation-v2.xml}}, writes: {conf/ProdnOrdConf2: {id: ExternalSystemConfirmation, kind: confirmation}}"
	for name, link := range map[string]string{
		"a password of rest":      "kind: rest, base_url: " + real.URL + ", spec: builtin:erp, auth: {basic: {user: a, password: env:HOLDFAST_NOT_THERE}}",
		"a key of rest":           "kind: rest, base_url: " + real.URL + ", spec: builtin:erp, auth: {header: {name: X-Key, value: env:HOLDFAST_NOT_THERE}}",
		"a proxy":                 "kind: rest, base_url: " + real.URL + ", spec: builtin:erp, proxy: " + real.URL,
		"a password of odata":     odata + ", auth: {basic: {user: a, password: file:not-there}}",
		"a token that is fetched": odata + ", auth: {oauth: {token_url: " + real.URL + ", client_id: a, client_secret: env:HOLDFAST_NOT_THERE}}",
		"a proxy of odata":        odata + ", proxy: " + real.URL,
	} {
		t.Run(name, func(t *testing.T) {
			w := workshopTo(t, link, "from: {kind: operation.confirmed}\nto: {operation: post}\nfields: {a: event.id}\n")
			mocks, stop, err := w.mocks(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			if err := mocks["erp"].Check(t.Context()); err != nil {
				t.Errorf("the mock is not spoken to: %v", err)
			}
		})
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the real system was asked %d times", n)
	}
}
