package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ranElsewhere are the command lines of blocks in the documents that no script runs as they stand, each with what does run them, or why nothing can.
func ranElsewhere() map[string]string {
	return map[string]string{
		"holdfast demo --data ./demo --stuck":                                                "TestTheOutagePageRunsAsWritten: it goes on running, and is what the rest of its page is done on",
		"holdfast demo --once --erp sap":                                                     "TestTheDemoRunsOverSAP: it needs SAP's server from npm",
		"holdfast demo --once --link amqp":                                                   "amqplink_test.go: it needs a broker, whose address the test gives",
		"holdfast status --server https://plant.example:8420 --ca ca.crt --token file:token": "remote_test.go, against a server that the test starts",
		"holdfast link pause erp --server https://plant.example:8420 --cert team.crt --key team.key --reason 'ERP release tonight'": "remote_test.go, as above",
	}
}

// TestEveryCommandOfTheDocumentsIsRun: for each call of the program in a block that people are to type, a script of testdata runs the same command with the same flags (internal.TestCommandsInDocumentsWork
// looks at their values by --help), or it stands in the table of those that are run elsewhere. Calls of make and of scripts are the steps of .ci/run.
func TestEveryCommandOfTheDocumentsIsRun(t *testing.T) {
	ran := map[string][]string{}
	for _, line := range scriptedCalls(t) {
		name, flags := commandOf(line)
		ran[name] = append(ran[name], flags...)
	}
	left, calls := ranElsewhere(), 0
	for file, line := range documentedCalls(t) {
		calls++
		if _, ok := left[line]; ok {
			left[line] = ""
			continue
		}
		name, flags := commandOf(line)
		if _, ok := ran[name]; !ok || name == "" {
			t.Errorf("%s: %q: no script of testdata runs that command", file, line)
			continue
		}
		for _, flag := range flags {
			if !slices.Contains(ran[name], flag) {
				t.Errorf("%s: %q: no script of testdata runs it with %s", file, line, flag)
			}
		}
	}
	for line, why := range left {
		if why != "" {
			t.Errorf("no document has %q any more: take it out of the table", line)
		}
	}
	if calls < 100 {
		t.Errorf("%d calls were found, want all of the documents", calls)
	}
}

// documentedCalls are the calls of the program in blocks of the documents, each with its file.
func documentedCalls(t *testing.T) func(yield func(file, line string) bool) {
	t.Helper()
	block := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	return func(yield func(file, line string) bool) {
		for _, pattern := range []string{"*.md", "docs/*.md", "docs/security/*.md", "deploy/*.md"} {
			files, err := filepath.Glob(filepath.Join("../..", pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range block.FindAllStringSubmatch(string(text), -1) {
					for line := range strings.Lines(strings.ReplaceAll(b[1], "\\\n", " ")) {
						if line = calledProgram(line); line != "" && !yield(file, line) {
							return
						}
					}
				}
			}
		}
	}
}

// calledProgram is the call of the program in a line of a shell, however it is called there; "" if it calls another.
func calledProgram(line string) string {
	line = regexp.MustCompile(`^([A-Z_]+=\S+ )*`).ReplaceAllString(strings.TrimSpace(line), "")
	for _, as := range []string{"holdfast ", "bin/holdfast ", "go run ./cmd/holdfast "} {
		if rest, ok := strings.CutPrefix(line, as); ok {
			rest, _, _ = strings.Cut(rest, "  #")
			return "holdfast " + strings.TrimSpace(rest)
		}
	}
	return ""
}

// scriptedCalls are the calls of the program in the scripts.
func scriptedCalls(t *testing.T) (calls []string) {
	t.Helper()
	call := regexp.MustCompile(`(?m)^(?:! )?(?:exec|says \d+) holdfast (.*)$|^await (?:'[^']*'|\S+) (.*)$`)
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".txt" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			calls = append(calls, "holdfast "+m[1]+m[2])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

// commandOf is the longest name of a command that a call begins with ("" if there is none), and the flags of the call. Where the configuration is, and why something is done, all commands that take it
// take alike.
func commandOf(line string) (name string, flags []string) {
	words := strings.Fields(regexp.MustCompile(`'[^']*'|"[^"]*"`).ReplaceAllString(line, "text"))
	for n := len(words); n > 1 && name == ""; n-- {
		if _, ok := verbs()[strings.Join(words[1:n], " ")]; ok {
			name = strings.Join(words[1:n], " ")
		}
	}
	for _, w := range words {
		w, _, _ = strings.Cut(w, "=")
		switch {
		case w == "-o":
			flags = append(flags, "--output")
		case strings.HasPrefix(w, "--") && w != "--config" && w != "--reason":
			flags = append(flags, w)
		}
	}
	return name, flags
}
