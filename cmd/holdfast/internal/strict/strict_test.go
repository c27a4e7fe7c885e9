package strict_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

type inner struct {
	Name    string          `yaml:"name"`
	Percent decimal.Decimal `yaml:"percent"`
	Answers map[int]string  `yaml:"answers"`
	Maybe   *inner          `yaml:"maybe"`
}

type outer struct {
	Wait  time.Duration    `yaml:"wait"`
	On    bool             `yaml:"on"`
	Count int              `yaml:"count"`
	Each  []inner          `yaml:"each"`
	By    map[string]inner `yaml:"by"`
	inner `yaml:",inline"`
}

func TestDecodeReadsEveryKindOfValue(t *testing.T) {
	text := `
wait: 1m30s
on: true
count: 7
name: 0010
percent: "12.500"
each: [{name: a}, {answers: {409: delivered}}]
by: {x: {maybe: {name: deep}}}
`
	got := outer{Count: 3}
	places, err := strict.Decode("f.yaml", []byte(text), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := outer{
		Wait: 90 * time.Second, On: true, Count: 7, Each: []inner{{Name: "a"}, {Answers: map[int]string{409: "delivered"}}},
		By: map[string]inner{"x": {Maybe: &inner{Name: "deep"}}}, inner: inner{Name: "0010", Percent: decimal.MustParse("12.500")},
	}
	same := cmp.Comparer(func(a, b decimal.Decimal) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, got, same, cmp.AllowUnexported(outer{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for path, want := range map[string]string{"count": "f.yaml:4", "each[1].answers": "f.yaml:7", "by.x.nothing.deeper": "f.yaml:8", "nowhere": "f.yaml"} {
		if got := places.At(path); got != want {
			t.Errorf("%s stands at %s, want %s", path, got, want)
		}
	}
}

func TestDecodeTellsEachMistake(t *testing.T) {
	tests := []struct{ name, text, want, hint string }{
		{"nothing", "", "f.yaml", "holdfast init"},
		{"comments alone", "# plant\n", "f.yaml", "holdfast init"},
		{"two documents", "on: true\n---\non: false\n", "f.yaml:2", "take the line"},
		{"no YAML", "a: [", "f.yaml:2", "indent with spaces"},
		{"a list at the top", "- a", "f.yaml:1: the file", "on the next lines"},
		{"a near key", "cuont: 1", "f.yaml:1: cuont", "did you mean count?"},
		{"a far key", "zzzzzzzz: 1", "f.yaml:1: zzzzzzzz", "known here: answers, by, count"},
		{"a merge key", "by: {x: {<<: {name: a}}}", "f.yaml:1: by.x", "write the keys out"},
		{"an alias", "each: [&a {name: x}, *a]", "f.yaml:1: each[0]", "write the value out"},
		{"a word for a switch", "on: yes", "f.yaml:1: on", "true or false"},
		{"a time below zero", "wait: -1s", "f.yaml:1: wait", "write 500ms"},
		{"a float for a count", "count: 1.5", "f.yaml:1: count", "digits only"},
		{"an object for a value", "count: {a: 1}", "f.yaml:1: count", "behind the key"},
		{"a key that is no number", "answers: {teapot: a}", "f.yaml:1: answers.teapot", "digits only"},
		{"a decimal with a unit", "percent: 5 %", "f.yaml:1: percent", "12.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := strict.Decode("f.yaml", []byte(tt.text), &outer{})
			p, ok := errors.AsType[*problem.Error](err)
			if !ok {
				t.Fatalf("got %v, want a problem", err)
			}
			if p.What != tt.want || !strings.Contains(p.Hint, tt.hint) || p.Kind != problem.Invalid {
				t.Errorf("got %s: %s (%s), want %s with a hint of %q", p.What, p.Why, p.Hint, tt.want, tt.hint)
			}
		})
	}
}

// TestWhatIsSoundCanBeJudged: what was not read as it stands there is no ground for another complaint.
func TestWhatIsSoundCanBeJudged(t *testing.T) {
	text := `
on: yes
cuont: 1
by: {x: {nmae: a, percent: 5}, y: {percent: much}}
each: [{name: [a]}, {name: b}]
`
	places, err := strict.Decode("f.yaml", []byte(text), &outer{})
	if err == nil {
		t.Fatal("the file was taken")
	}
	tests := []struct {
		name, path string
		want       bool
	}{
		{"what could not be read", "on", false},
		{"what is not there, beside a key that nobody knows", "count", false},
		{"the same further down", "by.x.name", false},
		{"what is there beside it", "by.x.percent", true},
		{"something below what could not be read", "each[0].name[0]", false},
		{"what is not there, beside a value that could not be read", "by.y.name", true},
		{"a neighbour", "each[1].name", true},
		{"what is not there, where all keys are known", "each[1].percent", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := places.Sound(tt.path); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestNearestIsNearOrNothing(t *testing.T) {
	tests := []struct{ name, word, want string }{
		{"two letters swapped", "tiemout", "timeout"},
		{"a letter too many", "timeoutt", "timeout"},
		{"in capitals", "TIMEOUT", "timeout"},
		{"something else", "database", ""},
		{"short and something else", "king", "kind"},
		{"short and half of it wrong", "lint", ""},
		{"one letter", "k", ""},
		{"a beginning", "time", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strict.Nearest(tt.word, []string{"timeout", "kind"}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

type engine struct {
	Kind  string `yaml:"kind"`
	Power int    `yaml:"power"`
	steam struct {
		Coal int `yaml:"coal"`
	}
	electric struct {
		Volts int    `yaml:"volts"`
		Plug  string `yaml:"plug"`
		Cells int    `yaml:"cells"`
	}
	hybrid struct {
		Cells int `yaml:"cells"`
	}
}

func (e *engine) Variants() (string, map[string]any) {
	return "kind", map[string]any{"steam": &e.steam, "electric": &e.electric, "hybrid": &e.hybrid}
}

// TestKeysDependOnAValue: those of the chosen kind are read wherever the kind stands, those of another are refused and said to be its.
func TestKeysDependOnAValue(t *testing.T) {
	type file struct {
		Engines map[string]engine `yaml:"engines"`
	}
	tests := []struct{ name, text, want string }{
		{"the chosen one", "{volts: 230, plug: F, power: 1, kind: electric}", ""},
		{"another one's", "{kind: steam, coal: 3, volts: 230}", "it does not go with kind: steam: leave it out; it is a key of kind: electric"},
		{"of two others", "{kind: steam, cells: 3}", "it does not go with kind: steam: leave it out; it is a key of kind: electric, hybrid"},
		{"nobody's", "{kind: steam, coals: 3}", "there is no such key: did you mean coal?"},
		{"of a kind that there is not", "{kind: steem, coal: 3}", ""},
		{"of no kind, and nobody's", "{coal: 3, fuel: 2}", "there is no such key: known here: kind, power"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f file
			_, err := strict.Decode("f.yaml", []byte("engines:\n  e: "+tt.text+"\n"), &f)
			got := ""
			if p, ok := errors.AsType[*problem.Error](err); ok {
				got = p.Why + ": " + p.Hint
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if e := f.Engines["e"]; tt.want == "" && e.Kind == "electric" && (e.electric.Volts != 230 || e.electric.Plug != "F" || e.Power != 1) {
				t.Errorf("got %+v", e)
			}
		})
	}
}
