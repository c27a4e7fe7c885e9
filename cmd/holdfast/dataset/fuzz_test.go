package dataset_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/problem"
)

// FuzzLoad reads a plant's tables of which somebody has written one anew: either every mistake is a problem that names a file, or the set is
// whole, with each order's material in it.
func FuzzLoad(f *testing.F) {
	files := fstest.MapFS{}
	builtin := os.DirFS("beverage")
	names, err := fs.Glob(builtin, "*.csv")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for i, name := range names {
		text, err := fs.ReadFile(builtin, name)
		if err != nil {
			f.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
		f.Add(uint(i), string(text))
		f.Add(uint(i), "\xef\xbb\xbf"+strings.ReplaceAll(string(text), ",", ",\""))
	}
	f.Fuzz(func(t *testing.T, which uint, text string) {
		with := fstest.MapFS{}
		for name, file := range files {
			with[name] = file
		}
		with[names[which%uint(len(names))]] = &fstest.MapFile{Data: []byte(text)}
		s, err := dataset.Load(with, "set")
		if err != nil {
			var all interface{ Unwrap() []error }
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want a list of mistakes", err)
			}
			for _, one := range all.Unwrap() {
				if p, ok := errors.AsType[*problem.Error](one); !ok || p.Kind != problem.Invalid || !strings.HasPrefix(p.What, "set/") {
					t.Errorf("got %v, want a problem with its file", one)
				}
			}
			return
		}
		for _, o := range s.Orders {
			if s.Material(o.Material) == nil || o.Quantity.Sign() <= 0 {
				t.Errorf("an order is for %s of %q, which the set does not have", o.Quantity, o.Material)
			}
		}
	})
}
