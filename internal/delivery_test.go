package internal

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWhatShowsEachPromiseIsThere: the tests and packages that docs/delivery.md names are in the tree.
func TestWhatShowsEachPromiseIsThere(t *testing.T) {
	text := read(t, "../docs/delivery.md")
	tests := map[string]bool{}
	for _, s := range tree(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.isTest() {
				tests[f.Name.Name] = true
			}
		}
	}
	for _, name := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		if !tests[name[1]] {
			t.Errorf("docs/delivery.md names %s, which no package has", name[1])
		}
	}
	for _, path := range regexp.MustCompile("`((?:internal|adapters|cmd)/[a-z/._]+)`").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("..", strings.TrimSuffix(path[1], "/"))); err != nil {
			t.Errorf("docs/delivery.md names %s, which is not there", path[1])
		}
	}
}
