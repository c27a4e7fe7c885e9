package backup

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// Whoever can write to a place can put anything there that its recipients decrypt: it ends before it fills the disk of whoever restores.
func TestAnIncrementThatUnpacksToTooMuchIsLeftEarly(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zeros := io.LimitReader(endless{}, 64<<20)
	if err := packIncrement(&packed, Sealed{Manifest: json.RawMessage("{}")}, zeros, []Recipient{id.Recipient()}); err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(packed.Bytes(), []byte("\n"))
	folder := t.TempDir()
	r := &replay{folder: folder, key: Key{Identity: id}, have: map[digest]bool{}}
	err = r.body(bytes.NewReader(body), Increment{Size: 4096})
	if err == nil || !strings.Contains(err.Error(), "longer than any") {
		t.Errorf("got %v, want that it is too long", err)
	}
	if on := bytesIn(t, folder); on > mostBody(4096)+1 {
		t.Errorf("%d bytes on the disk, want at most %d", on, mostBody(4096)+1)
	}
}

// An order that names the same piece again and again ends at the size that the increment says.
func TestAnOrderThatNeverEndsIsLeftEarly(t *testing.T) {
	folder := t.TempDir()
	piece, err := os.CreateTemp(folder, ".increment-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := piece.Write(make([]byte, mostPiece)); err != nil {
		t.Fatal(err)
	}
	r := &replay{folder: folder, files: []*os.File{piece}, pieces: []place{{0, 0, mostPiece}}, size: 3 * mostPiece}
	for range 1000 {
		r.runs = append(r.runs, run{0, 1})
	}
	if err := r.write(); err == nil {
		t.Error("it is put together")
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if on := bytesIn(t, folder); on > 4*mostPiece {
		t.Errorf("%d bytes on the disk, want at most %d", on, 4*mostPiece)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func bytesIn(t *testing.T, folder string) (n int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if s, err := os.Stat(name); err == nil && s.Mode().IsRegular() {
			n += s.Size()
		}
	}
	return n
}
