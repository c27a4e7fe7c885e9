package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/decimal"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/openapi/contract"
)

// wholeWay takes a quantity the whole way: a confirmation of the plant, JSON, an expression, what OData V2 writes, the XML of an IDoc, and all of it
// back into a confirmation, each by what the product itself reads and writes with.
type wholeWay struct {
	out, in *mapping.Set
	field   *edm.Field
}

func newWholeWay(t *testing.T) wholeWay {
	t.Helper()
	set := func(file string) *mapping.Set {
		s, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(file)}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return wholeWay{
		out:   set("from: {kind: test.happened}\nto: {operation: post}\nfields: {q: decimal(src.yield) + decimal(\"0\"), n: {value: src.yield, as: number}}\n"),
		in:    set("from: {document: d}\nto: {kind: '\"test.came\"', key: '\"k/\" + event.id'}\nfields: {yield: decimal(src.q), n: {value: decimal(src.n), as: number}}\n"),
		field: &edm.Field{Name: "q", Type: "Edm.Decimal", Precision: 38, Scale: 18},
	}
}

// take sends a quantity as it is spelt: in a text, as the plant does, or as a JSON number.
func (p wholeWay) take(t *testing.T, spelt string) (texts [2]string) {
	t.Helper()
	body := []byte(`{"yield":` + spelt + `}`)
	if text, isText := strings.CutPrefix(spelt, `"`); isText {
		var err error
		if body, err = json.Marshal(mes.Confirmation{Yield: decimal.MustParse(strings.TrimSuffix(text, `"`))}); err != nil {
			t.Fatal(err)
		}
	}
	there, err := p.out.Try(t.Context(), "m", message.Message{Kind: "test.happened", Version: 1, Body: body}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := contract.Decode(there.Body)
	if err != nil {
		t.Fatal(err)
	}
	made := v.(map[string]any)
	wire, err := p.field.Wire(made["q"], edm.Wire{Version: edm.V2})
	if err != nil {
		t.Fatal(err)
	}
	q, n := throughXML(t, fmt.Sprint(wire), fmt.Sprint(made["n"]))
	plain, err := p.field.Plain(q)
	if err != nil {
		t.Fatal(err)
	}
	doc := fmt.Sprintf(`{"q":%q,"n":%s}`, fmt.Sprint(plain), n)
	back, err := p.in.Try(t.Context(), "m", message.Message{Body: []byte(doc)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		mes.Confirmation
		N json.Number
	}
	if err := json.Unmarshal(back.Body, &got); err != nil {
		t.Fatal(err)
	}
	return [2]string{got.Yield.String(), got.N.String()}
}

// throughXML writes the two in a segment of an IDoc and reads them again.
func throughXML(t *testing.T, q, n string) (string, string) {
	t.Helper()
	d := idoc.Document{
		Control:  idoc.Control{"DOCNUM": "0000000000000001", "IDOCTYP": "LOIPRO02", "MESTYP": "LOIPRO", "SNDPRN": "S4HCLNT100", "MANDT": "100"},
		Segments: []*idoc.Segment{{Name: "Z1QUANTITY", Fields: []idoc.Value{{Name: "Q", Text: q}, {Name: "N", Text: n}}}},
	}
	text, err := idoc.WriteXML([]idoc.Document{d})
	if err != nil {
		t.Fatal(err)
	}
	read, err := idoc.ReadXML(text, idoc.Shipped(), idoc.Usual())
	if err != nil || len(read) != 1 || len(read[0].Segments) != 1 {
		t.Fatalf("read %+v again, %v", read, err)
	}
	return read[0].Segments[0].Get("Q"), read[0].Segments[0].Get("N")
}

// TestQuantitiesKeepEveryDigitOnTheWholeWay takes what binary numbers cannot hold, and thousands more, there and back.
func TestQuantitiesKeepEveryDigitOnTheWholeWay(t *testing.T) {
	p := newWholeWay(t)
	sum := decimal.MustParse("0.1").Add(decimal.MustParse("0.2"))
	quantities := []string{sum.String(), "1E-6", "1e-6", "123456789012.123456", "-0", "-0.0", "1E15", "1E+15", "1000000000000000", "9007199254740993", "0.30", "12.500"}
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		digits := func(n int) string {
			var b strings.Builder
			for range n {
				b.WriteByte(byte('0' + r.IntN(10)))
			}
			return b.String()
		}
		text := digits(1 + r.IntN(20))
		if n := r.IntN(19); n > 0 {
			text += "." + digits(n)
		}
		if r.IntN(3) == 0 {
			text = "-" + text // a stock may be short, and a correction takes away
		}
		quantities = append(quantities, text)
	}
	for _, q := range quantities {
		want := decimal.MustParse(q).String()
		for _, got := range p.take(t, `"`+q+`"`) {
			if got != want {
				t.Errorf("the text %s came back as %s, want %s", q, got, want)
			}
		}
	}
	for q, want := range map[string]string{"0.3": "0.3", "1E-6": "0.000001", "-0": "0", "1E15": "1000000000000000", "123456789012.123456": "123456789012.123456", "12.500": "12.500"} {
		for _, spelt := range []string{q, `"` + q + `"`} {
			if got := p.take(t, spelt); got != [2]string{want, want} {
				t.Errorf("%s came back as %s, want %s", spelt, got, want)
			}
		}
	}
	if got := sum.String(); got != "0.3" {
		t.Errorf("0.1 + 0.2 = %s", got)
	}
}
