package prove_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
)

// proof is what the plant gives out of messages.
func proof(t *testing.T, ms ...message.Message) string {
	t.Helper()
	var b bytes.Buffer
	for _, m := range ms {
		if err := prove.Write(&b, m); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// keys are what a receiver has who reads it now.
func (p *plant) keys(t *testing.T) prove.Keys {
	t.Helper()
	trust, err := p.export()
	if err != nil {
		t.Fatal(err)
	}
	return prove.Keys{Trust: trust, At: p.db.Now()}
}

func TestALaneIsProvenWhole(t *testing.T) {
	p := newPlant(t)
	a, b := p.lane("o1", 4), p.lane("o2", 2)
	voided := a[3]
	voided.Role, voided.Refers, voided.Body = message.Void, a[3].Digest(), []byte(`{"reason":"not wanted"}`)
	voided = p.sign(voided)
	stranger := newPlant(t).lane("o1", 4)
	cut := proof(t, a[0])
	tests := []struct {
		name string
		text string
		want problem.Kind
		why  string
	}{
		{"two lanes, one with a void, one message twice", proof(t, a[0], b[0], b[1], a[2], a[1], voided, a[1]), "", ""},
		{"the end of a lane alone", proof(t, a[2], a[3]), "", ""},
		{"nothing", "", "", ""},
		{"one missing", proof(t, a[0], a[1], a[3]), problem.Integrity, "1 of its numbers 1 to 4 are missing"},
		{"one of another plant", proof(t, a[0], stranger[1]), problem.Denied, "line 2: "},
		{"a line cut", cut[:len(cut)-20], problem.Integrity, "line 1: "},
		{"no statement", "hello\n", problem.Integrity, "line 1: "},
		{"a line without end", strings.Repeat("A", 1<<20), problem.Integrity, "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := prove.Read(strings.NewReader(tt.text), p.keys(t))
			if problem.KindOf(err) != tt.want || tt.want != "" && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %q: %q", err, tt.want, tt.why)
			}
		})
	}
	got, err := prove.Read(strings.NewReader(tests[0].text), p.keys(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []prove.Lane{
		{Source: "urn:plant:1000", Link: "erp", Lane: "o1", Epoch: 1, First: 1, Last: 4, Messages: 4, Voids: 1, Head: a[3].Digest(), Begins: true},
		{Source: "urn:plant:1000", Link: "erp", Lane: "o2", Epoch: 1, First: 1, Last: 2, Messages: 2, Head: b[1].Digest(), Begins: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestALaneWhoseBeginningWasCutIsNotWhole: what is there follows one another, and nothing says what was before.
func TestALaneWhoseBeginningWasCutIsNotWhole(t *testing.T) {
	p := newPlant(t)
	a := p.lane("o1", 4)
	next := p.lane("o2", 2)
	for i := range next {
		next[i].Epoch = 2
		if i > 0 {
			next[i].Prev = next[i-1].Digest()
		}
		next[i] = p.sign(next[i])
	}
	for name, tt := range map[string]struct {
		text   string
		begins bool
	}{
		"from its first message":       {proof(t, a...), true},
		"its beginning cut":            {proof(t, a[2:]...), false},
		"an epoch without that before": {proof(t, next...), false},
	} {
		lanes, err := prove.Read(strings.NewReader(tt.text), p.keys(t))
		if err != nil || len(lanes) != 1 {
			t.Fatalf("%s: %v, %v", name, lanes, err)
		}
		if got := lanes[0].Whole(); lanes[0].Begins != tt.begins || (got == nil) != tt.begins || !tt.begins && problem.KindOf(got) != problem.Integrity {
			t.Errorf("%s: %+v, %v, want that it begins with its first: %t", name, lanes[0], got, tt.begins)
		}
	}
}

func TestWhatIsNotSignedProvesNothing(t *testing.T) {
	m := newPlant(t).lane("o1", 1)[0]
	m.Origin = nil
	if err := prove.Write(&bytes.Buffer{}, m); problem.KindOf(err) != problem.Conflict {
		t.Errorf("got %v, want a problem of kind %s", err, problem.Conflict)
	}
}
