package prove_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// plant signs messages, and gives a receiver what it exports.
type plant struct {
	t    *testing.T
	db   *store.DB
	from seal.Keyring
	ring *seal.Ring
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, db: storetest.SQLite(t)}
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		t.Fatal(err)
	}
	node := seal.NodeURI("urn:plant:1000", "a")
	p.from = seal.NewLocal(safe, node, time.Hour, time.Now)
	var err error
	if p.ring, err = seal.OpenRing(t.Context(), p.db, p.from, nil, node, seal.RingConfig{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return p
}

// export is what holdfast keys export prints, read by a receiver that has nothing else.
func (p *plant) export() (*seal.Trust, error) {
	b, err := seal.ReadBundle(p.t.Context(), p.db, p.from)
	if err != nil {
		return nil, err
	}
	text, err := b.MarshalJSON()
	if err != nil {
		return nil, err
	}
	read, err := seal.ParseBundle(text)
	return read.Trust(), err
}

// lane signs n messages of a lane, as they are numbered there.
func (p *plant) lane(name string, n int) (list []message.Message) {
	p.t.Helper()
	prev := ""
	for i := range n {
		m := message.Message{
			ID: name + string(rune('a'+i)), Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: name, Time: time.Unix(1_800_000_000, 0),
			Body: []byte(`{}`), Place: message.Place{Link: "erp", Lane: name, Epoch: 1, Number: int64(i + 1), Prev: prev, Role: message.Event},
		}
		list = append(list, p.sign(m))
		prev = m.Digest()
	}
	return list
}

func (p *plant) sign(m message.Message) message.Message {
	p.t.Helper()
	s, err := p.ring.SignMessage(m, m.Digest())
	if err != nil {
		p.t.Fatal(err)
	}
	m.Origin = &s
	return m
}

func TestWitnessSeesWhatDoesNotFit(t *testing.T) {
	p := newPlant(t)
	l, other := p.lane("o1", 4), p.lane("o2", 2)
	unsigned := l[1]
	unsigned.Origin = nil
	altered := l[1]
	altered.Body = []byte(`{"yield":"5"}`)
	moved := other[1]
	moved.Lane = "o1"
	rewritten := l[1]
	rewritten.Body = []byte(`{"yield":"5"}`)
	rewritten = p.sign(rewritten)
	amended := l[1]
	amended.Role, amended.Refers, amended.Body = message.Amendment, l[1].Digest(), []byte(`{"yield":"5"}`)
	amended = p.sign(amended)
	orphan := l[2]
	orphan.Prev = other[0].Digest()
	orphan = p.sign(orphan)
	first := l[0]
	first.Prev = l[3].Digest()
	first = p.sign(first)
	tests := []struct {
		name  string
		given []message.Message
		want  problem.Kind // of the last
	}{
		{"a lane in order", l, ""},
		{"the same again", []message.Message{l[0], l[1], l[0], l[1]}, ""},
		{"a lane from its end", []message.Message{l[3], l[2], l[1], l[0]}, ""},
		{"with one that has not come yet", []message.Message{l[0], l[2]}, ""},
		{"an amendment in place of its original", []message.Message{l[0], amended, l[2]}, ""},
		{"an amendment after its original", []message.Message{l[0], l[1], amended}, ""},
		{"not signed", []message.Message{l[0], unsigned}, problem.Integrity},
		{"altered", []message.Message{l[0], altered}, problem.Integrity},
		{"moved to another lane", []message.Message{l[0], moved}, problem.Integrity},
		{"two under one number, both signed", []message.Message{l[1], rewritten}, problem.Integrity},
		{"one that its successor does not follow", []message.Message{l[2], rewritten}, problem.Integrity},
		{"one that does not follow its predecessor", []message.Message{l[1], orphan}, problem.Integrity},
		{"a first one with a predecessor", []message.Message{first}, problem.Integrity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := prove.NewWitness(p.export)
			for i, m := range tt.given {
				want := tt.want
				if i < len(tt.given)-1 {
					want = ""
				}
				if _, err := w.Check(m); problem.KindOf(err) != want {
					t.Errorf("message %d: got %v, want %q", i+1, err, want)
				}
			}
		})
	}
}

func TestWitnessLearnsOfNewKeys(t *testing.T) {
	p := newPlant(t)
	w := prove.NewWitness(p.export)
	if _, err := w.Check(p.lane("o1", 1)[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.ring.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if node, err := w.Check(p.lane("o2", 1)[0]); err != nil || node != "urn:plant:1000:node:a" {
		t.Errorf("signed with a new key: %q, %v", node, err)
	}
	if _, err := w.Check(newPlant(t).lane("o3", 1)[0]); problem.KindOf(err) != problem.Denied {
		t.Errorf("a stranger's: %v, want a problem of kind %s", err, problem.Denied)
	}
}

func TestWitnessWithoutKeysBelievesNothing(t *testing.T) {
	p, away := newPlant(t), errors.New("away")
	w := prove.NewWitness(func() (*seal.Trust, error) { return nil, away })
	if _, err := w.Check(p.lane("o1", 1)[0]); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
}
