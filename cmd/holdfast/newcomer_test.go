package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// capture reads a URL until its answer matches, and sets a variable to what the parentheses hold: capture NAME URL PATTERN. Without a URL it is
// what the last command printed.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 2 {
		found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
		if len(found) != 2 {
			ts.Fatalf("nothing in stdout fits %s", args[1])
		}
		ts.Setenv(args[0], found[1])
		return
	}
	pattern := regexp.MustCompile(args[2])
	var got []byte
	matches := func() bool {
		res, err := http.Get(args[1])
		if err != nil {
			return false
		}
		got, err = io.ReadAll(res.Body)
		return errors.Join(err, res.Body.Close()) == nil && pattern.Match(got)
	}
	if !eventually(matches) {
		ts.Fatalf("%s answers %s, want %s", args[1], got, args[2])
	}
	ts.Setenv(args[0], string(pattern.FindSubmatch(got)[1]))
}

// pushDocs sends the message of docs/api.md, "Pushing a message of the ERP", to a plant: pushdocs URL.
func pushDocs(ts *testscript.TestScript, _ bool, args []string) {
	doc, err := os.ReadFile("../../docs/api.md")
	ts.Check(err)
	_, section, _ := strings.Cut(string(doc), "\n## Pushing a message of the ERP\n")
	_, example, _ := strings.Cut(section, "```json\n")
	example, _, found := strings.Cut(example, "```")
	if !found {
		ts.Fatalf("docs/api.md has no message to push")
	}
	if status, body := request(ts, http.MethodPost, args[0], example); status != http.StatusAccepted {
		ts.Fatalf("the message of docs/api.md is answered %d: %s", status, body)
	}
}

// TestTheReadmeIsWhatIsRun: each call of the program in README's path for newcomers is one of newcomer.txt, which runs them.
func TestTheReadmeIsWhatIsRun(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/newcomer.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, path, found := strings.Cut(string(readme), "\n## A plant in three terminals\n")
	path, _, _ = strings.Cut(path, "\n## ")
	calls := regexp.MustCompile(`(?m)^bin/(holdfast .*)$`).FindAllStringSubmatch(path, -1)
	if !found || len(calls) < 6 {
		t.Fatalf("README's path has %d calls of the program, want 6 at least", len(calls))
	}
	for _, c := range calls {
		if !strings.Contains(string(script), "exec "+c[1]) && !strings.Contains(string(script), "retry "+c[1]) {
			t.Errorf("newcomer.txt does not run %q", c[1])
		}
	}
}
