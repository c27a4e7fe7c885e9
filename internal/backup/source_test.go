package backup_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
)

// shaky is a place whose line breaks in the middle of files of that name.
type shaky struct {
	backup.Folder
	suffix string
}

// Get is backup.Place.
func (s shaky) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.Folder.Get(ctx, name)
	if err != nil || !strings.HasSuffix(name, s.suffix) {
		return r, err
	}
	info, err := os.Stat(filepath.Join(string(s.Folder), name))
	if err != nil {
		return nil, err
	}
	return cut{io.MultiReader(io.LimitReader(r, info.Size()*2/3), brokenLine{}), r}, nil
}

type cut struct {
	io.Reader
	io.Closer
}

type brokenLine struct{}

func (brokenLine) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// TestALineThatBreaksDamagesNothing: what was proven stays so, and whoever reads is told where to look.
func TestALineThatBreaksDamagesNothing(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 3)
	l := s.follow(t.TempDir())
	s.owe("o1", 2)
	s.ship(l)
	if _, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil {
		t.Fatal(err)
	}
	id, _ := l.Base()
	for _, suffix := range []string{".inc", ".tar.zst.age", id + ".json"} {
		_, err := backup.Verify(t.Context(), shaky{s.far, suffix}, id, s.trial(s.own))
		if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "connection reset by peer") {
			t.Errorf("%s: got %v (%s), want that the line broke", suffix, err, problem.KindOf(err))
		}
	}
	if all, err := backup.List(t.Context(), s.far, s.signer); err != nil || len(all) != 1 || all[0].Proven == nil {
		t.Errorf("it counts as proven no more: %+v, %v", all, err)
	}
}

// TestADayOfIncrementsOpensFewFiles: there are more than a process may have open.
func TestADayOfIncrementsOpensFewFiles(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	l := s.follow(t.TempDir())
	for range 20 {
		s.owe("o1", 1)
		s.ship(l)
	}
	open, most := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}, 0
	before := open()
	if _, err := backup.Verify(t.Context(), watched{s.far, func() { most = max(most, open()) }}, "", s.trial(s.own)); err != nil {
		t.Fatal(err)
	}
	if most-before > 10 {
		t.Errorf("%d files were open for 20 increments", most-before)
	}
}

// watched is a place that tells when something is read.
type watched struct {
	backup.Folder
	look func()
}

// Get is backup.Place.
func (w watched) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	w.look()
	return w.Folder.Get(ctx, name)
}

// TestWhatWasCutOffIsSweptOnceNobodyEndsIt, in a place and in the log's folder.
func TestWhatWasCutOffIsSweptOnceNobodyEndsIt(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.create()
	old, fresh := filepath.Join(string(s.far), ".new-1"), filepath.Join(string(s.far), ".new-2")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, make([]byte, 1<<10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Now(), time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if gone, err := backup.Prune(t.Context(), backup.Timed(s.far, time.Minute), backup.Keep{}, s.signer, func() int64 { return time.Now().Unix() }); err != nil || len(gone) > 0 {
		t.Fatalf("removed %v, %v", gone, err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("what is a day old is there still: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("what may be being written was removed: %v", err)
	}
	folder := t.TempDir()
	body := filepath.Join(folder, ".body-1")
	if err := os.WriteFile(body, []byte("pieces"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.OpenLog(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(body); !os.IsNotExist(err) {
		t.Errorf("pieces that are not encrypted are there still: %v", err)
	}
}

// TestANameThatIsNoIncrementIsNone: what lies beside a copy under a name that none has keeps nobody from restoring it.
func TestANameThatIsNoIncrementIsNone(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	m := s.create()
	for _, name := range []string{".7.inc", ".000007x.inc", ".000001.old.inc"} {
		if err := os.WriteFile(filepath.Join(string(s.far), m.ID+name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if proof, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil || proof.Increments != 0 {
		t.Errorf("got %+v, %v, want the copy alone", proof, err)
	}
}
