package erpmock

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"holdfast/openapi/contract"
)

// Expectation is one statement about the journal. The first members choose entries, the others
// say what must hold of them.
type Expectation struct {
	Name string `yaml:"name"`

	Operation string `yaml:"operation"` // operationId
	MessageID string `yaml:"messageId"`
	Lane      string `yaml:"lane"`

	Attempts          *Range         `yaml:"attempts"`
	AttemptsByMessage *Range         `yaml:"attemptsByMessage"` // of each message ID
	Effects           *Range         `yaml:"effects"`
	Delivered         *Range         `yaml:"delivered"` // true answers that went out in full
	Statuses          map[int]*Range `yaml:"statuses"`
	NoDuplicateEffect bool           `yaml:"noDuplicateEffect"` // at most one effect of a type for each message ID
	LaneOrder         bool           `yaml:"laneOrder"`         // in each lane effects count up from 1 without gaps
	Order             []string       `yaml:"order"`             // message IDs in the order of their first effects
	Body              map[string]any `yaml:"body"`              // a subset that some request body has
	MinGap            Duration       `yaml:"minGap"`            // between attempts of the same message ID
	MaxGap            Duration       `yaml:"maxGap"`
}

// Range is how many there may be: a number, or min and max.
type Range struct {
	Min int  `yaml:"min"`
	Max *int `yaml:"max"`
}

// UnmarshalYAML takes a plain number as both bounds.
func (r *Range) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		v, err := strconv.Atoi(n.Value)
		if err != nil || v < 0 {
			return fmt.Errorf("line %d: %q is not a number of times", n.Line, n.Value)
		}
		r.Min, r.Max = v, &v
		return nil
	}
	type plain Range
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i].Value; k != "min" && k != "max" {
			return fmt.Errorf("line %d: %q is neither min nor max", n.Content[i].Line, k)
		}
	}
	return n.Decode((*plain)(r))
}

// String words the range: "3", "at least 1", "1 to 3".
func (r *Range) String() string {
	switch {
	case r.Max == nil:
		return fmt.Sprintf("at least %d", r.Min)
	case *r.Max == r.Min:
		return strconv.Itoa(r.Min)
	}
	return fmt.Sprintf("%d to %d", r.Min, *r.Max)
}

func (r *Range) holds(n int) bool { return r == nil || n >= r.Min && (r.Max == nil || n <= *r.Max) }

// Result is what came of one expectation; no failures means that it holds.
type Result struct {
	Name     string   `json:"name"`
	Failures []string `json:"failures,omitempty"`
}

// Report is what came of all expectations.
type Report struct {
	Results []Result `json:"results"`
	// Dropped counts entries that the journal holds no more. Counts are then too small, and a
	// report with dropped entries is never OK.
	Dropped int64 `json:"dropped,omitempty"`
}

// OK reports whether everything holds, on a whole journal.
func (r Report) OK() bool {
	return r.Dropped == 0 && !slices.ContainsFunc(r.Results, func(x Result) bool { return len(x.Failures) > 0 })
}

// CheckExpectations reads expectations strictly from YAML (or JSON) and holds a journal against
// them. The error is about the file; what does not hold is in the report.
func CheckExpectations(text []byte, journal []Entry) (Report, error) {
	var file struct {
		Expect []Expectation `yaml:"expect"`
	}
	if err := yaml.Load(text, &file, yaml.WithV4Defaults(), yaml.WithKnownFields()); err != nil {
		return Report{}, fmt.Errorf("read expectations: %w", err)
	}
	if len(file.Expect) == 0 {
		return Report{}, errors.New("read expectations: the list expect is empty")
	}
	var rep Report
	for i := range file.Expect {
		x := &file.Expect[i]
		if x.Name == "" {
			x.Name = "expectation " + strconv.Itoa(i+1)
		}
		if x.asksNothing() {
			return Report{}, fmt.Errorf("read expectations: %s only chooses entries and says nothing that must hold of them, such as effects: 1", x.Name)
		}
		rep.Results = append(rep.Results, Result{x.Name, x.failures(journal)})
	}
	return rep, nil
}

// asksNothing tells of an expectation that would hold whatever happened.
func (x *Expectation) asksNothing() bool {
	return reflect.DeepEqual(*x, Expectation{Name: x.Name, Operation: x.Operation, MessageID: x.MessageID, Lane: x.Lane})
}

func (x *Expectation) failures(journal []Entry) []string {
	var chosen []Entry
	for _, e := range journal {
		if (x.Operation == "" || x.Operation == e.Operation) && (x.MessageID == "" || x.MessageID == e.MessageID) && (x.Lane == "" || x.Lane == e.Lane) {
			chosen = append(chosen, e)
		}
	}
	out := x.counts(chosen)
	effects := EffectsOf(chosen)
	if x.NoDuplicateEffect {
		out = append(out, duplicates(effects)...)
	}
	if x.LaneOrder {
		out = append(out, laneOrder(effects)...)
	}
	if x.Order != nil {
		out = append(out, x.order(effects)...)
	}
	if x.Body != nil && !slices.ContainsFunc(chosen, x.hasBody) {
		out = append(out, fmt.Sprintf("no request body has %v", x.Body))
	}
	return append(out, x.gaps(chosen)...)
}

func (x *Expectation) counts(chosen []Entry) []string {
	var out []string
	effects, delivered := 0, 0
	statuses, messages := map[int]int{}, map[string]int{}
	for _, e := range chosen {
		effects += len(e.Effects)
		if e.Delivered == DeliveredFull {
			delivered++
		}
		statuses[e.Status]++
		if e.MessageID != "" {
			messages[e.MessageID]++
		}
	}
	say := func(what string, got int, want *Range) {
		if !want.holds(got) {
			out = append(out, fmt.Sprintf("%s: got %d, want %s", what, got, want))
		}
	}
	say("attempts", len(chosen), x.Attempts)
	say("effects", effects, x.Effects)
	say("delivered answers", delivered, x.Delivered)
	for _, code := range slices.Sorted(maps.Keys(x.Statuses)) {
		say("answers "+strconv.Itoa(code), statuses[code], x.Statuses[code])
	}
	for _, id := range slices.Sorted(maps.Keys(messages)) {
		say("attempts of message "+id, messages[id], x.AttemptsByMessage)
	}
	return out
}

func duplicates(effects []Effect) []string {
	var out []string
	seen := map[string]string{}
	for _, f := range effects {
		if f.MessageID == "" {
			continue
		}
		key := f.MessageID + "\x00" + f.Type
		if first, twice := seen[key]; twice {
			out = append(out, fmt.Sprintf("message %s took effect twice: %s %s and %s", f.MessageID, f.Type, first, f.Number))
			continue
		}
		seen[key] = f.Number
	}
	return out
}

// laneOrder wants each lane to count 1, 2, 3 in the order of commit; a repeated number is a
// doubled effect and reported as such elsewhere.
func laneOrder(effects []Effect) []string {
	var out []string
	at := map[string]int64{}
	for _, f := range effects {
		switch n := at[f.Lane]; {
		case f.Lane == "" || f.LaneNumber == 0 || f.LaneNumber == n:
		case f.LaneNumber == n+1:
			at[f.Lane] = f.LaneNumber
		default:
			out = append(out, fmt.Sprintf("lane %s: number %d took effect after %d", f.Lane, f.LaneNumber, n))
			at[f.Lane] = max(n, f.LaneNumber)
		}
	}
	return out
}

func (x *Expectation) order(effects []Effect) []string {
	var got []string
	for _, f := range effects {
		if slices.Contains(x.Order, f.MessageID) && !slices.Contains(got, f.MessageID) {
			got = append(got, f.MessageID)
		}
	}
	if slices.Equal(got, x.Order) {
		return nil
	}
	return []string{fmt.Sprintf("order of effects: got %q, want %q", got, x.Order)}
}

func (x *Expectation) hasBody(e Entry) bool {
	v, err := contract.Decode([]byte(e.Body))
	return err == nil && subset(x.Body, v)
}

// subset compares scalars by their text, so that 12.500 in YAML means 12.500 on the wire.
func subset(want, got any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		for k, v := range w {
			if c, has := g[k]; !ok || !has || !subset(v, c) {
				return false
			}
		}
		return ok
	case []any:
		g, ok := got.([]any)
		return ok && len(w) == len(g) && !slices.ContainsFunc(w, func(v any) bool {
			return !slices.ContainsFunc(g, func(c any) bool { return subset(v, c) })
		})
	}
	return fmt.Sprint(want) == fmt.Sprint(got)
}

func (x *Expectation) gaps(chosen []Entry) []string {
	var out []string
	at := map[string]time.Time{}
	for _, e := range chosen {
		if before, again := at[e.MessageID]; again && e.MessageID != "" {
			gap := e.At.Sub(before)
			if gap < time.Duration(x.MinGap) || x.MaxGap > 0 && gap > time.Duration(x.MaxGap) {
				out = append(out, fmt.Sprintf("message %s: %s between attempts %d and %d", e.MessageID, gap, e.Attempt-1, e.Attempt))
			}
		}
		at[e.MessageID] = e.At
	}
	return out
}

// WriteText writes a report for a person.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, x := range r.Results {
		word := "ok  "
		if len(x.Failures) > 0 {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %s\n", word, x.Name)
		for _, f := range x.Failures {
			fmt.Fprintf(&b, "      %s\n", f)
		}
	}
	if r.Dropped > 0 {
		fmt.Fprintf(&b, "FAIL  the journal has dropped %d entries; raise its limit\n", r.Dropped)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

// WriteJUnit writes a report in the XML form that CI systems read.
func (r Report) WriteJUnit(w io.Writer) error {
	results := slices.Clone(r.Results)
	if r.Dropped > 0 {
		results = append(results, Result{"whole journal", []string{fmt.Sprintf("%d entries dropped", r.Dropped)}})
	}
	s := junitSuite{Name: "erp mock", Tests: len(results)}
	for _, x := range results {
		c := junitCase{Name: x.Name, Class: "erpmock"}
		if len(x.Failures) > 0 {
			s.Failures++
			c.Failure = &junitFailure{x.Failures[0], strings.Join(x.Failures, "\n")}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	return e.Encode(s)
}
