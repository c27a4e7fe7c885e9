package mapping

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// TestMadeUpDocumentsReachTheEdges: each fits its type, and among a few hundred are the least and the most of everything.
func TestMadeUpDocumentsReachTheEdges(t *testing.T) {
	number := func(kind schema.Kind, digits, scale int, least, most string) *schema.Type {
		return &schema.Type{Kind: kind, Digits: digits, Scale: scale, Least: schema.Bound{Value: least}, Most: schema.Bound{Value: most}}
	}
	amount := number(schema.Text, 10, 3, "0", "")
	amount.Format = schema.IsDecimal
	parts := &schema.Type{Kind: schema.List, Item: number(schema.Integer, 0, 0, "", ""), MaxItems: 5, Scale: schema.AnyScale}
	doc := schema.NewObject("D",
		&schema.Field{Name: "text", Type: &schema.Type{Kind: schema.Text, MaxLength: 7, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "free", Type: &schema.Type{Kind: schema.Text, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "delta", Type: number(schema.Decimal, 20, 18, "", ""), Required: true}, &schema.Field{Name: "amount", Type: amount, Required: true},
		&schema.Field{Name: "small", Type: number(schema.Integer, 0, 0, "-128", "127"), Required: true}, &schema.Field{Name: "long", Type: number(schema.Integer, 0, 0, "", ""), Required: true},
		&schema.Field{Name: "parts", Type: parts, Required: true},
		&schema.Field{Name: "least", Type: &schema.Type{Kind: schema.Text, MinLength: 6, MaxLength: 9, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "atLeast", Type: &schema.Type{Kind: schema.Text, MinLength: 30, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "key", Type: &schema.Type{Kind: schema.Text, Pattern: `^[A-Z0-9-]{1,20}$`, MinLength: 2, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "form", Type: &schema.Type{Kind: schema.Text, Pattern: `^(?:PO|SO)-[0-9]{4,}(/[^a-z])?$`, Scale: schema.AnyScale}, Required: true},
		&schema.Field{Name: "some", Type: &schema.Type{Kind: schema.Text, Enum: []string{"a", "b"}, Pattern: "^[ab]$", Scale: schema.AnyScale}, Required: true})
	seen := map[string]bool{}
	g := newGenerator(1)
	for i := range 600 {
		g.tame = i%2 == 0
		text := g.document(doc)
		v, err := contract.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := against(doc, v, nil); len(wrong) > 0 {
			t.Fatalf("%s does not fit: %q", text, wrong)
		}
		var d struct {
			Text, Free, Amount string
			Delta, Small, Long json.Number
			Parts              []json.Number
			Key, Form          string
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		for edge, met := range map[string]bool{
			"one character": utf8.RuneCountInString(d.Text) == 1, "as many as there is room for": utf8.RuneCountInString(d.Text) == 7, "a long text": len(d.Free) >= longText,
			"a number below zero": strings.HasPrefix(d.Delta.String(), "-"), "38 digits": len(strings.Trim(d.Delta.String(), "-")) == 39, "an amount of all its digits": len(d.Amount) == 14,
			"the least": d.Small == "-128", "the most": d.Small == "127", "the longest": d.Long == "9223372036854775807", "the longest below zero": d.Long == "-9223372036854775808",
			"an empty list": len(d.Parts) == 0, "a full list": len(d.Parts) == 5,
			"a key of 20": len(d.Key) == 20, "one of the other sort, with its end": strings.HasPrefix(d.Form, "SO-") && strings.Contains(d.Form, "/"),
		} {
			seen[edge] = seen[edge] || met
		}
	}
	for edge, met := range seen {
		if !met {
			t.Errorf("there was never %s", edge)
		}
	}
}
