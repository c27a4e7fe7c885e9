package mapping_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/problem"
)

// spelt is a decimal as it is, or with an exponent: 12.50 as 1.250E1.
func spelt(r *rand.Rand, plain string) string {
	number, negative := strings.CutPrefix(plain, "-")
	whole, places, _ := strings.Cut(number, ".")
	digits := strings.TrimLeft(whole+places, "0")
	if r.IntN(3) > 0 || digits == "" {
		return plain
	}
	s := digits[:1]
	if len(digits) > 1 {
		s += "." + digits[1:]
	}
	s += string("eE"[r.IntN(2)]) + fmt.Sprint(len(digits)-1-len(places))
	if negative {
		s = "-" + s
	}
	return s
}

// randomDecimal is one of up to 38 digits, with up to 18 behind the point.
func randomDecimal(r *rand.Rand) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + r.IntN(10))
		}
		return string(b)
	}
	scale := r.IntN(19)
	whole := strings.TrimLeft(digits(r.IntN(38-scale)+1), "0")
	if whole == "" {
		whole = "0"
	}
	s := whole
	if scale > 0 {
		s += "." + digits(scale)
	}
	if r.IntN(2) == 0 && strings.Trim(s, "0.") != "" {
		s = "-" + s
	}
	return s
}

// TestDecimalsKeepEveryDigit sends random decimals, as text and as JSON numbers, through decimals, defaults, lists and objects, in
// and out, and compares them digit for digit.
func TestDecimalsKeepEveryDigit(t *testing.T) {
	const runs, each = 1000, 100
	s, err := load(t, map[string]string{
		"out.yaml": header + "fields:\n  t: {each: src.t, value: decimal(item), as: number}\n  n: {each: src.n, value: item + 0, as: string}\n  raw: {value: src.t}\n",
		"in.yaml":  "from: {document: d}\nto: {kind: '\"k\"', key: event.id}\nfields:\n  t: {each: src.t, value: decimal(item)}\n  n: {each: src.n, value: decimal(item), as: number}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	exponents := 0
	for range runs {
		want, given := make([]string, each), make([]string, each)
		for i := range want {
			want[i] = randomDecimal(r)
			if given[i] = spelt(r, want[i]); given[i] != want[i] {
				exponents++
			}
		}
		body := fmt.Sprintf(`{"t":["%s"],"n":[%s]}`, strings.Join(given, `","`), strings.ReplaceAll(strings.Join(given, `,`), "-0,", "0,"))
		doc, err := s.Apply(t.Context(), "out", verified(t, confirmed(body)), nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := s.ApplyIn(t.Context(), "in", confirmed(string(doc.Body)), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			T []string
			N []json.Number
		}
		if err := json.Unmarshal(back.Body, &got); err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if got.T[i] != w || got.N[i].String() != w {
				t.Fatalf("%s, given as %s, came back as %s and %s", w, given[i], got.T[i], got.N[i])
			}
		}
	}
	if exponents < runs*each/5 {
		t.Errorf("%d of %d were given with an exponent", exponents, runs*each)
	}
}

func TestNumbersThatAreNoneAreRefused(t *testing.T) {
	for _, n := range []string{"NaN", "Infinity", "1e999999999", "-", "1.", ".5", "0x10", "1_000", strings.Repeat("9", 39)} {
		if got, err := apply(t, "fields: {a: decimal(src.a)}", `{"a":"`+n+`"}`, nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s was mapped to %s, %v", n, got, err)
		}
	}
}

// TestAnExpressionCannotRunAway runs what is meant to take time or memory. Each ends at one of the bounds, which count steps and
// bytes and so do not depend on the machine; BenchmarkRunaway says how long that takes. The mapping goes on with the next message.
func TestAnExpressionCannotRunAway(t *testing.T) {
	bound := regexp.MustCompile(`more than \d+ (bytes|characters|steps)|cost limit exceeded|memory limit exceeded|larger than \d+ bytes`)
	long := strings.Repeat("a", 60_000)
	numbers := strings.TrimSuffix(strings.Repeat("1,", 3000), ",")
	tests := []struct{ name, fields, body string }{
		{"a text that grows by replace", `fields: {a: 'src.a.replace("a", src.a).replace("a", src.a)'}`, `{"a":"` + strings.Repeat("a", 500) + `"}`},
		{"a text that grows by pad", `fields: {a: 'pad(src.a, src.n, "0")'}`, `{"a":"a","n":1000000000}`},
		{"a text that grows by +", "fields: {a: '" + strings.TrimSuffix(strings.Repeat("src.a + ", 200), " + ") + "'}", `{"a":"` + long + `"}`},
		{"a list of long texts", `fields: {a: 'src.l.map(x, pad("a", 60000, "0")).size()'}`, `{"l":[` + numbers + `]}`},
		{"a list of texts in capitals", "fields: {a: 'src.l.map(x, src.a.upper()).size()'}", `{"l":[` + numbers + `],"a":"` + long + `"}`},
		{"a list of replaced texts", `fields: {a: 'src.l.map(x, src.a.replace("a", "b")).size()'}`, `{"l":[` + numbers + `],"a":"` + long + `"}`},
		{"a list of lists of parts", "fields: {a: 'src.l.map(x, src.a.split(\"a\")).size()'}", `{"l":[` + numbers + `],"a":"` + long + `"}`},
		{"a list of lists that grow", "fields: {a: 'src.l.map(x, src.l + src.l).size()'}", `{"l":[` + numbers + `]}`},
		{"a text many times", "fields: {a: {each: src.l, fields: {a: src.a}}}", `{"l":[` + numbers + `],"a":"` + long + `"}`},
		{"a regular expression over a long text in a loop", `fields: {a: 'src.l.filter(x, src.a.matches("(a*)*b")).size()'}`, `{"l":[` + numbers + `],"a":"` + long + `"}`},
		{"a text of 10 MB that grows", `fields: {a: 'src.a.replace("a", "bb")'}`, `{"a":"` + strings.Repeat("a", 10<<20) + `"}`},
		{"a regular expression over 10 MB", `fields: {a: 'src.a.matches("(a*)*b")'}`, `{"a":"` + strings.Repeat("a", 10<<20) + `"}`},
		{"a text of 10 MB that is passed on", `fields: {a: src.a}`, `{"a":"` + strings.Repeat("a", 10<<20) + `"}`},
		{"a loop for each element", "fields: {a: {each: src.l, value: 'src.l.filter(x, x == item).size()'}}", `{"l":[` + numbers + `]}`},
		{"three loops of fields", "fields: {a: {each: src.l, item: x, fields: {b: {each: src.l, item: y, fields: {c: {each: src.l, item: z, value: z}}}}}}", `{"l":[` + numbers + `]}`},
		{"three loops of constants", "fields: {a: {each: src.l, item: x, fields: {b: {each: src.l, item: y, fields: {c: {each: src.l, item: z, fields: {d: {const: 1}}}}}}}}", `{"l":[` + numbers + `]}`},
		{"a list that is joined with itself", "fields: {a: '" + strings.Repeat("src.l + ", 20) + "src.l'}", `{"l":[` + numbers + `]}`},
		{"loops of nothing", "fields: {a: {each: src.l, item: x, fields: {b: {each: src.l, item: y, value: src.?gone}}}}", `{"l":[` + numbers + `]}`},
		{"loops that write nothing", "fields: {a: {each: src.l, item: x, fields: {b: {each: src.l, item: y, fields: {c: {each: src.l, item: z, value: src.?gone}}}}}}", `{"l":[` + numbers + `]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, map[string]string{"m.yaml": header + tt.fields})
			if err != nil {
				t.Fatal(err)
			}
			v := verified(t, confirmed(tt.body))
			doc, err := s.Apply(t.Context(), "m", v, nil)
			if problem.KindOf(err) != problem.Invalid || !bound.MatchString(err.Error()) {
				t.Errorf("mapped to %d bytes, err = %v", len(doc.Body), err)
			}
			if _, err := s.Apply(t.Context(), "m", verified(t, confirmed(`{"l":[],"a":""}`)), nil); err != nil && bound.MatchString(err.Error()) {
				t.Errorf("the next message fails too: %v", err)
			}
		})
	}
}

// TestAnExpressionThatCopiesWhatItHasIsRefused: each turn of these doubles a value, or takes it as often as it has parts, for one step.
func TestAnExpressionThatCopiesWhatItHasIsRefused(t *testing.T) {
	many := func(start, turn string, n int) string { return "optional.of(" + start + ")" + strings.Repeat(turn, n) }
	tests := []struct{ name, expression, want string }{
		{"a list joined with itself", many("[src.a]", ".optMap(a, a + a)", 40) + `.optMap(a, "x" in a).orValue(false)`, "more than 1000 times"},
		{"a list of itself twice", many("[src.a]", ".optMap(a, [a, a])", 40) + `.optMap(a, a == [a]).orValue(false)`, "more than 1000 times"},
		{"a map of itself", many("{'a': src.l}", ".optMap(a, {'a': a, 'b': a})", 40) + `.optMap(a, a == {'a': a}).orValue(false)`, "more than 1000 times"},
		{"itself for each of its parts", many("src.l", ".optMap(a, a.map(x, a))", 5) + `.optMap(a, a == [a]).orValue(false)`, "more than 1000 times"},
		{"a text that is named", `src.?a.optMap(a, a + ":" + a).optMap(b, [b, b].size()).orValue(0)`, ""},
		{"parts of each", `src.l.map(x, {"a": src.a, "b": src.b, "c": x.c}).size()`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, map[string]string{"m.yaml": header + "fields:\n  a: >-\n    " + tt.expression})
			if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestAMappingEndsWhenNobodyWaitsForIt: a loop asks after each element.
func TestAMappingEndsWhenNobodyWaitsForIt(t *testing.T) {
	s, err := load(t, map[string]string{"m.yaml": header + "fields: {a: {each: src.l, value: 'ref(\"order\", item)'}}"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	asked := 0
	_, err = s.Apply(ctx, "m", verified(t, confirmed(`{"l":["a","b","c"]}`)), func(context.Context, string) (string, bool, error) {
		asked++
		end()
		return "1", true, nil
	})
	if !errors.Is(err, context.Canceled) || problem.KindOf(err) == problem.Invalid || asked != 1 {
		t.Errorf("err = %v after %d elements, want it to end after the first, and the message not to be called invalid", err, asked)
	}
}

// FuzzMappingFile loads anything as a mapping: it compiles or is refused with a place, and what compiles maps or fails in words.
func FuzzMappingFile(f *testing.F) {
	f.Add(header+"fields: {a: src.a, b: {value: 'decimal(src.b) * 2', scale: 3, as: number}}", `{"a":1,"b":"2.5"}`)
	f.Add(header+"tables: {t: {rows: {a: '01'}}}\nfields:\n  l: {each: src.l, item: x, fields: {k: 'lookup(\"t\", x)'}}\nparams: {n: event.key}", `{"l":["a"]}`)
	f.Add("from: {document: d}\nto: {kind: '\"k\"', key: 'plantID(\"order\", src.n)', time: src.t}\nwhen: src.n != \"\"\nfields: {a: 'date(src.t, \"Europe/Berlin\")'}", `{"n":"1","t":"2026-11-24T06:00:00+01:00"}`)
	f.Add(header+"fields: {a: |\n  src.a\n}", `{}`)
	f.Fuzz(func(t *testing.T, file, body string) {
		if len(file) > 4000 || len(body) > 4000 {
			return
		}
		s, err := load(t, map[string]string{"m.yaml": file})
		if err != nil {
			if !strings.Contains(err.Error(), "m.yaml:") {
				t.Errorf("no place in %v", err)
			}
			return
		}
		look, ok := s.Look("m")
		if !ok {
			return
		}
		m := confirmed(body)
		if look.Inbound {
			if in, err := s.ApplyIn(t.Context(), "m", m, nil); err == nil && len(in.Body) > 0 && !json.Valid(in.Body) {
				t.Errorf("no JSON: %s", in.Body)
			}
			return
		}
		if m.Kind = look.Kind; !s.Covers("m", m.Kind) {
			t.Fatalf("%q does not map its own kind %q", file, m.Kind)
		}
		if doc, err := s.Apply(t.Context(), "m", verified(t, m), known(map[string]string{"order/o": "1"})); err == nil && len(doc.Body) > 0 && !json.Valid(doc.Body) {
			t.Errorf("no JSON: %s", doc.Body)
		}
	})
}

// TestTheSameInputGivesTheSameBytes compares two loads and two runs, since maps have no order.
func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	fields := "fields: {a: src, b: {const: x}}"
	body := `{"z":1,"y":{"b":2,"a":3},"x":[{"d":1,"c":2}]}`
	first, err := apply(t, fields, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := apply(t, fields, body, nil); err != nil || again != first {
			t.Fatalf("got %s, then %s, %v", first, again, err)
		}
	}
}

// BenchmarkRunaway maps what is stopped at the bound of a whole message.
func BenchmarkRunaway(b *testing.B) {
	numbers := strings.TrimSuffix(strings.Repeat("1,", 3000), ",")
	s, err := load(b, map[string]string{"m.yaml": header + "fields: {a: {each: src.l, value: 'src.l.filter(x, x == item).size()'}}"})
	if err != nil {
		b.Fatal(err)
	}
	v := verified(b, confirmed(`{"l":[`+numbers+`]}`))
	for b.Loop() {
		if _, err := s.Apply(b.Context(), "m", v, nil); err == nil {
			b.Fatal("it was not stopped")
		}
	}
}

// TestListsAndObjectsAreComparedByValue: 12 equals 12.0 in a list and an object of no type too.
func TestListsAndObjectsAreComparedByValue(t *testing.T) {
	const body = `{"a":[12],"b":[12.0],"c":{"n":1,"m":["x",2]},"d":{"n":1.0,"m":["x",2.00]},"e":[12.5],"f":{"n":1},"l":[[1],[12.0]]}`
	for expression, want := range map[string]string{
		"src.a == src.b": "true", "src.b == src.a": "true", "src.a != src.b": "false", "src.a == [decimal(\"12.0\")]": "true",
		"[decimal(\"12.0\")] == src.a": "true", "src.c == src.d": "true", "src.c == src.f": "false", "src.a == src.e": "false", "src.a in src.l": "true",
		"src.e in src.l": "false", "src.?a == src.?b": "true", "src.a == src.c": "false", `{"n": src.a} == {"n": src.b}`: "true", `[src.a] == [src.b]`: "true",
		"src.?z == src.?b": "false",
	} {
		got, err := apply(t, "fields: {r: '"+expression+"'}", body, nil)
		if err != nil || got != `{"r":`+want+`}` {
			t.Errorf("%s: got %s, %v, want %s", expression, got, err, want)
		}
	}
}
