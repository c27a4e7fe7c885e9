package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTheMappingGuideRunsAsWritten does what the tutorial tells a newcomer, line by line, in an empty folder.
func TestTheMappingGuideRunsAsWritten(t *testing.T) {
	text, err := os.ReadFile("../../docs/mapping-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	tutorial, _, _ := strings.Cut(string(text), "\n## The file\n")
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(tutorial, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of commands, want at least 2", len(blocks))
	}
	t.Chdir(t.TempDir())
	var last string
	for _, b := range blocks {
		for line := range strings.Lines(b[1]) {
			var out, errs bytes.Buffer
			args := strings.Fields(line)
			if status := run(t.Context(), args[1:], &out, &errs); status != 0 {
				t.Fatalf("%s ends with %d: %s%s", strings.TrimSpace(line), status, out.String(), errs.String())
			}
			last = out.String()
		}
	}
	if !strings.Contains(last, "cases pass") {
		t.Errorf("the last command prints %s", last)
	}
}
