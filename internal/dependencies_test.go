package internal

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	required = regexp.MustCompile(`(?m)^(?:require )?\s*([a-z0-9.\-]+\.[a-z]+/\S+|[a-z]+\.[a-z]+/\S+) (v\S+)`)
	row      = regexp.MustCompile("(?m)^\\| `([^`]+)` (v\\S+) \\|")
)

// versions reads module paths with versions out of a text.
func versions(re *regexp.Regexp, text string) map[string]string {
	found := map[string]string{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		found[m[1]] = m[2]
	}
	return found
}

// moduleOf returns the module of the list that has the package, "" if none has.
func moduleOf(modules map[string]string, pkg string) string {
	best := ""
	for m := range modules {
		if (pkg == m || strings.HasPrefix(pkg, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

func TestEveryDependencyIsExplained(t *testing.T) {
	modules := versions(required, read(t, "../go.mod"))
	explained := versions(row, read(t, "../docs/dependencies.md"))
	missing := map[string]bool{}
	for _, s := range tree(t) {
		for _, imp := range s.file.Imports {
			m := moduleOf(modules, strings.Trim(imp.Path.Value, `"`))
			if m != "" && explained[m] == "" {
				missing[fmt.Sprintf("%s %s", m, modules[m])] = true
			}
		}
	}
	for m := range missing {
		t.Errorf("docs/dependencies.md has no row for %s: say why it is there and what else was considered", m)
	}
	for m, version := range explained {
		if modules[m] != version {
			t.Errorf("docs/dependencies.md explains %s %s, go.mod has %q", m, version, modules[m])
		}
	}
}

// TestEachModulesUpdatesAreWatched: a folder with a go.mod or a package.json is in .github/dependabot.yml.
func TestEachModulesUpdatesAreWatched(t *testing.T) {
	watched := read(t, "../.github/dependabot.yml")
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if d.Name() != "go.mod" && d.Name() != "package.json" {
			return nil
		}
		found++
		if dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), ".."); !strings.Contains(watched, fmt.Sprintf("%q", "/"+strings.TrimPrefix(dir, "/"))) {
			t.Errorf("/%s is watched by nobody", strings.TrimPrefix(dir, "/"))
		}
		return nil
	})
	if err != nil || found < 8 {
		t.Errorf("%d modules found: %v", found, err)
	}
}

func TestModuleOf(t *testing.T) {
	modules := map[string]string{"example.org/a": "v1.0.0", "example.org/a/b": "v1.0.0", "example.org/ab": "v1.0.0"}
	tests := []struct{ pkg, want string }{
		{"example.org/a", "example.org/a"},
		{"example.org/a/c", "example.org/a"},
		{"example.org/a/b/c", "example.org/a/b"},
		{"example.org/abc", ""},
		{"fmt", ""},
	}
	for _, tt := range tests {
		t.Run(tt.pkg, func(t *testing.T) {
			if got := moduleOf(modules, tt.pkg); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
