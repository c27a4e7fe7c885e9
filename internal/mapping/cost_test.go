package mapping

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"cel.dev/cel-go/cel"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// spends is how many steps a mapping out with one field counts for a body.
func spends(ctx context.Context, t *testing.T, expression, body string) (uint64, error) {
	t.Helper()
	head, m := "from: {kind: test.happened}\nto: {operation: post}\n", message.Message{ID: "1", Kind: "test.happened", Version: 1, Body: []byte(body)}
	if strings.Contains(expression, "plantID") {
		head = "from: {document: d}\nto: {kind: '\"k\"', key: event.id}\n"
	}
	s, err := Load(fstest.MapFS{"m.yaml": {Data: []byte(head + "fields:\n  a: >-\n    " + expression)}})
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	r, err := newRun(ctx, s.byName["m"], m, func(context.Context, string) (string, bool, error) { return "1", true, nil })
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.body()
	return r.spent, err
}

// TestWhatAnExpressionGoesThroughIsCounted: each of these goes once through the 20,000 characters, or 2,000 parts, that it is given.
func TestWhatAnExpressionGoesThroughIsCounted(t *testing.T) {
	text := strings.Repeat("a", 20_000)
	zeros := strings.Repeat("0", 20_000)
	parts := "[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]"
	body := `{"t":"` + text + `","u":"` + text + `","z":"` + zeros + `","o":` + parts + `,"l":[` + parts + `],"ts":["` + text + `"],"os":[{"a":` + parts + `}],"p":{"a":` + parts +
		`},"at":"2026-11-24T06:00:00.` + zeros + `Z"}`
	for _, expression := range []string{
		`src.o in src.l`, `src.p in src.os`, `src.t in src.ts`, `src.o == src.l[0]`, `src.t == src.u`, `src.t != src.u`, `src.t < src.u`, `src.t >= src.u`,
		`size(src.t)`, `src.t.size()`, `size(src.t + src.u)`, `decimal(src.z)`, `int(src.z)`, `fromCompactDate(src.z).hasValue()`, `ref("order", src.t)`, `plantID("order", src.t)`,
		`date(src.at, "UTC")`, `dateTime(src.at, "UTC")`, `clock(src.at, "UTC")`, `src.t.upper()`,
	} {
		n, err := spends(t.Context(), t, expression, body)
		if err != nil && problem.KindOf(err) != problem.Invalid {
			t.Fatal(err)
		}
		if n < 2000 {
			t.Errorf("%s counts %d steps, want 2,000", expression, n)
		}
	}
	for _, expression := range []string{`src.o in [src.l]`, `size(src.o)`, `src.t in src.p`, `"x" in src.ts`, `src.o == [1]`, `src.t == "x"`, `src.?t.orValue("")`} {
		if n, err := spends(t.Context(), t, expression, body); err != nil || n > 100 {
			t.Errorf("%s counts %d steps, %v, and goes through little", expression, n, err)
		}
	}
}

// TestADearPatternIsCounted: of each character a pattern with many repetitions looks at as many places.
func TestADearPatternIsCounted(t *testing.T) {
	body := `{"t":"` + strings.Repeat("a", 1000) + `"}`
	cheap, err1 := spends(t.Context(), t, `src.t.matches("^a*$")`, body)
	dear, err2 := spends(t.Context(), t, `src.t.matches("^(a?){200}$")`, body)
	if err := errors.Join(err1, err2); err != nil || dear < 50*cheap {
		t.Errorf("200 repetitions count %d steps, one %d, %v", dear, cheap, err)
	}
}

// TestALoopInAnExpressionEndsWhenNobodyWaitsForIt: a deadline that is over ends it too, and the message is not called invalid.
func TestALoopInAnExpressionEndsWhenNobodyWaitsForIt(t *testing.T) {
	body := `{"l":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 2000), ",") + `]}`
	ctx, end := context.WithCancel(t.Context())
	defer end()
	late, done := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer done()
	asked := 0
	s, err := Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: test.happened}\nto: {operation: post}\nfields:\n  a: 'src.l.map(x, ref(\"order\", x)).size()'")}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(ctx, s.byName["m"], message.Message{ID: "1", Kind: "test.happened", Version: 1, Body: []byte(body)}, func(context.Context, string) (string, bool, error) {
		asked++
		end()
		return "1", true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.body(); !errors.Is(err, context.Canceled) || problem.KindOf(err) == problem.Invalid || asked > 200 {
		t.Errorf("err = %v after %d elements", err, asked)
	}
	if _, err := spends(late, t, `src.l[0]`, body); !errors.Is(err, context.DeadlineExceeded) || problem.KindOf(err) == problem.Invalid {
		t.Errorf("behind its deadline: %v", err)
	}
}

// TestADearPatternDoesNotRun: what it would count is known before, so that neither the text nor how often a loop goes round makes it long. What it
// counts is held by TestADearPatternIsCounted.
func TestADearPatternDoesNotRun(t *testing.T) {
	long := strings.Repeat("a", 7<<20)
	for _, tt := range []struct {
		name, expression string
		vars             map[string]any
		ran              int
		stopped          bool
	}{
		{"a short text", `t.matches("^(a?){200}$")`, map[string]any{"t": "aaa"}, 1, false},
		{"a long one", `t.matches("^(a?){200}$")`, map[string]any{"t": long}, 0, true},
		{"a long one of a pattern that comes with it", `t.matches(p)`, map[string]any{"t": long, "p": "^(a?){200}$"}, 0, true},
		{"a pattern as long", `t.matches(p)`, map[string]any{"t": "a", "p": long}, 0, true},
		{"a pattern of many places", `t.matches(p)`, map[string]any{"t": "a", "p": "((a?){200}){5}"}, 0, true},
		{"a pattern that is none", `t.matches(p)`, map[string]any{"t": "a", "p": "("}, 0, true},
		{"a number", `t.matches(p)`, map[string]any{"t": 1, "p": "a"}, 0, true},
		{"a pattern that is a number", `t.matches(p)`, map[string]any{"t": "a", "p": 1}, 0, true},
		{"what is not there", `t.gone.matches("a")`, map[string]any{"t": map[string]any{}}, 0, true},
		{"in a loop", `l.all(x, t.matches("^(a?){200}$"))`, map[string]any{"t": long[:1000], "l": make([]int, 100)}, 2, true},
		{"as a function", `matches(t, "^(a?){200}$")`, map[string]any{"t": long}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, err := newEnv(false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if env, err = env.Extend(cel.Variable("t", cel.DynType), cel.Variable("p", cel.DynType), cel.Variable("l", cel.DynType)); err != nil {
				t.Fatal(err)
			}
			checked, iss := env.Compile(tt.expression)
			if iss.Err() != nil {
				t.Fatal(iss.Err())
			}
			ran, kept := 0, told.Load()
			prog, err := env.Program(checked, cel.CostLimit(costOfExpr), cel.CostTracking(lengths{}), cel.EvalOptions(cel.OptOptimize),
				cel.CustomDecoratorV2(countedFirst(func(*regexp.Regexp, string) bool { ran++; return true })))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := prog.Eval(tt.vars); ran != tt.ran || (err != nil) != tt.stopped || told.Load() != kept {
				t.Errorf("ran %d times, want %d; err = %v; %d patterns are kept", ran, tt.ran, err, told.Load()-kept)
			}
		})
	}
}
