package backup_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
)

// TestNothingIsWrittenIntoAMountPoint: a folder that is not there, or is empty, is no place until somebody has said so. One that has copies is, and one of the plant's own
// folder is made.
func TestNothingIsWrittenIntoAMountPoint(t *testing.T) {
	t.Parallel()
	const id = "20260504T110000Z-aaaaaa"
	for _, tt := range []struct {
		name  string
		has   []string // nil: it is not there
		own   bool
		is    bool
		finds int
	}{
		{"it is not there", nil, false, false, 0},
		{"it is empty", []string{}, false, false, 0},
		{"what lies in it is somebody's", []string{"lost+found", "notes.json"}, false, false, 0},
		{"it has copies of a release before", []string{id + ".tar.zst.age", id + ".json"}, false, true, 2},
		{"it has increments", []string{id + ".000001.inc"}, false, true, 1},
		{"it is marked", []string{".holdfast-place"}, false, true, 0},
		{"it is the plant's own, and not there", nil, true, true, 0},
		{"it is the plant's own, and empty", []string{}, true, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "place")
			if tt.has != nil {
				if err := os.Mkdir(folder, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range tt.has {
				if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var anew func() bool
			if tt.own {
				anew = func() bool { _, err := os.Stat(folder); return os.IsNotExist(err) }
			}
			p := backup.Marked(backup.Folder(folder), anew)
			names, listed := p.List(t.Context())
			err := p.Put(t.Context(), id+".000002.inc", strings.NewReader("x"))
			if tt.is {
				if err != nil || listed != nil || len(names) != tt.finds {
					t.Errorf("wrote %v, listed %v, %v, want a place", err, names, listed)
				}
				if _, err := os.Stat(filepath.Join(folder, ".holdfast-place")); err != nil {
					t.Errorf("it is not marked: %v", err)
				}
				return
			}
			if problem.KindOf(err) != problem.Unavailable || problem.KindOf(listed) != problem.Unavailable {
				t.Errorf("wrote %v, listed %v, want it refused", err, listed)
			}
			if left, err := os.ReadDir(folder); len(left) != len(tt.has) || tt.has == nil && !os.IsNotExist(err) {
				t.Errorf("it has become %v, %v, want it left alone", left, err)
			}
			if done, err := backup.Mark(t.Context(), p); !done || err != nil {
				t.Errorf("marked %t, %v", done, err)
			}
			if done, err := backup.Mark(t.Context(), p); done || err != nil {
				t.Errorf("marked again %t, %v", done, err)
			}
			if err := p.Put(t.Context(), id+".000002.inc", strings.NewReader("x")); err != nil {
				t.Error(err)
			}
			if names, err := p.List(t.Context()); err != nil || slices.Contains(names, ".holdfast-place") {
				t.Errorf("listed %v, %v", names, err)
			}
			if _, err := fs.Stat(os.DirFS(folder), id+".000002.inc"); err != nil {
				t.Error(err)
			}
		})
	}
}
