package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	tests := []struct {
		name   string
		events string
		want   []string // lines of the whole output that must be there
		never  string   // and what must not
		ok     bool     // without -no-skip
		strict bool     // with it
	}{
		{
			"a pass keeps quiet but for the package",
			`{"Action":"output","Package":"holdfast/a","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"holdfast/a","Test":"TestA"}
{"Action":"output","Package":"holdfast/a","Output":"PASS\n"}
{"Action":"output","Package":"holdfast/a","Output":"ok  \tholdfast/a\t0.1s\tcoverage: 3.0% of statements in ./b\n"}
{"Action":"pass","Package":"holdfast/a"}`,
			[]string{"ok  \tholdfast/a\t0.1s", "skipped: nothing", "1 passed, 0 failed, 0 skipped"},
			"chatter", true, true,
		},
		{
			"a failure says all it said",
			`{"Action":"output","Package":"holdfast/a","Test":"TestA","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"holdfast/a","Test":"TestA"}
{"Action":"fail","Package":"holdfast/a"}`,
			[]string{"    a_test.go:3: got 1, want 2", "failed packages: 1", "0 passed, 1 failed, 0 skipped"},
			"skipped: 1", false, false,
		},
		{
			"a skip is named with its reason",
			`{"Action":"pass","Package":"holdfast/a","Test":"TestA"}
{"Action":"output","Package":"holdfast/a","Test":"TestB","Output":"    b_test.go:9: HOLDFAST_TEST_POSTGRES is not set\n"}
{"Action":"output","Package":"holdfast/a","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"holdfast/a","Test":"TestB"}
{"Action":"pass","Package":"holdfast/a"}`,
			[]string{"skipped: 1 (HOLDFAST_TEST_POSTGRES is not set): a.TestB", "1 passed, 0 failed, 1 skipped"},
			"SKIP", true, false,
		},
		{
			"a package that does not build fails the run",
			`{"ImportPath":"holdfast/a","Action":"build-output","Output":"a.go:1:1: expected 'package'\n"}
{"Action":"pass","Package":"holdfast/b","Test":"TestB"}
{"Action":"fail","Package":"holdfast/a"}`,
			[]string{"a.go:1:1: expected 'package'", "failed packages: 1"},
			"ok", false, false,
		},
		{"nothing ran", ``, []string{"0 passed, 0 failed, 0 skipped"}, "ok", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			sum, err := read(strings.NewReader(tt.events), &out)
			if err != nil {
				t.Fatal(err)
			}
			sum.print(&out)
			for _, line := range tt.want {
				if !strings.Contains(out.String(), line+"\n") {
					t.Errorf("got\n%s\nwant the line %q", out.String(), line)
				}
			}
			if strings.Contains(out.String(), tt.never) {
				t.Errorf("got\n%s\nwant no %q", out.String(), tt.never)
			}
			if got := sum.ok(false); got != tt.ok {
				t.Errorf("ok: got %t, want %t", got, tt.ok)
			}
			if got := sum.ok(true); got != tt.strict {
				t.Errorf("ok with -no-skip: got %t, want %t", got, tt.strict)
			}
		})
	}
}

func TestCoverageCountsABlockThatAnyProgramRan(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "coverage.txt")
	lines := "mode: atomic\n" +
		"holdfast/internal/store/tx.go:1.1,2.2 3 0\n" +
		"holdfast/internal/store/tx.go:1.1,2.2 3 5\n" +
		"holdfast/internal/store/tx.go:4.1,5.2 1 0\n"
	if err := os.WriteFile(profile, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		min  float64
		want bool
	}{{"reached", 75, true}, {"missed", 75.1, false}} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			o := options{profile: profile, cover: []string{"./internal/store"}, min: tt.min}
			got, err := printCoverage(o, &out)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want || !strings.Contains(out.String(), "75.0 %") {
				t.Errorf("got %t and %q, want %t and 75.0 %%", got, out.String(), tt.want)
			}
		})
	}
}
