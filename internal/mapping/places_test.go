package mapping

import (
	"regexp/syntax"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/schema"
)

// TestAPatternOfTooManyPlacesIsRefusedBeforeItIsCompiled: what counts them counts no more than there are.
func TestAPatternOfTooManyPlacesIsRefusedBeforeItIsCompiled(t *testing.T) {
	for text, tooMany := range map[string]bool{
		"": false, "^a*$": false, "^[A-Z]{3}-[0-9]{1,80}(/x|y+)?$": false, "(a?){200}": false, "a{0}b{2,}(?i:straße)": false, "(?:a|bc|[^d]){9}": false,
		"a{1000}b": true, "(?:ab){600}": true, strings.Repeat("a{1000}", 142): true, strings.Repeat("(?:[a-z]b*){250}", 4): true,
	} {
		re, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if got := placesOf(re, maxPlaces) > maxPlaces; got != tooMany {
			t.Errorf("%.40s: too many %t, want %t", text, got, tooMany)
		}
		if !tooMany {
			prog, err := syntax.Compile(re.Simplify())
			if err != nil || placesOf(re, maxPlaces) > len(prog.Inst) {
				t.Errorf("%.40s: counted %d places of %d, %v", text, placesOf(re, maxPlaces), len(prog.Inst), err)
			}
		}
		if _, _, err := compilePattern(text); (err != nil) != tooMany {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// TestAPatternThatComesWithAMessageIsCountedEachTimeThatItIsRead, also over an empty text.
func TestAPatternThatComesWithAMessageIsCountedEachTimeThatItIsRead(t *testing.T) {
	body := `{"p":"` + strings.Repeat("a", 900) + `","l":[` + strings.TrimSuffix(strings.Repeat(`"",`, 100), ",") + `]}`
	dear, err := spends(t.Context(), t, `src.l.exists(x, x.matches(src.p))`, body)
	if err == nil && dear < 100*900 {
		t.Errorf("a hundred readings of a pattern of 900 characters count %d steps", dear)
	}
}

// TestMadeUpTextsFitWhatTheContractAsksFor, however long a text must be, and with the codes that a mapping looks up.
func TestMadeUpTextsFitWhatTheContractAsksFor(t *testing.T) {
	for name, field := range map[string]*schema.Type{
		"long":        {Kind: schema.Text, MinLength: 400},
		"longer":      {Kind: schema.Text, MinLength: 400, MaxLength: 20},
		"very long":   {Kind: schema.Text, MinLength: 1 << 40},
		"with a code": {Kind: schema.Text, Pattern: "^[A-Z]{3}$"},
	} {
		s, err := Load(fstest.MapFS{"in.yaml": {Data: []byte(`from: {document: U}
to: {kind: '"test.happened"', key: src.number}
tables: {currency: {rows: {EUR: Euro, USD: Dollar, CHF: Franken}}}
fields: {c: 'lookup("currency", src.currency)'}
`)}})
		if err != nil {
			t.Fatal(err)
		}
		doc := schema.NewObject("U", &schema.Field{Name: "number", Type: &schema.Type{Kind: schema.Text, MaxLength: 4}, Required: true}, &schema.Field{Name: "currency", Type: field, Required: true})
		r, err := s.Test(t.Context(), TestConfig{Document: func(string) *schema.Type { return doc }, Fuzz: 200, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Cases {
			if name == "with a code" && c.MadeUp > 0 && c.Mapped == 0 {
				t.Errorf("%s: of %d none was mapped: %v", name, c.MadeUp, c.Errors)
			}
		}
	}
}
