package relay_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// shelves is an ERP that keeps what it is sent where the mapping says, and is asked there and nowhere else.
type shelves struct {
	*plant
	live *mapping.Live
	sets map[string]*mapping.Set

	mu   sync.Mutex
	lose int                  // how many answers are lost; guarded by mu
	has  map[[2]string]int    // by target and message; guarded by mu
	gone map[string]bool      // sets that are not kept any more; guarded by mu
	made map[[2]string]string // mapping version of what has; guarded by mu
}

func shelf(t *testing.T, target string) *mapping.Set {
	t.Helper()
	s, err := mapping.Load(fstest.MapFS{"all.yaml": {Data: []byte("from: {kind: operation.confirmed}\nto: {operation: " + target + "}\nfields: {id: event.id}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	s.Kept = target
	return s
}

// onShelves is eachWay with a plant that maps to the first of two places.
func onShelves(t *testing.T, test func(t *testing.T, s *shelves)) {
	t.Helper()
	for name, together := range map[string]int{"calls": 1, "together": 4} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				p.link.Together = together
				s := &shelves{plant: p, sets: map[string]*mapping.Set{}, has: map[[2]string]int{}, gone: map[string]bool{}, made: map[[2]string]string{}}
				for _, target := range []string{"first", "second", "third"} {
					s.sets[target] = shelf(t, target)
				}
				p.erp.Answer = s.take
				p.erp.Asked = func(_ context.Context, d message.Delivery) (message.Outcome, error) { return s.find(d), nil }
				s.restart("first")
				test(t, s)
			})
		})
	}
}

// restart is another process, or a reload that every node makes: it maps by a set from now on.
func (s *shelves) restart(target string) {
	s.live = mapping.NewLive(s.sets[target])
	s.live.Recall(func(_ context.Context, by string) (*mapping.Set, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, set := range s.sets {
			if (name == by || set.Versions()[0] == by) && !s.gone[name] {
				return set, nil
			}
		}
		return nil, mapping.ErrGone
	})
	live := s.live
	s.rule = func(ctx context.Context, m message.Verified, refs mapping.Resolver) (message.Document, error) {
		return live.Apply(ctx, "all", m, refs)
	}
	s.out.MapBy(live.Kept)
}

func (s *shelves) take(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := [2]string{d.Doc.Target, d.Event.Message().ID}
	s.has[at]++
	s.made[at] = d.Doc.Mapping
	if s.lose > 0 {
		s.lose--
		return verdict(message.Unsure), true
	}
	return message.Outcome{Verdict: message.Delivered}, true
}

func (s *shelves) find(d message.Delivery) message.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has[[2]string{d.Doc.Target, d.Event.Message().ID}] > 0 {
		return message.Outcome{Verdict: message.Delivered}
	}
	return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}
}

// kill is a process that claims every lane by the set in use, sends the first n messages of each, and is heard of no more.
func (s *shelves) kill(n int) {
	s.t.Helper()
	for _, c := range s.claimAs("n1") {
		for _, q := range c.Messages[:min(n, len(c.Messages))] {
			v, _ := message.Verify(s.t.Context(), nothing{}, q.Message)
			doc, err := s.live.Apply(mapping.By(s.t.Context(), c.SentBy), "all", v, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			s.erp.Deliver(s.t.Context(), []message.Delivery{{Event: v, Doc: doc}})
		}
	}
}

// wantOne checks that each message is on one shelf, once, and that the plant knows which mapping put it there.
func (s *shelves) wantOne(events ...string) {
	s.t.Helper()
	if owed := s.links().Owed; owed != 0 {
		s.t.Errorf("%d messages are owed, want none", owed)
	}
	for _, e := range events {
		n, by := 0, ""
		for at, count := range s.has {
			if at[1] == outbox.MessageID("erp", e) {
				n, by = n+count, s.made[at]
			}
		}
		if n != 1 {
			s.t.Errorf("%s took effect %d times, want once: %v", e, n, s.has)
		}
		if got := s.message(e).SentWith; got != by {
			s.t.Errorf("%s was sent with %s, as the plant has it: %s", e, by, got)
		}
	}
}

// TestWhatMayHaveBeenSentIsAskedForAsItWasMapped: a process is killed after it has marked what it sends, before it sends, or after some or all
// of it, and once more by other mappings; those who take over map to another place.
func TestWhatMayHaveBeenSentIsAskedForAsItWasMapped(t *testing.T) {
	for sent := range 4 {
		for again := range 3 {
			t.Run(fmt.Sprintf("%d sent, then %d", sent, again), func(t *testing.T) {
				onShelves(t, func(_ *testing.T, s *shelves) {
					ids := s.oweMany(2, 3)
					s.cfg.Node = "n1"
					s.kill(sent)
					s.restart("second")
					if again > 0 { // another node takes over, asks for nothing, and is killed too
						time.Sleep(time.Minute)
						s.runFor(time.Duration(again) * 20 * time.Millisecond)
					}
					s.restart("third")
					s.oweMore(&ids)
					s.runFor(time.Minute)
					s.wantOne(ids...)
				})
			})
		}
	}
}

func (s *shelves) oweMore(ids *[]string) {
	for l := range 2 {
		id := fmt.Sprintf("more%d", l)
		s.owe(event(id, "operation.confirmed", fmt.Sprintf("o%d", l)))
		*ids = append(*ids, id)
	}
}

// TestAReloadBetweenALostAnswerAndTheQuestionDoublesNothing: in a running process, with a message that an append has put in its hand.
func TestAReloadBetweenALostAnswerAndTheQuestionDoublesNothing(t *testing.T) {
	onShelves(t, func(_ *testing.T, s *shelves) {
		stop := s.start()
		time.Sleep(time.Second)
		s.mu.Lock()
		s.lose = 2
		s.mu.Unlock()
		s.owe(event("a", "operation.confirmed", "o1"))
		s.owe(event("b", "operation.confirmed", "o1"))
		time.Sleep(100 * time.Millisecond)
		stop()
		s.restart("second")
		s.runFor(time.Minute)
		s.wantOne("a", "b")
	})
}

// TestWhatCannotBeAskedForAsItWasMappedIsForAPerson: it is never sent blindly, until a person says that the ERP does not have it.
func TestWhatCannotBeAskedForAsItWasMappedIsForAPerson(t *testing.T) {
	onShelves(t, func(t *testing.T, s *shelves) {
		s.owe(event("a", "operation.confirmed", "o1"))
		s.cfg.Node = "n1"
		s.kill(0)
		s.gone["first"] = true
		s.restart("second")
		s.runFor(time.Minute)
		if l := s.lane("o1"); l.State != outbox.Unknown || len(s.has) != 0 {
			t.Fatalf("the lane is %s (%s), and the ERP has %v", l.State, l.Reason, s.has)
		}
		err := s.act(func(ctx context.Context, tx *store.Tx) error {
			return s.out.SendAgain(ctx, tx, outbox.MessageID("erp", "a"), "looked")
		})
		if err != nil {
			t.Fatal(err)
		}
		s.lose = 1 // by the second set: what that may have done is asked for as that
		s.runFor(time.Minute)
		s.wantOne("a")
		if s.has[[2]string{"second", outbox.MessageID("erp", "a")}] != 1 {
			t.Errorf("got %v, want it mapped by the set in use", s.has)
		}
	})
}

// TestAReplayIsAskedForAsItWasMapped: what the ERP still has where it was put before is not sent to another place, and what it lost goes out as
// the mappings in use have it.
func TestAReplayIsAskedForAsItWasMapped(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost by the ERP ", lost), func(t *testing.T) {
			onShelves(t, func(_ *testing.T, s *shelves) {
				ids := s.oweMany(1, 3)
				s.cfg.Node = "n1"
				s.runFor(time.Minute)
				if lost {
					clear(s.has)
				}
				s.restart("second")
				replay := func(ctx context.Context, tx *store.Tx) error {
					_, err := s.out.Replay(ctx, tx, "erp", "o0", outbox.Range{From: 1}, "lost")
					return err
				}
				if err := s.act(replay); err != nil {
					s.t.Fatal(err)
				}
				s.lose = 1
				s.runFor(10 * time.Millisecond)
				s.restart("third")
				s.runFor(time.Minute)
				s.wantOne(ids...)
			})
		})
	}
}
