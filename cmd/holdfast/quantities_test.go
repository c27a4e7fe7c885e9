package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/decimal"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/openapi/contract"
)

// wholeWay takes a quantity the whole way: the plant's own type, JSON, an expression, what OData V2 writes, XML, and all of it back.
type wholeWay struct {
	out, in *mapping.Set
	field   *edm.Field
}

// segment is how a document in XML has the two.
type segment struct{ Q, N string }

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
		out:   set("from: {kind: test.happened}\nto: {operation: post}\nfields: {q: decimal(src.q) + decimal(\"0\"), n: {value: src.q, as: number}}\n"),
		in:    set("from: {document: d}\nto: {kind: '\"test.came\"', key: '\"k\"'}\nfields: {q: decimal(src.q), n: {value: decimal(src.n), as: number}}\n"),
		field: &edm.Field{Name: "q", Type: "Edm.Decimal", Precision: 38, Scale: 18},
	}
}

// take sends a quantity as it is spelt: in a text, as the plant does, or as a JSON number.
func (p wholeWay) take(t *testing.T, spelt string) (texts [2]string) {
	t.Helper()
	body := []byte(`{"q":` + spelt + `}`)
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
	var plainXML segment
	plainXML.Q, plainXML.N = fmt.Sprint(wire), fmt.Sprint(made["n"])
	text, err := xml.Marshal(plainXML)
	if err != nil {
		t.Fatal(err)
	}
	plainXML.Q, plainXML.N = "", ""
	if err := xml.Unmarshal(text, &plainXML); err != nil {
		t.Fatal(err)
	}
	plain, err := p.field.Plain(plainXML.Q)
	if err != nil {
		t.Fatal(err)
	}
	doc := fmt.Sprintf(`{"q":%q,"n":%s}`, fmt.Sprint(plain), plainXML.N)
	back, err := p.in.Try(t.Context(), "m", message.Message{Body: []byte(doc)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Q string
		N json.Number
	}
	if err := json.Unmarshal(back.Body, &got); err != nil {
		t.Fatal(err)
	}
	return [2]string{got.Q, got.N.String()}
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
