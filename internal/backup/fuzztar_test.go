package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzArchive reads what is in an archive that somebody else has written: a part is what its manifest names, below the folder, or nothing is
// believed; no name leads elsewhere.
func FuzzArchive(f *testing.F) {
	written := func(name, text string, kind byte) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, file := range []struct {
			h    tar.Header
			text string
		}{
			{tar.Header{Name: "manifest.json", Mode: 0o600, Size: 2}, "{}"},
			{tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: kind, Linkname: "/etc/hosts"}, text},
		} {
			if w.WriteHeader(&file.h) != nil {
				continue
			}
			_, _ = w.Write([]byte(file.text)) // what a tar cannot have is a seed all the same
		}
		_ = w.Close()
		return b.Bytes()
	}
	f.Add(written("database", "abc", tar.TypeReg), "database", "abc")
	f.Add(written("../out", "abc", tar.TypeReg), "../out", "abc")
	f.Add(written("/abs", "abc", tar.TypeReg), "/abs", "abc")
	f.Add(written("database", "", tar.TypeSymlink), "database", "")
	f.Fuzz(func(t *testing.T, archive []byte, name, text string) {
		if len(archive) > 1<<20 {
			return
		}
		outer := t.TempDir()
		folder := filepath.Join(outer, "in")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		r := tar.NewReader(bytes.NewReader(archive))
		if openManifest(r, Sealed{Manifest: json.RawMessage(`{}`)}) != nil {
			return
		}
		err := openPart(r, folder, Part{Name: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
		if err == nil {
			got, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
			if err != nil || string(got) != text {
				t.Errorf("part %q is believed and has %q, %v", name, got, err)
			}
		}
		if all, err := os.ReadDir(outer); err != nil || len(all) != 1 {
			t.Errorf("part %q has written beside the folder: %v, %v", name, all, err)
		}
	})
}
