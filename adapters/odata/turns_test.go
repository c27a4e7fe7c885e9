package odata

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
)

// TestObjectsThatShareANumberAreNotTakenForEachOther: the alternatives of a bill of material have one number, and are told apart by their whole key.
func TestObjectsThatShareANumberAreNotTakenForEachOther(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{}, func(c *Config) {
		c.Polls = []PollConfig{{Name: "p", Set: "conf/ProdnOrdConf2", Whole: true, Source: "urn:erp", Kind: "k", Mapping: "in", Key: "ConfirmationGroup"}}
	})
	for _, count := range []string{"1", "2"} {
		if err := w.mock.Seed(w.set, map[string]any{"ConfirmationGroup": "7", "ConfirmationCount": count}); err != nil {
			t.Fatal(err)
		}
	}
	p, b := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}
	for i, want := range []int{2, 0, 0} {
		if got := b.round(t, p); len(got) != want {
			t.Errorf("reading %d brought %d, want %d", i+1, len(got), want)
		}
	}
}

// TestAStateThatComesBackWithoutAChangeTimeIsNews: what was made and never changed has no change time, and moves all the same. Each state is told once,
// and one that was there before again.
func TestAStateThatComesBackWithoutAChangeTimeIsNews(t *testing.T) {
	for _, none := range []string{"", noTime} {
		w := unversioned(t, 3, edmx.Config{}, PollConfig{Watermark: "LastChangeDateTime"})
		p, b, at := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}, time.Now()
		w.link.now = func() time.Time { return at }
		w.make(t, "new", none)
		if got := b.round(t, p); len(got) != 4 {
			t.Fatalf("%d at first", len(got))
		}
		for _, material := range []string{"M2", "M1", "M2"} {
			w.mock.Change(w.set, "ManufacturingOrder", "new", map[string]any{"Material": material, "LastChangeDateTime": none})
			for i, want := range []int{1, 0} {
				at = at.Add(neverEvery)
				got := b.round(t, p)
				if len(got) != want || want > 0 && !strings.Contains(string(got[0].Body), material) {
					t.Errorf("%q, changed to %s, reading %d: %d came, want %d", none, material, i+1, len(got), want)
				}
			}
		}
		if at, err := readStand(b.cursor); err != nil || at.seen["new"] != (sight{}) {
			t.Errorf("the cursor keeps what is known by its content: %v, %v", at.seen, err)
		}
	}
}

// TestACursorDoesNotGrowWhilePagesAreRead of what has no change time.
func TestACursorDoesNotGrowWhilePagesAreRead(t *testing.T) {
	w := unversioned(t, 1, edmx.Config{Page: 500}, PollConfig{Watermark: "LastChangeDateTime"})
	p, b, at := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}, time.Now()
	w.link.now = func() time.Time { return at }
	b.round(t, p)
	for i := range 1200 {
		w.make(t, fmt.Sprint("new", i), "")
	}
	at = at.Add(neverEvery)
	_, next, err := p.Poll(t.Context(), b.cursor)
	if err != nil {
		t.Fatal(err)
	}
	if stand, err := readStand(next); err != nil || !stand.never || len(stand.seen) > 1 {
		t.Errorf("in the middle of the reading %t the cursor keeps %d objects, %v", stand.never, len(stand.seen), err)
	}
}
