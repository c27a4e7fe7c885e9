package internal

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

const longestFunction = 60 // lines, from func to the closing brace

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	comments := map[string]string{} // by package; "" means none
	for _, s := range tree(t) {
		if !s.isTest() {
			comments[s.pkg] += s.file.Doc.Text()
		}
	}
	for pkg, comment := range comments {
		name := pkg[strings.LastIndex(pkg, "/")+1:]
		if !strings.HasPrefix(comment, "Package "+name+" ") && !strings.HasPrefix(comment, "Command "+name+" ") {
			t.Errorf("package %s: got the comment %.40q, want one that opens with its name and says what it guarantees", pkg, comment)
		}
	}
}

func TestEveryExportedNameHasAComment(t *testing.T) {
	for _, s := range tree(t) {
		if s.isTest() || s.generated {
			continue
		}
		for _, missing := range undocumented(s) {
			t.Error(missing)
		}
	}
}

// undocumented names the exported declarations of a file that have no comment.
func undocumented(s source) []string {
	var missing []string
	report := func(n ast.Node, what string) {
		missing = append(missing, fmt.Sprintf("%s: %s has no comment", s.at(n), what))
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
				report(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, name := range undocumentedSpecs(d) {
				report(name, name.Name)
			}
		}
	}
	return missing
}

// exportedReceiver says whether a reader of the package's documentation sees
// the function: it is no method, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// undocumentedSpecs finds exported types, constants and variables without a
// comment of their own or of their group.
func undocumentedSpecs(d *ast.GenDecl) []*ast.Ident {
	var missing []*ast.Ident
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
				missing = append(missing, spec.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					missing = append(missing, name)
				}
			}
		}
	}
	return missing
}

func TestUndocumented(t *testing.T) {
	tests := []struct {
		name, code, want string
	}{
		{"a function", "func F() {}", "F has no comment"},
		{"a function with one", "// F is.\nfunc F() {}", ""},
		{"a method of a type that is seen", "// T is.\ntype T int\nfunc (t *T) M() {}", "M has no comment"},
		{"a method of a type that is not", "type t int\nfunc (t) M() {}", ""},
		{"a type", "type T int", "T has no comment"},
		{"constants with one comment for all", "// The kinds.\nconst (\nA = 1\nB = 2\n)", ""},
		{"a constant with one at its end", "const (\nA = 1 // the first\n)", ""},
		{"a variable", "var V int", "V has no comment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(undocumented(parse(t, "../internal/x/x.go", "package x\n"+tt.code)), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoFunctionIsLongerThanAScreen(t *testing.T) {
	for _, s := range tree(t) {
		if s.isTest() || s.generated {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && lines(s.fset, f) > longestFunction {
				t.Errorf("%s: %s has %d lines, want at most %d: it does more than one thing",
					s.at(f), f.Name.Name, lines(s.fset, f), longestFunction)
			}
		}
	}
}

// lines counts those of a function, without its comment.
func lines(fset *token.FileSet, f *ast.FuncDecl) int {
	return fset.Position(f.End()).Line - fset.Position(f.Type.Pos()).Line + 1
}

func TestNoPackageStartsByItself(t *testing.T) {
	for _, s := range tree(t) {
		if s.isTest() || s.generated {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init; house style has none: call it where it is needed", s.at(f))
			}
		}
	}
}
