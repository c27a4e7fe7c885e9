package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// words calls a command with what it asks for: its arguments, and the flags that it cannot do without.
func words(cmd *cobra.Command) []string {
	all := strings.Fields(verb(cmd))
	optional := regexp.MustCompile(`\[[^\]]*\]`)
	for _, w := range strings.Fields(optional.ReplaceAllString(cmd.Use, ""))[1:] {
		if w = strings.Trim(w, "."); w != "" && w == strings.ToUpper(w) {
			all = append(all, "1")
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil {
			all = append(all, "--"+f.Name, map[bool]string{true: "1", false: "as agreed"}[f.Value.Type() == "int"])
		}
	})
	all = append(all, map[string][]string{ // what is asked for in words only
		"keys shred": {"--link", "erp", "--lane", "1", "--yes"}, "anomaly reset": {"--all"}, "msg note": {"a note"}, "msg edit": {"--body", "body.json"}, "msg postpone": {"--until", "2099-12-01T06:00:00+01:00"},
	}[verb(cmd)]...)
	if cmd.Flags().Lookup("expect") != nil {
		all = append(all, "--yes", "--expect", "1", "--reason", "as agreed")
	}
	return all
}

// TestEveryCommandEndsWithTheStatusOfTheTable: whatever the command, the same mistake has the same status, and says something.
func TestEveryCommandEndsWithTheStatusOfTheTable(t *testing.T) {
	config := shellConfig(t, "") // the account has no role
	t.Chdir(t.TempDir())
	if err := os.WriteFile("body.json", []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	reads := map[string]bool{"token find": true, "token show": true} // a token, before anything else: no test has one to give
	for name, cmd := range runnable(rootCommand(), map[string]*cobra.Command{}) {
		far := slices.Contains(remoteGroups, strings.Fields(name)[0])
		for _, tt := range []struct {
			what string
			does bool
			more []string
			want int
		}{
			{"asked for help", true, []string{"--help"}, 0},
			{"a flag that it does not have", true, []string{"--no-such-flag"}, 2},
			{"a configuration that is not there", verbs()[name] != free && !reads[name], []string{"--config", "nowhere.yaml"}, 3},
			{"nobody's role", verbs()[name] != free, []string{"--config", config}, 4},
			{"a server that does not answer", far, []string{"--server", "http://127.0.0.1:1"}, 7},
		} {
			if !tt.does {
				continue
			}
			var out, told bytes.Buffer
			got := run(t.Context(), append(words(cmd), tt.more...), &out, &told)
			if got != tt.want || got != 0 && !strings.Contains(told.String()+out.String(), "no such file") && !strings.Contains(told.String(), "holdfast: ") {
				t.Errorf("holdfast %s, %s: status %d, want %d: %s", name, tt.what, got, tt.want, told.String())
			}
		}
	}
}
