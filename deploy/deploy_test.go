// Package deploy has no code: its test holds the files that others read against the program.
package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var metric = regexp.MustCompile(`\bholdfast_[a-z_]+\b`)

// TestAlertsAreAboutFiguresThatExist: each metric that an alert asks for is registered somewhere, under its last words.
func TestAlertsAreAboutFiguresThatExist(t *testing.T) {
	rules, err := os.ReadFile("prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	code := source(t)
	names := metric.FindAllString(string(rules), -1)
	if len(names) < 10 {
		t.Fatalf("only %d metrics are asked for", len(names))
	}
	for _, name := range names {
		if !registered(code, name) {
			t.Errorf("rules.yaml asks for %s, which nothing registers", name)
		}
	}
}

// registered tells whether a string of the code is the end of a metric's name, as it is written where namespace and subsystem stand apart.
func registered(code, name string) bool {
	for rest := name; ; {
		_, after, more := strings.Cut(rest, "_")
		if !more {
			return false
		}
		if rest = after; strings.Contains(code, `"`+rest+`"`) {
			return true
		}
	}
}

// source is all of the program's code.
func source(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"../internal", "../cmd"} {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			b, err := os.ReadFile(file)
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
