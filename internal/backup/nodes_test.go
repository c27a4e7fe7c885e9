package backup_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// shipper is a node of a plant that ships every few moments.
type shipper struct {
	*site
	s      *backup.Schedule
	rounds chan time.Time // what each round has shipped through; not read: the rounds wait
	stop   func()

	mu     sync.Mutex
	made   int // this and what follows is guarded by mu
	alarms []string
}

// shipping has a node ship what the plant of first becomes, from a connection and a folder of its own, while it has the turn.
func shipping(t *testing.T, first *site, name string, turn *store.Turn) *shipper {
	t.Helper()
	db, err := store.Open(t.Context(), first.url, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	own := *first
	own.src.DB, own.src.Node = db, name
	n := &shipper{site: &own, rounds: make(chan time.Time)}
	log, err := backup.OpenLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n.s = &backup.Schedule{
		Every: time.Hour, Ship: time.Millisecond, Behind: time.Hour, Log: log, Places: own.opt.Places, Now: time.Now, Turn: turn, Logger: slog.New(slog.DiscardHandler),
		Trust: func(context.Context) (backup.Trust, error) { return own.signer, nil },
		Make: func(ctx context.Context, to []backup.Place) error {
			n.mu.Lock()
			n.made++
			n.mu.Unlock()
			o := own.opt
			o.Places, o.Log = to, log
			_, err := backup.Create(ctx, own.src, o)
			return err
		},
		Shipped: func(ctx context.Context) (time.Time, error) {
			through, err := log.Ship(ctx, own.src, own.opt)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case n.rounds <- through:
			case <-ctx.Done():
			}
			return through, err
		},
		Late: func(_ context.Context, why string) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.alarms = append(n.alarms, why)
			return nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.s.RunLog(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := n.s.Turn.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// ships waits until the node has shipped what was there when it was called.
func (n *shipper) ships(t *testing.T) {
	t.Helper()
	for since := time.Now(); ; {
		select {
		case through := <-n.rounds:
			if through.After(since) {
				return
			}
		case <-t.Context().Done():
			t.Fatal("nothing was shipped")
		}
	}
}

// TestOfTwoNodesOneShips, and the other goes on with a copy of its own as soon as the first has ended.
func TestOfTwoNodesOneShips(t *testing.T) {
	shared := storetest.PostgresURL(t) // where the nodes take turns; their plant is in a file, which is copied sooner
	turn := func() *store.Turn {
		db, err := store.Open(t.Context(), shared, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db.Turn("backup")
	}
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 5)
	one := shipping(t, s, "one", turn())
	one.ships(t)
	two := shipping(t, s, "two", turn())
	s.owe("o1", 1)
	one.ships(t)
	two.mu.Lock()
	if two.made > 0 {
		t.Errorf("the other node made %d copies beside", two.made)
	}
	two.mu.Unlock()
	one.stop()
	s.owe("o2", 5)
	two.ships(t)
	all, err := backup.List(t.Context(), s.near, s.signer)
	if err != nil || len(all) != 2 || all[0].Node != "two" || two.made != 1 {
		t.Fatalf("got %d copies, %v, want that of the other node as the newest", len(all), err)
	}
}

// TestALogWhoseCopyIsGoneFollowsAnother: copies are pruned, by whoever; nothing would be shipped ever after.
func TestALogWhoseCopyIsGoneFollowsAnother(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 5)
	n := shipping(t, s, node, nil)
	n.ships(t)
	gone, _ := n.s.Log.Base()
	for _, p := range s.opt.Places {
		names, err := p.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, gone) {
				if err := p.Remove(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s.owe("o2", 5)
	n.ships(t)
	if base, _ := n.s.Log.Base(); base == gone || base == "" {
		t.Errorf("the log follows %q, want another than %q", base, gone)
	}
	if proof, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil || proof.ID == gone {
		t.Errorf("got %+v, %v, want the copy that was made since", proof, err)
	}
}

// TestALogGoesOnWhereOnePlaceHasItsCopy: it is lost only where it is in none that can be reached, and found again with its place.
func TestALogGoesOnWhereOnePlaceHasItsCopy(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	l := s.follow(t.TempDir())
	base, _ := l.Base()
	if err := s.near.Remove(t.Context(), base+".json"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		places []backup.Place
		lost   bool
	}{
		{"in one of two", []backup.Place{s.near, s.far}, false},
		{"nowhere", []backup.Place{s.near}, true},
		{"perhaps where nobody gets", []backup.Place{s.near, gone{s.far}}, true},
		{"no place is reached", []backup.Place{gone{s.near}, gone{s.far}}, false},
		{"found again", []backup.Place{s.near, s.far}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.opt.Places = tt.places
			s.owe("o1", 1)
			_, _ = l.Ship(t.Context(), s.src, s.opt)
			if got, _ := l.Base(); got != base || l.Lost() != tt.lost {
				t.Errorf("the log follows %q, lost: %t, want %q and %t", got, l.Lost(), base, tt.lost)
			}
		})
	}
}
