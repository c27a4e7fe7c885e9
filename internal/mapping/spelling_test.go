package mapping_test

import (
	"testing"
)

// TestNumbersAreComparedByValue: however JSON spells a number, and whatever stands on which side.
func TestNumbersAreComparedByValue(t *testing.T) {
	const body = `{"a":12,"b":12.0,"c":1.2E1,"d":13,"t":"12","l":[12.0,{"n":1}],"o":{"n":12},"p":{"n":12.0}}`
	for expression, want := range map[string]string{
		`src.a == src.b`: "true", `src.b == src.a`: "true", `src.a == src.c`: "true", `src.a != src.b`: "false", `src.a == src.d`: "false", `src.d != src.b`: "true",
		`src.b == 12`: "true", `src.a == 12`: "true", `src.t == src.a`: "false", `src.t == src.t`: "true", `src.a in src.l`: "true", `src.d in src.l`: "false",
		`src.l.exists(x, x == src.a)`: "true", `decimal(src.a) == decimal(src.b)`: "true", `src.a in [src.b]`: "true", `"n" in src.o`: "true",
		`string(round(decimal(src.a), 3, "half-up"))`: `"12.000"`, `string(round(decimal(src.b), 3, "half-up"))`: `"12.000"`,
		`string(src.b)`: `"12.0"`, `string(round(decimal(src.b), 0, "half-up"))`: `"12"`, `string(int(src.b))`: `"12"`, `string(src.a)`: `"12"`, `src.b`: `"12.0"`,
		`has(src.e) && src.e == src.a ? "x" : "y"`: `"y"`,
	} {
		if got, err := apply(t, "fields: {n: '"+expression+"'}", body, nil); err != nil || got != `{"n":`+want+`}` {
			t.Errorf("%s: got %s, %v, want %s", expression, got, err, want)
		}
	}
}

// TestAQuantityIsNoCode: a table and an object are asked by texts, and a quantity has many.
func TestAQuantityIsNoCode(t *testing.T) {
	const hint = `give it one spelling: string(int(…)) of a whole one, or string(round(…, 3, "half-up"))`
	for expression, at := range map[string]string{
		`lookup("t", src.confirmation.yield)`: "5:35", `lookup("t", string(decimal(src.confirmation.yield)))`: "5:19", `reverse("t", src.confirmation.?rework.orValue("0"))`: "5:45",
		`{"12": "a"}[src.confirmation.yield]`: "5:35", `{"12": "a"}[?src.confirmation.yield].orValue("")`: "5:36", `src.confirmation.yield in ["12"] ? "a" : "b"`: "5:23",
	} {
		file := "from: {kind: operation.confirmed}\nto: {operation: other}\ntables: {t: {missing: keep, rows: {'12': a}}}\nfields:\n  n: '" + expression + "'\n  t: 'lookup(\"t\", src.plant)'\n"
		want := "m.yaml:" + at + ": fields.n: a quantity may be written 12 or 12.0, and a code has one spelling (" + hint + ")"
		if got := mistakesOf(file, oneOperation{}); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got  %q\nwant %q", expression, got, want)
		}
	}
	for _, right := range []string{
		`lookup("t", string(round(decimal(src.confirmation.yield), 0, "half-up")))`, `lookup("t", string(int(round(decimal(src.confirmation.yield), 0, "half-up"))))`,
		`lookup("t", string(event.number))`, `decimal(src.confirmation.yield) in [decimal("12")] ? "a" : "b"`, `string(decimal(src.confirmation.yield)) + " PCE"`,
	} {
		file := "from: {kind: operation.confirmed}\nto: {operation: other}\ntables: {t: {missing: keep, rows: {'12': a}}}\nfields:\n  n: '" + right + "'\n  t: 'lookup(\"t\", src.plant)'\n"
		if got := mistakesOf(file, oneOperation{}); len(got) > 0 {
			t.Errorf("%s: got %q, want none", right, got)
		}
	}
}
