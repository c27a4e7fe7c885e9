package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/internal/backup"
	"holdfast/internal/backup/s3test"
	"holdfast/internal/problem"
)

// server is a real store, and how a place in it is configured.
type server struct {
	*s3test.Server
	backup.S3Config
}

func serveS3(t *testing.T) *server {
	t.Helper()
	s := s3test.Start(t)
	return &server{s, backup.S3Config{URL: s.URL, Bucket: s.Bucket, Folder: "copies/a", User: s.User, Key: s.Key, TLS: s.TLS}}
}

// file is where an object lies.
func (s *server) file(name string) string { return s.File(s.Folder + "/" + name) }

// place is that with what change makes of its configuration.
func (s *server) place(t *testing.T, change func(*backup.S3Config)) *backup.S3 {
	t.Helper()
	cfg := s.S3Config
	change(&cfg)
	p, err := backup.NewS3(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func asItIs(*backup.S3Config) {}

// TestCopiesInABucket of a real S3 server: written, read back, listed, proven, pruned; and what has become of an object there is found.
func TestCopiesInABucket(t *testing.T) {
	server := serveS3(t)
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 5)
	there := server.place(t, asItIs)
	s.opt.Places = []backup.Place{there}
	if all, err := backup.List(t.Context(), there, nil); err != nil || len(all) != 0 {
		t.Errorf("an empty bucket: got %+v, %v", all, err)
	}
	first, second := s.create(), s.create()
	if _, err := backup.Verify(t.Context(), there, first.ID, s.trial(s.recovery)); err != nil {
		t.Error(err)
	}
	if all, err := backup.List(t.Context(), there, nil); err != nil || len(all) != 2 || all[1].Proven == nil {
		t.Errorf("got %+v, %v", all, err)
	}
	archive := server.file(second.ID + ".tar.zst.age")
	info, err := os.Stat(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(archive, info.Size()-100); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Verify(t.Context(), there, second.ID, s.trial(s.own)); problem.KindOf(err) != problem.Integrity {
		t.Errorf("an object that was cut: got %v, want it found", err)
	}
	gone, err := backup.Prune(t.Context(), there, backup.Keep{Count: 1}, nil, func() int64 { return 0 })
	if err != nil || len(gone) != 0 {
		t.Errorf("the newest and the newest that is proven: got %v, %v, want both kept", gone, err)
	}
	if err := there.Remove(t.Context(), first.ID+".json"); err != nil {
		t.Error(err)
	}
	if err := there.Remove(t.Context(), first.ID+".json"); err != nil {
		t.Errorf("what is gone already: %v", err)
	}
	if _, err := backup.Verify(t.Context(), there, first.ID, s.trial(s.own)); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "the manifest is missing") {
		t.Errorf("what was removed: got %v, want its manifest missed", err)
	}
	for name, tt := range map[string]struct {
		change func(*backup.S3Config)
		want   problem.Kind
	}{
		"another secret":  {func(c *backup.S3Config) { c.Key = "x" }, problem.Unavailable},
		"another machine": {func(c *backup.S3Config) { c.TLS = nil }, problem.Unavailable},
		"no such bucket":  {func(c *backup.S3Config) { c.Bucket = "nothing" }, problem.NotFound},
		"nobody":          {func(c *backup.S3Config) { c.URL = "https://127.0.0.1:1" }, problem.Unavailable},
	} {
		wrong := server.place(t, tt.change)
		if _, err := wrong.List(t.Context()); problem.KindOf(err) != tt.want {
			t.Errorf("%s, listed: got %v, want %s", name, err, tt.want)
		}
		if err := wrong.Put(t.Context(), "x", strings.NewReader("x")); problem.KindOf(err) != tt.want {
			t.Errorf("%s, written: got %v, want %s", name, err, tt.want)
		}
	}
}

// TestAnObjectIsThereWholeOrNotAtAll, of one piece and of several: whatever ends it early leaves neither an object nor pieces that are paid for.
func TestAnObjectIsThereWholeOrNotAtAll(t *testing.T) {
	const piece = 5 << 20
	server := serveS3(t)
	server.Piece = piece
	for name, tt := range map[string]struct {
		folder     string
		whole, cut []int64
	}{
		"in a folder":   {"copies/a", []int64{0, 1, piece, piece + 1}, []int64{5, piece + 5}},
		"in the bucket": {"", []int64{1}, []int64{5}},
	} {
		there := server.place(t, func(c *backup.S3Config) { c.Folder, c.PathStyle = tt.folder, true })
		for _, size := range tt.whole {
			want := bytes.Repeat([]byte("holdfast"), int(size/8)+1)[:size]
			if err := there.Put(t.Context(), "whole", io.MultiReader(bytes.NewReader(want))); err != nil {
				t.Fatalf("%s, %d bytes: %v", name, size, err)
			}
			r, err := there.Get(t.Context(), "whole")
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", name, size, err)
			}
			got, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: got %d bytes, %v, want %d", name, len(got), err, size)
			}
		}
		for _, size := range tt.cut {
			for _, end := range []error{io.ErrUnexpectedEOF, errors.New("the disk is gone")} {
				r := io.MultiReader(io.LimitReader(zeros{}, size), iotest.ErrReader(end))
				if err := there.Put(t.Context(), "cut", r); !errors.Is(err, end) {
					t.Errorf("%s, %d bytes and %v: got %v", name, size, end, err)
				}
			}
		}
		if names, err := there.List(t.Context()); err != nil || len(names) != 1 || names[0] != "whole" {
			t.Errorf("%s: got %v, %v, want what is whole alone", name, names, err)
		}
		if _, err := there.Get(t.Context(), "cut"); problem.KindOf(err) != problem.NotFound {
			t.Errorf("%s: got %v, want it not found", name, err)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	r := io.MultiReader(io.LimitReader(zeros{}, piece+5), leaving{leave}, io.LimitReader(zeros{}, piece))
	if err := server.place(t, asItIs).Put(ctx, "left", r); err == nil {
		t.Error("what was left is there")
	}
	for left := range server.Admin(t).ListIncompleteUploads(t.Context(), server.S3Config.Bucket, "", true) {
		t.Errorf("pieces of %s are still there (%v)", left.Key, left.Err)
	}
}

// zeros are without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// leaving has whoever reads it left.
type leaving struct{ leave func() }

func (l leaving) Read([]byte) (int, error) { l.leave(); return 0, io.EOF }

// TestWhereAPlaceInS3MayBe: nowhere without TLS but on this machine.
func TestWhereAPlaceInS3MayBe(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://s3.example": true, "https://s3.example:9000/": true, "http://127.0.0.1:9000": true, "http://localhost:9000": true,
		"http://s3.example": false, "s3.example:9000": false, "https://s3.example/bucket": false, "https://user@s3.example": false, "https://": false, "": false,
	} {
		if _, err := backup.NewS3(backup.S3Config{URL: address, Bucket: "b"}); (err == nil) != ok || !ok && problem.KindOf(err) != problem.Invalid {
			t.Errorf("%q: got %v, want it taken: %v", address, err, ok)
		}
	}
}
