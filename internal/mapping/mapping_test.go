package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// trust vouches for every message: whether one is to be believed is not the mapping's affair.
type trust struct{}

func (trust) Verify(context.Context, message.Message) error { return nil }

func verified(t testing.TB, m message.Message) message.Verified {
	t.Helper()
	v, err := message.Verify(t.Context(), trust{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// confirmed is a message with everything that a mapping can see.
func confirmed(body string) message.Message {
	return message.Message{
		ID: "m-1", Source: "urn:plant:1000", Kind: "test.happened", Version: 1, Key: "o-1",
		Time: time.Date(2026, 11, 24, 23, 30, 0, 0, time.UTC), Body: []byte(body),
		Place: message.Place{Link: "erp", Lane: "o-1", Epoch: 1, Number: 7, Role: message.Event},
	}
}

func load(t testing.TB, files map[string]string) (*mapping.Set, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return mapping.Load(fsys)
}

// known resolves the references in it.
func known(refs map[string]string) mapping.Resolver {
	return func(_ context.Context, object string) (string, bool, error) {
		n, ok := refs[object]
		return n, ok, nil
	}
}

const header = "from: {kind: test.happened}\nto: {operation: post}\n"

func apply(t testing.TB, fields, body string, refs mapping.Resolver) (string, error) {
	t.Helper()
	s, err := load(t, map[string]string{"m.yaml": header + fields})
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	doc, err := s.Apply(t.Context(), "m", verified(t, confirmed(body)), refs)
	return string(doc.Body), err
}

// TestAListThatThePlantDoesNotTakeStopsAtItsRule: as a number does.
func TestAListThatThePlantDoesNotTakeStopsAtItsRule(t *testing.T) {
	for n, want := range map[int]string{0: "", 50: "", 51: "it has 51 elements, and 50 are allowed"} {
		s, err := load(t, map[string]string{"m.yaml": "from: {document: d}\nto: {kind: '\"material.changed\"', key: src.number}\nfields:\n" +
			"  number: src.number\n  description: src.number\n  baseUnit: src.number\n  batchManaged: {const: false}\n  serialised: {const: false}\n" +
			"  units: {each: src.units, fields: {unit: item, numerator: {const: '1'}, denominator: {const: '1'}}}\n"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.ApplyIn(t.Context(), "m", confirmed(fmt.Sprintf(`{"number":"M","units":[%s]}`, strings.TrimSuffix(strings.Repeat(`"u",`, n), ","))), nil)
		if n <= 50 && err != nil || n > 50 && (problem.KindOf(err) != problem.Invalid || !contains(err.Error(), want)) {
			t.Errorf("%d units: %v, want %q", n, err, want)
		}
	}
}

// TestWhatThePlantDoesNotTakeStopsAtItsRule: a number of the ERP beyond a limit of the plant's own is told with the place of the rule.
func TestWhatThePlantDoesNotTakeStopsAtItsRule(t *testing.T) {
	s, err := load(t, map[string]string{"m.yaml": "from: {document: d}\nto: {kind: '\"material.changed\"', key: src.number}\nfields:\n" +
		"  number: src.number\n  description: src.number\n  baseUnit: src.number\n  batchManaged: {const: false}\n  serialised: {const: false}\n  netWeight: {value: src.?weight, default: '\"0\"'}\n  weightUnit: src.number\n"})
	if err != nil {
		t.Fatal(err)
	}
	for weight, want := range map[string]string{`"-0.001"`: "fields.netWeight (m.yaml:9:14): -0.001 is less than 0", `-1`: "-1 is less than 0", `"light"`: `"light" is not a decimal number`, `"0.5"`: "", `7`: ""} {
		m := confirmed(`{"number":"M","weight":` + weight + `}`)
		_, err := s.ApplyIn(t.Context(), "m", m, nil)
		if want == "" && err != nil || want != "" && (problem.KindOf(err) != problem.Invalid || !contains(err.Error(), want)) {
			t.Errorf("a weight of %s: %v, want %q", weight, err, want)
		}
	}
}

func TestFieldsAreMadeAsTheirRulesSay(t *testing.T) {
	tests := []struct {
		name, fields, body, want string
	}{
		{"a text", "fields: {a: src.a}", `{"a":"x"}`, `{"a":"x"}`},
		{
			"the event", `fields: {i: event.id, n: event.number, k: event.key, t: event.time, v: event.version, l: event.lane}`, `{}`,
			`{"i":"m-1","n":7,"k":"o-1","t":"2026-11-24T23:30:00Z","v":1,"l":"o-1"}`,
		},
		{"fields keep the order of the rules", "fields: {b: src.b, a: src.a}", `{"a":1,"b":2}`, `{"b":2,"a":1}`},
		{"a decimal is a text", `fields: {a: decimal(src.a) + decimal("0.2")}`, `{"a":"0.1"}`, `{"a":"0.3"}`},
		{"a decimal as a number", `fields: {a: {value: decimal(src.a), as: number}}`, `{"a":"12.500"}`, `{"a":12.500}`},
		{"a text as a number", `fields: {a: {value: src.a, as: number}}`, `{"a":"12.500"}`, `{"a":12.500}`},
		{"an int as a text", `fields: {a: {value: src.a, as: string}}`, `{"a":12}`, `{"a":"12"}`},
		{"2^53 + 1 keeps its last digit", `fields: {a: src.a}`, `{"a":9007199254740993}`, `{"a":9007199254740993}`},
		{"an integer beyond 64 bits", `fields: {a: {value: src.a, as: number}}`, `{"a":92233720368547758080}`, `{"a":92233720368547758080}`},
		{"scale adds zeros", `fields: {a: {value: decimal(src.a), scale: 3}}`, `{"a":"1.5"}`, `{"a":"1.500"}`},
		{"rounding by name", `fields: {a: {value: decimal(src.a), scale: 2, round: half-even}}`, `{"a":"0.125"}`, `{"a":"0.12"}`},
		{"round in an expression", `fields: {a: 'round(decimal(src.a), 2, "half-up")'}`, `{"a":"0.125"}`, `{"a":"0.13"}`},
		{"a ratio that does not end", `fields: {a: 'ratio(decimal(src.a), decimal("1"), decimal("3"), 3, "half-up")', b: 'ratio(-decimal(src.a), decimal("2"), decimal("3"), 2, "down")'}`, `{"a":"1"}`, `{"a":"0.333","b":"-0.66"}`},
		{"minutes as hours", `fields: {a: 'convert(decimal(src.a), "MIN", "HUR", 4, "half-up")', b: 'convert(decimal(src.a), "MIN", "MIN", 1, "half-up")'}`, `{"a":"20"}`, `{"a":"0.3333","b":"20.0"}`},
		{"a ratio", `fields: {a: 'ratio(decimal(src.a), decimal("1"), decimal("8"))'}`, `{"a":"3"}`, `{"a":"0.375"}`},
		{"minus, times and abs", `fields: {a: 'abs(-decimal(src.a) * 2 - 1)'}`, `{"a":"1.5"}`, `{"a":"4.0"}`},
		{
			"decimals compare with ints", `fields: {a: 'decimal(src.a) > 1 && decimal(src.a) <= decimal("1.50") && decimal(src.a) == decimal("1.5")'}`,
			`{"a":"1.50"}`, `{"a":true}`,
		},
		{"a decimal as an int", `fields: {a: int(decimal(src.a))}`, `{"a":"3.00"}`, `{"a":3}`},
		{"a number with a point equals an int", `fields: {a: src.a == 3}`, `{"a":3.0}`, `{"a":true}`},
		{"a missing field with ?", "fields: {a: src.?a, b: src.b}", `{"b":1}`, `{"b":1}`},
		{"null counts as missing", "fields: {a: src.a}", `{"a":null}`, `{}`},
		{"a default", `fields: {a: {value: src.?a, default: '"none"'}}`, `{}`, `{"a":"none"}`},
		{"a default that is not needed", `fields: {a: {value: src.?a, default: '"none"'}}`, `{"a":"x"}`, `{"a":"x"}`},
		{"when not", `fields: {a: {value: src.a, when: 'src.b == "yes"'}}`, `{"a":1,"b":"no"}`, `{}`},
		{"when", `fields: {a: {value: src.a, when: 'src.b == "yes"'}}`, `{"a":1,"b":"yes"}`, `{"a":1}`},
		{"when has()", `fields: {a: {value: src.a.b, when: has(src.a)}}`, `{}`, `{}`},
		{"constants", `fields: {a: {const: "0010"}, b: {const: 5}, c: {const: true}, d: {const: 0.50}}`, `{}`, `{"a":"0010","b":5,"c":true,"d":0.50}`},
		{"an object", `fields: {a: {fields: {b: src.b}}}`, `{"b":1}`, `{"a":{"b":1}}`},
		{"an object when", `fields: {a: {when: has(src.b), fields: {b: src.b}}}`, `{}`, `{}`},
		{
			"a loop of objects", `fields: {a: {each: src.l, fields: {n: item.n, i: itemIndex}}}`, `{"l":[{"n":"x"},{"n":"y"}]}`,
			`{"a":[{"n":"x","i":0},{"n":"y","i":1}]}`,
		},
		{"a loop of values", `fields: {a: {each: src.l, item: x, value: x.n}}`, `{"l":[{"n":"x"},{"n":null},{"n":"y"}]}`, `{"a":["x","y"]}`},
		{
			"a loop in a loop", `fields: {a: {each: src.l, item: x, fields: {b: {each: x.m, item: y, value: x.n + y}}}}`,
			`{"l":[{"n":"x","m":["1","2"]}]}`, `{"a":[{"b":["x1","x2"]}]}`,
		},
		{"a loop over part of a list", `fields: {a: {each: 'src.l.filter(x, x != "no")', value: item}}`, `{"l":["a","no","b"]}`, `{"a":["a","b"]}`},
		{"a loop over a list that is missing", `fields: {a: {each: src.?l, value: item}}`, `{}`, `{}`},
		{"an empty list", `fields: {a: {each: src.l, value: item}}`, `{"l":[]}`, `{"a":[]}`},
		{"a value as it is", `fields: {a: src.a}`, `{"a":{"z":[1,"<&>",true,null],"b":{"c":2.50}}}`, `{"a":{"b":{"c":"2.50"},"z":[1,"<&>",true,null]}}`},
		{
			"texts", `fields: {a: src.a.upper(), b: src.a.lower(), c: 'src.a.substring(1, 2)', d: 'src.a.replace("b", "-")', e: 'src.a.split("b")', f: src.s.trim()}`,
			`{"a":"aBbc","s":" x "}`, `{"a":"ABBC","b":"abbc","c":"B","d":"aB-c","e":["aB","c"],"f":"x"}`,
		},
		{
			"leading zeros", `fields: {a: 'pad(src.a, 6, "0")', b: src.b.stripZeros(), c: src.c.stripZeros(), d: src.d.stripZeros()}`,
			`{"a":"42","b":"000042","c":"A0042","d":"000"}`, `{"a":"000042","b":"42","c":"A0042","d":"0"}`,
		},
		{
			"a day in the plant's zone", `fields: {a: 'date(src.a, "Europe/Berlin")', b: 'clock(src.a, "Europe/Berlin")', c: 'dateTime(src.a, "Europe/Berlin")', d: 'date(src.a, src.z)'}`,
			`{"a":"2026-11-24T23:30:00Z","z":"America/New_York"}`, `{"a":"2026-11-25","b":"00:30:00","c":"2026-11-25T00:30:00+01:00","d":"2026-11-24"}`,
		},
		{"a table", "tables: {t: {rows: {a: '01', b: '02'}}}\nfields: {a: 'lookup(\"t\", src.a)'}", `{"a":"b"}`, `{"a":"02"}`},
		{"a table with otherwise", "tables: {t: {rows: {a: '01'}, otherwise: '99'}}\nfields: {a: 'lookup(\"t\", src.a)'}", `{"a":"z"}`, `{"a":"99"}`},
		{"a length that fits", `fields: {a: {value: src.a, maxLength: 3}}`, `{"a":"äöü"}`, `{"a":"äöü"}`},
		{"cut to a length", `fields: {a: {value: src.a, maxLength: 3, cut: true}}`, `{"a":"äöüß"}`, `{"a":"äöü"}`},
		{"a reference", `fields: {a: 'ref("order", src.a)'}`, `{"a":"o-1"}`, `{"a":"4711"}`},
		{"a block of lines", "fields:\n  a: |\n    src.a == 1\n      ? \"one\"\n      : \"many\"\n", `{"a":2}`, `{"a":"many"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := apply(t, tt.fields, tt.body, known(map[string]string{"order/o-1": "4711"}))
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAMessageThatDoesNotFitIsRefusedWithItsField(t *testing.T) {
	tests := []struct {
		name, fields, body, want string
	}{
		{"a missing field", "fields: {a: src.a}", `{}`, "map test.happened m-1 by m@VERSION, fields.a (m.yaml:3:13): there is no field a"},
		{"a required field", "fields: {a: {value: src.?a, required: true}}", `{}`, "fields.a (m.yaml:3:13): it is required and has no value"},
		{"more digits than the scale", "fields: {a: {value: decimal(src.a), scale: 3}}", `{"a":"1.23456"}`, "1.23456 with 3 places would be 1.234"},
		{"a text that is no decimal", "fields: {a: decimal(src.a)}", `{"a":"NaN"}`, `"NaN" is not a decimal number`},
		{"an endless quotient", `fields: {a: {required: true, value: 'ratio(decimal(src.a), decimal("1"), decimal(src.b))'}}`, `{"a":"1","b":"3"}`, "more digits than can be kept"},
		{"a fraction as an int", `fields: {a: int(decimal(src.a))}`, `{"a":"3.5"}`, "3.5 with 0 places would be 3"},
		{"no row", "tables: {t: {rows: {a: '01'}}}\nfields: {a: 'lookup(\"t\", src.a)'}", `{"a":"z"}`, `table t has no row "z"`},
		{"too long", `fields: {a: {value: src.a, maxLength: 3}}`, `{"a":"abcd"}`, `"abcd" is longer than 3 characters`},
		{"too long to pad", `fields: {a: 'pad(src.a, 3, "0")'}`, `{"a":"abcd"}`, `"abcd" is longer than 3 characters`},
		{"a zone that is none", `fields: {a: 'date(src.a, src.z)'}`, `{"a":"2026-11-24T23:30:00Z","z":""}`, "a time needs a zone"},
		{"a time without offset", `fields: {a: 'date(src.a, "UTC")'}`, `{"a":"2026-11-24T23:30:00"}`, "is no RFC 3339 time"},
		{"a loop over a text", `fields: {a: {each: src.a, value: item}}`, `{"a":"abcd"}`, "each goes through a list, not a string"},
		{"a condition that is a text", `fields: {a: {value: src.a, when: src.a}}`, `{"a":"abcd"}`, "a condition is true or false, not a string"},
		{"no JSON", `fields: {a: src.a}`, `{"a":`, "its body is not JSON"},
		{"the same name twice", `fields: {a: src.a}`, `{"a":1,"a":2}`, "its body is not JSON"},
		{"a huge exponent", `fields: {a: src.a}`, `{"a":1e999}`, "more than 38 digits"},
		{"a text and a number", `fields: {a: 'src.a + src.b'}`, `{"a":1,"b":"x"}`, "no such overload"},
		{"a list where a number should be", `fields: {a: {value: src.a, as: number}}`, `{"a":[true]}`, "true or false is no number"},
		{"an empty reference", `fields: {a: 'ref("order", src.a)'}`, `{"a":""}`, "a reference needs a kind and an ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := apply(t, tt.fields, tt.body, nil)
			if err == nil {
				t.Fatalf("mapped to %s", got)
			}
			if kind := problem.KindOf(err); kind != problem.Invalid {
				t.Errorf("kind = %q, want %q", kind, problem.Invalid)
			}
			if !contains(unversioned(err.Error()), tt.want) {
				t.Errorf("err = %v\nwant  …%s…", err, tt.want)
			}
		})
	}
}

func TestALateReferenceIsWaitedFor(t *testing.T) {
	_, err := apply(t, `fields: {a: 'ref("lot", src.lot)'}`, `{"lot":"L1"}`, known(nil))
	w, ok := errors.AsType[*mapping.Waiting](err)
	if !ok || w.Object != "lot/L1" {
		t.Errorf("err = %v, want waiting for lot/L1", err)
	}
}

func TestAResolversErrorComesBack(t *testing.T) {
	down := errors.New("database is away")
	_, err := apply(t, `fields: {a: 'ref("lot", src.lot)'}`, `{"lot":"L1"}`, func(context.Context, string) (string, bool, error) { return "", false, down })
	if !errors.Is(err, down) {
		t.Errorf("err = %v, want %v", err, down)
	}
}

func TestTheDocumentNamesItsMappingAndTarget(t *testing.T) {
	s, err := load(t, map[string]string{"erp/confirm.yaml": header + "params: {number: event.key, n: '7', c: {const: 5}, gone: src.?x}\n"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"erp", "erp/confirm"} {
		doc, err := s.Apply(t.Context(), name, verified(t, confirmed(`{}`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := unversioned(doc.Mapping), "erp/confirm@VERSION"; got != want {
			t.Errorf("mapping = %q, want %q", got, want)
		}
		if doc.Target != "post" || len(doc.Params) != 3 || doc.Params["number"] != "o-1" || doc.Params["n"] != "7" || doc.Params["c"] != "5" || doc.Body != nil {
			t.Errorf("doc = %+v", doc)
		}
	}
	if !s.Covers("erp", "test.happened") || s.Covers("erp", "order.created") || s.Covers("none", "test.happened") {
		t.Error("Covers is wrong about what the set has")
	}
}

func TestAMappingIn(t *testing.T) {
	s, err := load(t, map[string]string{"in/order.yaml": `
from: {document: ProductionOrder}
to:
  kind: 'src.status == "cancelled" ? "job.cancelled" : "job.released"'
  version: 2
  key: 'plantID("order", src.number)'
  time: src.?changed
when: src.status != "created"
fields:
  id: 'plantID("order", src.number)'
  quantity: {value: src.quantity, as: string}
`})
	if err != nil {
		t.Fatal(err)
	}
	in := confirmed(`{"number":"4711","status":"released","quantity":10.50,"changed":"2026-11-24T06:00:00+01:00"}`)
	got, err := s.ApplyIn(t.Context(), "in/order", in, known(map[string]string{"order/4711": "o-1"}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != "job.released" || got.Version != 2 || got.Key != "o-1" || string(got.Body) != `{"id":"o-1","quantity":"10.50"}` ||
		got.Time.Format(time.RFC3339) != "2026-11-24T06:00:00+01:00" || got.ID != in.ID {
		t.Errorf("got %+v %s", got, got.Body)
	}

	t.Run("an order that the plant does not know gets the same ID each time", func(t *testing.T) {
		first, err := s.ApplyIn(t.Context(), "in/order", in, known(nil))
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.ApplyIn(t.Context(), "in/order", in, nil)
		if err != nil || first.Key != again.Key || first.Key == "" || first.Key == "o-1" {
			t.Errorf("keys %q and %q, %v", first.Key, again.Key, err)
		}
	})
	t.Run("null counts as missing, also below", func(t *testing.T) {
		s, err := load(t, map[string]string{"m.yaml": "from: {document: d}\nto: {kind: '\"k\"', key: event.id}\n" +
			"fields: {a: {when: has(src.a), value: decimal(src.a)}, b: 'src.?b.orValue(\"none\")', c: {each: src.c, value: 'item.?d.orValue(\"none\")'}}\n"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.ApplyIn(t.Context(), "m", confirmed(`{"a":null,"b":null,"c":[{"d":null}]}`), nil)
		if err != nil || string(got.Body) != `{"b":"none","c":["none"]}` {
			t.Errorf("got %s, %v", got.Body, err)
		}
	})
	t.Run("a document that is left out", func(t *testing.T) {
		in.Body = []byte(`{"status":"created"}`)
		if _, err := s.ApplyIn(t.Context(), "in/order", in, nil); !errors.Is(err, mapping.ErrLeftOut) {
			t.Errorf("err = %v, want %v", err, mapping.ErrLeftOut)
		}
	})
	t.Run("a time without offset", func(t *testing.T) {
		in.Body = []byte(`{"number":"4711","status":"released","quantity":"1","changed":"2026-11-24"}`)
		if _, err := s.ApplyIn(t.Context(), "in/order", in, nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("err = %v, want invalid", err)
		}
	})
	t.Run("the wrong way", func(t *testing.T) {
		if _, err := s.Apply(t.Context(), "in/order", verified(t, in), nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("err = %v, want invalid", err)
		}
	})
}

func TestWithoutAMappingNothingIsMapped(t *testing.T) {
	s, err := load(t, map[string]string{"m.yaml": header + "fields: {a: src.a}"})
	if err != nil {
		t.Fatal(err)
	}
	m := confirmed(`{"a":1}`)
	if _, err := s.Apply(t.Context(), "other", verified(t, m), nil); problem.KindOf(err) != problem.NotFound {
		t.Errorf("err = %v, want not-found", err)
	}
	if _, err := s.ApplyIn(t.Context(), "m", m, nil); problem.KindOf(err) != problem.Invalid {
		t.Errorf("err = %v, want invalid", err)
	}
	m.Version = 2
	if _, err := s.Apply(t.Context(), "m", verified(t, m), nil); problem.KindOf(err) != problem.Invalid {
		t.Errorf("err = %v, want invalid", err)
	}
	m.Kind, m.Version = "order.created", 1
	if _, err := s.Apply(t.Context(), "m", verified(t, m), nil); problem.KindOf(err) != problem.NotFound {
		t.Errorf("err = %v, want not-found", err)
	}
}

func TestOwnMappingsReplaceShippedOnes(t *testing.T) {
	shipped := fstest.MapFS{"a.yaml": {Data: []byte(header + "fields: {a: '1'}")}, "b.yaml": {Data: []byte(header + "fields: {a: '2'}")}}
	own := fstest.MapFS{"a.yaml": {Data: []byte(header + "fields: {a: '3'}")}, "a.example.yaml": {Data: []byte("- not a mapping")}}
	s, err := mapping.Load(shipped, own)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := s.Apply(t.Context(), "a", verified(t, confirmed(`{}`)), nil)
	if err != nil || string(doc.Body) != `{"a":3}` {
		t.Errorf("got %s, %v", doc.Body, err)
	}
}

// TestARefusedValueSaysWhatToDo maps what a target has no room for; the lane that it stops is somebody's work.
func TestARefusedValueSaysWhatToDo(t *testing.T) {
	tests := []struct{ name, field, body, why, hint string }{
		{"a fourth digit", "{value: decimal(src.a), scale: 3, round: never}", `{"a":"1.0005"}`, "1.0005 with 3 places would be 1.000", "round: half-up"},
		{"no fourth digit", "{value: decimal(src.a), scale: 3, round: never}", `{"a":"1.5"}`, "", ""},
		{"too many digits", "{value: decimal(src.a), maxDigits: 2}", `{"a":"100"}`, "more than 2 digits", "holdfast msg edit"},
		{"too long a text", "{value: src.a, maxLength: 2}", `{"a":"abc"}`, "longer than 2 characters", "holdfast msg edit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := apply(t, "fields: {a: "+tt.field+"}", tt.body, nil)
			p, refused := errors.AsType[*problem.Error](err)
			if refused != (tt.why != "") {
				t.Fatalf("got %v", err)
			}
			if refused && (!contains(p.Why, tt.why) || !contains(p.Hint, tt.hint)) {
				t.Errorf("got %q and %q", p.Why, p.Hint)
			}
		})
	}
}

// TestAVersionIsOfOneMapping: the same letters in other files are another mapping.
func TestAVersionIsOfOneMapping(t *testing.T) {
	version := func(a, b string) string {
		s, err := load(t, map[string]string{
			"m.yaml":       header + "tables: {a: {file: table-a.yaml}, b: {file: table-b.yaml}}\nfields: {x: 'lookup(\"a\", src.x)', y: 'lookup(\"b\", src.x)'}",
			"table-a.yaml": a, "table-b.yaml": b,
		})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := s.Apply(t.Context(), "m", verified(t, confirmed(`{"x":"LTR"}`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return doc.Mapping
	}
	if one, other := version("LTR: A\nKGM: B\nPCE: C\n", "LTR: D\nKGM: D\n"), version("LTR: A\nKGM: B\n", "PCE: C\nLTR: D\nKGM: D\n"); one == other {
		t.Errorf("both are %s", one)
	}
	if one, again := version("LTR: A\n", "LTR: D\n"), version("LTR: A\n", "LTR: D\n"); one != again {
		t.Errorf("the same is %s and %s", one, again)
	}
}

// TestTrueIsTrueHoweverYAMLSpellsIt: a rule that must not be left out is not left out for a capital letter.
func TestTrueIsTrueHoweverYAMLSpellsIt(t *testing.T) {
	for _, yes := range []string{"true", "True", "TRUE"} {
		if _, err := apply(t, "fields: {a: {value: 'src.?a', required: "+yes+"}, b: {const: 1}}", `{}`, nil); err == nil {
			t.Errorf("%s: the document goes without it", yes)
		}
	}
}
