package backup_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// TestAPlaceThatWasAwayGetsTheCopyAndWhatFollows: what is shipped goes there too from then on, and not only after the next copy.
func TestAPlaceThatWasAwayGetsTheCopyAndWhatFollows(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 3)
	places := s.opt.Places
	s.opt.Places = places[:1]
	folder := t.TempDir()
	s.follow(folder)
	l, err := backup.OpenLog(folder) // the process was started again
	if err != nil {
		t.Fatal(err)
	}
	s.opt.Places = places
	s.owe("o1", 2)
	s.ship(l)
	from, without := l.Without(t.Context(), places)
	if from == nil || from.String() != s.near.String() || len(without) != 1 || without[0].String() != s.far.String() {
		t.Fatalf("%v has the copy, %v have not", from, without)
	}
	if err := l.Carry(t.Context(), from, without[0]); err != nil {
		t.Fatal(err)
	}
	s.owe("o1", 2)
	s.ship(l)
	if proof, err := backup.Verify(t.Context(), s.far, "", s.trial(s.recovery)); err != nil || proof.Increments != 2 {
		t.Errorf("got %+v, %v, want a copy with two increments", proof, err)
	}
	if from, without := l.Without(t.Context(), places); from == nil || len(without) > 0 {
		t.Errorf("%v have no copy yet", without)
	}
}

// TestADamagedCopyIsCarriedNowhere.
func TestADamagedCopyIsCarriedNowhere(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	places := s.opt.Places
	s.opt.Places = places[:1]
	l := s.follow(t.TempDir())
	id, _ := l.Base()
	archive := filepath.Join(string(s.near), id+".tar.zst.age")
	b, err := os.ReadFile(archive)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(archive, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Carry(t.Context(), s.near, s.far); problem.KindOf(err) != problem.Integrity {
		t.Errorf("got %v, want a problem of integrity", err)
	}
	if names, err := s.far.List(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("the other place has %v, %v", names, err)
	}
}

// revoking trusts a signer until its key is revoked.
type revoking struct {
	*signer
	revoked bool
}

func (r *revoking) Verify(p seal.Purpose, digest []byte, g message.Signature) (string, error) {
	if r.revoked {
		return "", &problem.Error{Kind: problem.Denied, What: "verify a signature", Why: "the key of a was revoked"}
	}
	return r.signer.Verify(p, digest, g)
}

// TestALogWhoseKeyWasRevokedIsBegunAnew: nobody restores what it has signed, so that it is no recovery point.
func TestALogWhoseKeyWasRevokedIsBegunAnew(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 3)
	l := s.follow(t.TempDir())
	by := &revoking{signer: s.signer}
	if err := l.Believed(by); err != nil {
		t.Fatal(err)
	}
	was, _ := l.Base()
	next := &signer{newKey(t)}
	made := 0
	shipped := make(chan time.Time)
	sched := &backup.Schedule{
		Every: time.Hour, Ship: time.Millisecond, Behind: time.Hour, Log: l, Places: s.opt.Places, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Trust: func(context.Context) (backup.Trust, error) {
			if made > 0 {
				return next, nil
			}
			return by, nil
		},
		Make: func(ctx context.Context, to []backup.Place) error {
			s.opt.Signer, s.opt.Places = next, to
			made++
			_, err := backup.Create(ctx, s.src, s.opt)
			return err
		},
		Shipped: func(ctx context.Context) (time.Time, error) {
			through, err := l.Ship(ctx, s.src, s.opt)
			select {
			case shipped <- through:
			case <-ctx.Done():
			}
			return through, err
		},
		Late: func(context.Context, string) error { return nil },
	}
	by.revoked = true
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- sched.RunLog(ctx) }()
	<-shipped
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if base, _ := l.Base(); base == was || made != 1 {
		t.Errorf("the log follows %s still, after %d copies", base, made)
	}
	if err := l.Believed(next); err != nil {
		t.Errorf("the copy that it follows now: %v", err)
	}
	_, err := backup.Verify(t.Context(), s.near, was, backup.Trial{Key: s.own, Trust: by, Work: s.scratch, Now: time.Now, Origin: s.src.Origin})
	if p, ok := errors.AsType[*problem.Error](err); !ok || p.Kind != problem.Denied || !strings.Contains(p.Hint, "holdfast backup create") {
		t.Errorf("the copy of the revoked key: got %v, want to be told how to get another", err)
	}
}
