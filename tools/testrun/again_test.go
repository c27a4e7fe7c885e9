package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAFailureIsHeldAgainstChance, with real modules: what passes alone is flaky and named; what fails again, races or panics has failed.
func TestAFailureIsHeldAgainstChance(t *testing.T) {
	const once = `
	_, seen := os.Stat("seen")
	os.WriteFile("seen", nil, 0o600)
	if seen != nil {
		WHAT
	}`
	tests := []struct {
		name, body, want string
		ok               bool
	}{
		{"it passes alone", `t.Run("a b", func(t *testing.T) {` + strings.Replace(once, "WHAT", `t.Error("once")`, 1) + "\n})", "1 passed, 0 failed", true},
		{"it is not found again", strings.Replace(once, "WHAT", `t.Run("a b", func(t *testing.T) { t.Error("once") })`, 1), "failed packages: 1", false},
		{"it fails again", `t.Error("always")`, "failed packages: 1", false},
		{"it panics once", strings.Replace(once, "WHAT", `panic("once")`, 1), "failed packages: 1", false},
		{"more than may", strings.Replace(once, "WHAT", `for _, n := range []string{"a", "b", "c"} { t.Run(n, func(t *testing.T) { t.Error("once") }) }`, 1), "failed packages: 1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "go.mod", "module m\n\ngo 1.25\n")
			write(t, dir, "m_test.go", "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Stat\n\nfunc TestIt(t *testing.T) {"+tt.body+"\n}\n\nfunc TestOther(t *testing.T) {}\n")
			t.Chdir(dir)
			var out strings.Builder
			ok, err := run(t.Context(), []string{"-again", "2", "--", "./..."}, &out)
			if err != nil || ok != tt.ok {
				t.Errorf("got %t, %v, want %t; it said\n%s", ok, err, tt.ok, out.String())
			}
			if got := strings.Contains(out.String(), "flaky: m.TestIt"); got != tt.ok {
				t.Errorf("named as flaky: %t; it said\n%s", got, out.String())
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("it said\n%s\nwant %q", out.String(), tt.want)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheArgumentsOfOneTest(t *testing.T) {
	got := again([]string{"-race", "-gcflags=a/b=-race=false", "-timeout", "40m", "./..."}, key{"holdfast/a", "TestB/c_(d)"})
	want := []string{"test", "-race", "-gcflags=a/b=-race=false", "-timeout", "40m", "-v", "-count=3", "-run", `^TestB$/^c_\(d\)$`, "holdfast/a"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
