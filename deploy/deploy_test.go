// Package deploy has no code: its test holds the files that others read against the program.
package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	for _, name := range []string{"holdfast_seconds", "holdfast_backup_age_seconds", "holdfast_audit_alerts_total", "holdfast_relay_request_seconds_total"} {
		if registered(code, name) {
			t.Errorf("%s counts as registered", name)
		}
	}
}

var (
	before   = regexp.MustCompile(`Subsystem: "([a-z_]+)"|"holdfast_([a-z]+)_"`) // the metric's own name
	ofSeries = regexp.MustCompile(`_(bucket|sum|count)$`)                        // what a histogram is exposed as
)

// registered tells whether a file of those that register metrics has the whole name of one, as it is written behind the namespace, or behind that and
// what stands before the names of the file.
func registered(files []string, name string) bool {
	name = strings.TrimPrefix(name, "holdfast_")
	return slices.ContainsFunc(files, func(code string) bool {
		for _, n := range []string{name, ofSeries.ReplaceAllString(name, "")} {
			if strings.Contains(code, `"`+n+`"`) {
				return true
			}
			for _, s := range before.FindAllStringSubmatch(code, -1) {
				if rest, is := strings.CutPrefix(n, s[1]+s[2]+"_"); is && strings.Contains(code, `"`+rest+`"`) {
					return true
				}
			}
		}
		return false
	})
}

// source is all of the program's code that has to do with metrics, file by file.
func source(t *testing.T) (all []string) {
	t.Helper()
	for _, dir := range []string{"../internal", "../adapters", "../cmd"} {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			b, err := os.ReadFile(file)
			if strings.Contains(string(b), `"github.com/prometheus/client_golang/prometheus"`) {
				all = append(all, string(b))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
