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
	blocks := regexp.MustCompile("(?ms)^```(sh|yaml)\n(.*?)^```$").FindAllStringSubmatch(tutorial, -1)
	if len(blocks) < 5 {
		t.Fatalf("%d blocks, want at least 5", len(blocks))
	}
	t.Chdir(t.TempDir())
	var last string
	for _, b := range blocks {
		if b[1] == "yaml" {
			name, _, _ := strings.Cut(strings.TrimPrefix(b[2], "# "), "\n")
			if err := os.WriteFile(name, []byte(b[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
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
