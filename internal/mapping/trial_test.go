package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/mapping"
)

// TestATrialChangesNothing maps by a set that differs, fails or waits beside the one in use: the documents are those of the one in use.
func TestATrialChangesNothing(t *testing.T) {
	used, err := load(t, map[string]string{"m.yaml": header + "fields: {a: src.a, n: 'ref(\"order\", src.o)'}"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, fields, at string }{
		{"the same", "{a: src.a, n: 'ref(\"order\", src.o)'}", ""},
		{"another value", "{a: {value: src.a + 1, as: string}, n: 'ref(\"order\", src.o)'}", "body/a"},
		{"a field that is not there", "{a: src.b, n: 'ref(\"order\", src.o)'}", "error"},
		{"another number", "{a: src.a, n: 'ref(\"lot\", src.o)'}", "waits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tried, err := load(t, map[string]string{"m.yaml": header + "fields: " + tt.fields})
			if err != nil {
				t.Fatal(err)
			}
			live := mapping.NewLive(used)
			var told []mapping.Trial
			live.Try(tried, func(one mapping.Trial) { told = append(told, one) })
			asked := 0
			refs := func(_ context.Context, object string) (string, bool, error) {
				asked++
				return "7", object == "order/o", nil
			}
			doc, err := live.Apply(t.Context(), "m", verified(t, confirmed(`{"a":1,"o":"o"}`)), refs)
			if err != nil || string(doc.Body) != `{"a":1,"n":"7"}` {
				t.Errorf("got %s, %v", doc.Body, err)
			}
			if len(told) != 1 || told[0].Mapping != "m" {
				t.Fatalf("told %+v", told)
			}
			got := ""
			if d := told[0].Differences; len(d) > 0 {
				got = d[0].At
			}
			if got != tt.at {
				t.Errorf("it differs in %q, want %q", got, tt.at)
			}
			if tt.at == "" && asked != 1 {
				t.Errorf("the number was asked for %d times", asked)
			}
		})
	}
}

// TestATrialIsNotFilled: what a trial compares is kept, so the values that are put in for an ERP are not in it.
func TestATrialIsNotFilled(t *testing.T) {
	set, err := load(t, map[string]string{"m.yaml": header + "fields: {a: src.a}"})
	if err != nil {
		t.Fatal(err)
	}
	tried, err := load(t, map[string]string{"m.yaml": header + "fields: {a: 'src.a + \"!\"'}"})
	if err != nil {
		t.Fatal(err)
	}
	live := mapping.NewLive(set)
	var told []mapping.Trial
	live.Try(tried, func(one mapping.Trial) { told = append(told, one) })
	ctx := mapping.Filling(t.Context(), func(context.Context, []byte) ([]byte, error) { return []byte(`{"a":"4711"}`), nil })
	doc, err := live.Apply(ctx, "m", verified(t, confirmed(`{"a":"tok"}`)), nil)
	if err != nil || string(doc.Body) != `{"a":"4711"}` {
		t.Errorf("got %s, %v", doc.Body, err)
	}
	if text := fmt.Sprintf("%+v", told); len(told) != 1 || strings.Contains(text, "4711") || !strings.Contains(text, "tok!") {
		t.Errorf("told %s", text)
	}
}

func TestATrialSaysNothingWhileTheDatabaseIsAway(t *testing.T) {
	set, err := load(t, map[string]string{"m.yaml": header + "fields: {n: 'ref(\"order\", src.o)'}"})
	if err != nil {
		t.Fatal(err)
	}
	live := mapping.NewLive(set)
	live.Try(set, func(one mapping.Trial) { t.Errorf("told %+v", one) })
	away := errors.New("the database is away")
	_, err = live.Apply(t.Context(), "m", verified(t, confirmed(`{"o":"o"}`)), func(context.Context, string) (string, bool, error) { return "", false, away })
	if !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	live.Try(nil, nil)
	if _, err := live.Apply(t.Context(), "m", verified(t, confirmed(`{"o":"o"}`)), known(map[string]string{"order/o": "1"})); err != nil {
		t.Error(err)
	}
}
