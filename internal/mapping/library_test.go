package mapping_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// sample is one example beside a mapping: a message or document, and what the mapping makes of it.
type sample struct {
	Name  string            `yaml:"name"`
	Kind  string            `yaml:"kind"` // of the message, for a mapping out
	Refs  map[string]string `yaml:"refs"` // what the other side calls our objects, or the plant theirs
	Body  string            `yaml:"body"` // JSON
	Waits string            `yaml:"waits"`
	Out   bool              `yaml:"leftOut"`
	Back  map[string]string `yaml:"back"` // see TestShippedMappingsGoThereAndBack
	Want  struct {
		Target string            `yaml:"target"`
		Params map[string]string `yaml:"params"`
		Kind   string            `yaml:"kind"`
		Key    string            `yaml:"key"`
		Body   string            `yaml:"body"`
	} `yaml:"want"`
}

func (s sample) message() message.Message {
	m := confirmed(s.Body)
	m.Kind = s.Kind
	return m
}

func examples(t testing.TB, file string) []sample {
	t.Helper()
	text, err := fs.ReadFile(mapping.Library(), file)
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	if err := yaml.Load(text, &all, yaml.WithKnownFields()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

func compact(t testing.TB, text string) string {
	t.Helper()
	text = strings.ReplaceAll(text, "DIGEST", strings.Repeat("0", 64))
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return b.String()
}

// zeroDigest replaces the event's digest, which changes with each letter of an example.
func zeroDigest(body []byte, m message.Message) string {
	return strings.ReplaceAll(string(body), m.Digest(), strings.Repeat("0", 64))
}

func shipped(t testing.TB) *mapping.Set {
	t.Helper()
	s, err := mapping.Load(mapping.Library())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestShippedMappingsDoWhatTheirExamplesSay maps each example, compares the result byte for byte, and holds every document for
// the plain ERP against the contract openapi/erp.yaml. Those for SAP are held against its services in cmd/holdfast.
func TestShippedMappingsDoWhatTheirExamplesSay(t *testing.T) {
	s := shipped(t)
	erp, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b2mml, err := contract.Load(openapi.B2MML(), "b2mml.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.Names() {
		for _, ex := range examples(t, name+".example.yaml") {
			t.Run(name+"/"+ex.Name, func(t *testing.T) {
				if strings.Contains(name, "-in/") {
					checkIn(t, s, name, ex)
				} else {
					checkOut(t, s, contractOf(name, erp, b2mml), name, ex)
				}
			})
		}
	}
}

// contractOf is the one that a shipped mapping is for.
func contractOf(name string, erp, b2mml *contract.Document) *contract.Document {
	if strings.HasPrefix(name, "b2mml-") {
		return b2mml
	}
	return erp
}

func checkIn(t *testing.T, s *mapping.Set, name string, ex sample) {
	got, err := s.ApplyIn(t.Context(), name, ex.message(), known(ex.Refs))
	if ex.Out {
		if !errors.Is(err, mapping.ErrLeftOut) {
			t.Errorf("err = %v, want %v", err, mapping.ErrLeftOut)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != ex.Want.Kind || got.Key != ex.Want.Key {
		t.Errorf("kind and key = %s %s, want %s %s", got.Kind, got.Key, ex.Want.Kind, ex.Want.Key)
	}
	if diff := cmp.Diff(compact(t, ex.Want.Body), string(got.Body)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func checkOut(t *testing.T, s *mapping.Set, erp *contract.Document, name string, ex sample) {
	m := ex.message()
	doc, err := s.Apply(t.Context(), name, verified(t, m), known(ex.Refs))
	if ex.Waits != "" {
		if w, ok := errors.AsType[*mapping.Waiting](err); !ok || w.Object != ex.Waits {
			t.Errorf("err = %v, want waiting for %s", err, ex.Waits)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if doc.Target != ex.Want.Target {
		t.Errorf("target = %s, want %s", doc.Target, ex.Want.Target)
	}
	if diff := cmp.Diff(ex.Want.Params, doc.Params); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(compact(t, ex.Want.Body), zeroDigest(doc.Body, m)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if strings.HasPrefix(name, "sap-") {
		return
	}
	op, ok := erp.Operation(doc.Target)
	if !ok {
		t.Fatalf("the contract has no operation %s", doc.Target)
	}
	_, violations := op.CheckRequest(&contract.Request{
		Path: doc.Params, Query: url.Values{}, Header: http.Header{"Content-Type": {"application/json"}}, Body: doc.Body,
	})
	for _, v := range violations {
		t.Errorf("against the contract: %s", v)
	}
}

// TestShippedMappingsGoThereAndBack runs every example as mapping test does, with the way back of those that have one.
func TestShippedMappingsGoThereAndBack(t *testing.T) {
	s := shipped(t)
	report, err := s.Test(t.Context(), mapping.TestConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Cases {
		for _, d := range c.Differences {
			t.Errorf("%s: %s: %s", c.Mapping, c.Name, d)
		}
		for _, e := range c.Errors {
			t.Errorf("%s: %s: %s", c.Mapping, c.Name, e)
		}
	}
}

// TestEveryKindHasAMappingOrAReason: of each kind that the plant sends, a shipped folder has a mapping or says why there is none, and the guide's table
// tells the same; each way in has all that the plant takes of an ERP.
func TestEveryKindHasAMappingOrAReason(t *testing.T) {
	s := shipped(t)
	guide, err := os.ReadFile("../../docs/mapping-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	folders := []string{"erp-out", "sap-out", "sap-idoc-out", "b2mml-out"}
	kinds := 0
	for _, name := range s.Names() {
		kind, out := strings.CutPrefix(name, "b2mml-out/") // which has a place for everything
		if !out {
			continue
		}
		kinds++
		row := "| `" + kind + "` |"
		var reasons []string
		for _, folder := range folders {
			why, instead := mapping.NoTarget(folder, kind)
			if has := s.Covers(folder, kind); has == (why != "") || has == (instead != "") {
				t.Errorf("%s %s: a mapping: %t, a reason: %q, instead: %q", folder, kind, has, why, instead)
			}
			cell := "–"
			if why == "" {
				look, _ := s.Look(s.Name(folder, kind))
				cell = "`" + look.Target + "`"
			} else if !slices.Contains(reasons, why) {
				reasons = append(reasons, why)
			}
			row += " " + cell + " |"
		}
		row += " " + strings.Join(reasons, "; ") + " |"
		if !bytes.Contains(guide, []byte(row+"\n")) {
			t.Errorf("docs/mapping-guide.md lacks the line\n%s", row)
		}
	}
	if kinds != 12 {
		t.Errorf("b2mml-out has %d kinds, want all 12 that the plant sends", kinds)
	}
	ways := map[string][]string{"b2mml-in": {"operations-schedule", "material-definition", "equipment", "operations-definition", "operations-material-bill"}}
	for _, folder := range []string{"erp-in", "sap-in", "sap-idoc-in"} {
		ways[folder] = []string{"production-order", "material", "work-centre", "bill-of-material", "routing"}
	}
	for folder, names := range ways {
		for _, name := range names {
			if !s.Covers(folder+"/"+name, "") {
				t.Errorf("there is no %s/%s", folder, name)
			}
		}
	}
}

// TestNoAlternativeOfABillOfMaterialIsMixedWithAnother: the items of an IDoc are those of all alternatives in it, and the plant has one bill of material of a material from a day on.
func TestNoAlternativeOfABillOfMaterialIsMixedWithAnother(t *testing.T) {
	try := func(name, body string) (mapping.Made, error) {
		return shipped(t).Try(t.Context(), name, message.Message{ID: "m-1", Kind: "erp.bill", Version: 1, Key: "o-1", Body: []byte(body)}, nil)
	}
	idoc := func(alternatives string) string {
		return `{"EDI_DC40":{"DOCNUM":"1"},"Zone":"UTC","All":{},"E1STZUM":{"STLNR":"123","E1MASTM":[{"MATNR":"FG-100","WERKS":"1000","STLAL":"01"}],"E1STKOM":[` + alternatives + `],
			"E1STPOM":[{"POSNR":"0010","IDNRK":"RM-200","MENGE_C":"12.500","MEINS":"KGM"}]}}`
	}
	one := `{"STLAL":"01","BMENG_C":"100.000","BMEIN":"PCE","DATUV":"2026-01-01"}`
	if _, err := try("sap-idoc-in/bill-of-material", idoc(one)); err != nil {
		t.Errorf("one alternative: %v", err)
	}
	_, err := try("sap-idoc-in/bill-of-material", idoc(one+","+strings.Replace(one, "01", "02", 1)))
	if err == nil || !strings.Contains(err.Error(), `alternativesInOneIDoc has no row "2"`) {
		t.Errorf("two alternatives in one IDoc: %v", err)
	}
	for variant, taken := range map[string]bool{"01": true, "02": false} {
		made, err := try("sap-in/bill-of-material", `{"BillOfMaterial":"42","BillOfMaterialVariant":"`+variant+`","Material":"FG-100","Plant":"1000","BOMHeaderQuantityInBaseUnit":"1","BOMHeaderBaseUnit":"PC",
			"to_BillOfMaterialItem":[{"BillOfMaterialItemNumber":"0010","BillOfMaterialComponent":"RM-1","BillOfMaterialItemQuantity":"1","BillOfMaterialItemUnit":"PC"}]}`)
		if err != nil || made.LeftOut == taken || (len(made.Body) > 0) != taken {
			t.Errorf("alternative %s: %s, left out %t, %v", variant, made.Body, made.LeftOut, err)
		}
	}
}

// TestWordsAreThoseOfBothSides: for completion, the fields of the message and of the document, and the language's own.
func TestWordsAreThoseOfBothSides(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := mapping.FromOpenAPI(doc)
	for name, want := range map[string][]string{
		"erp-out/operation.confirmed": {"src.confirmation.yield", "src.confirmation.?reason", "event.digest", "lookup(", "ref(", "messageId: "},
		"erp-in/production-order":     {"src.number", "plantID(", "erpNumber: ", "item.workCentre"},
	} {
		var got []string
		for _, w := range shipped(t).Words(name, c) {
			got = append(got, w.Text)
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: no %q in %q", name, w, got)
			}
		}
	}
	if got := shipped(t).Words("none", c); got != nil {
		t.Errorf("of no mapping: %v", got)
	}
}

// BenchmarkLoadThousand compiles 1,000 mappings, as a start with that many does.
func BenchmarkLoadThousand(b *testing.B) {
	text, err := fs.ReadFile(mapping.Library(), "erp-out/operation.confirmed.yaml")
	if err != nil {
		b.Fatal(err)
	}
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("m%d.yaml", i)] = string(text)
	}
	for b.Loop() {
		if _, err := load(b, files); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConfirmation maps the shipped confirmation: decode, map and encode with every limit on.
func BenchmarkConfirmation(b *testing.B) {
	s, ex := shipped(b), examples(b, "erp-out/operation.confirmed.example.yaml")[0]
	v, refs := verified(b, ex.message()), known(ex.Refs)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Apply(b.Context(), "erp-out", v, refs); err != nil {
			b.Fatal(err)
		}
	}
}

// TestShippedMappingsFitTheContract holds every mapping against openapi/erp.yaml or b2mml.yaml before any message runs through it.
func TestShippedMappingsFitTheContract(t *testing.T) {
	s := shipped(t)
	for of, text := range map[string][]byte{"erp": openapi.ERP(), "b2mml": openapi.B2MML()} {
		doc, err := contract.Load(text, of+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range mapping.PlantKinds() {
			for _, f := range s.Check(of+"-out", kind, mapping.FromOpenAPI(doc)) {
				t.Error(f.Error())
			}
		}
		for _, name := range s.Names() {
			if strings.HasPrefix(name, of+"-in/") {
				for _, f := range s.Check(name, "", mapping.FromOpenAPI(doc)) {
					t.Error(f.Error())
				}
			}
		}
	}
}
