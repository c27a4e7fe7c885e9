package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A source is one parsed Go file of this repository.
type source struct {
	pkg       string // its folder below the root, with slashes
	path      string
	fset      *token.FileSet
	file      *ast.File
	generated bool
}

// isTest says whether the file belongs to the tests of its package.
func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at is the place of a node as an editor understands it.
func (s source) at(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

// parse reads one file. The text may be given, for tests of the checks themselves.
func parse(t *testing.T, file string, text any) source {
	t.Helper()
	name := strings.TrimPrefix(filepath.ToSlash(file), "../")
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{path.Dir(name), name, fset, f, ast.IsGenerated(f)}
}

// tree parses every Go file of the product. It walks the files itself, in this
// process: the test cache does not see what a child process such as "go list" reads.
func tree(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, dir := range []string{"../adapters", "../cmd", "../internal", "../openapi"} {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"testdata", "node_modules"}, d.Name()):
				return fs.SkipDir
			case !d.IsDir() && strings.HasSuffix(file, ".go"):
				all = append(all, parse(t, file, nil))
			}
			return nil
		})
		if err != nil && !isMissing(err) {
			t.Fatal(err)
		}
	}
	return all
}
