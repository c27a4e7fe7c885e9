package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAMappingThatNothingReachesIsHeldAgainstWhatKnowsItsTarget: mapping new writes to mine/KIND, which no route names yet. It is checked and
// tested as if one did, and no test passes for want of a contract.
func TestAMappingThatNothingReachesIsHeldAgainstWhatKnowsItsTarget(t *testing.T) {
	const good = "  order: ref(\"order\", src.order.id)\n"
	tests := []struct {
		name, target, fields string
		check, test          []string // what is said
	}{
		{
			"a field that the contract refuses", "createConfirmation", "  yeild: src.confirmation.final\n",
			[]string{"mine/a.yaml:4:10: fields.yeild", "fields.order: link erp: operation createConfirmation requires order"},
			[]string{"link erp: "},
		},
		{"an operation that is not there", "createConfirmatoin", good, []string{"mine/a.yaml:2:5: to", "has no operation of this ID"}, []string{"no link of the configuration has a contract that knows createConfirmatoin"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := workshopOf(t, fmt.Sprintf("from: {kind: operation.confirmed}\nto: {operation: %s}\nfields:\n%s", tt.target, tt.fields))
			var out bytes.Buffer
			tells(t, "check", fmt.Sprint(w.check(&out)), tt.check)
			for _, against := range []string{"", "mock"} {
				out.Reset()
				err := w.test(t.Context(), &out, mappingTestFlags{fuzz: 20, seed: 1, against: against, form: "text"}, []string{"mine/a"})
				if err == nil {
					t.Errorf("test against %q passes", against)
				}
				tells(t, "test against "+against, out.String(), tt.test)
			}
		})
	}
}

func tells(t *testing.T, what, got string, want []string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(got, part) {
			t.Errorf("%s: got %s, want %q in it", what, got, part)
		}
	}
}

// workshopOf is that of a plant of the plain ERP's with one mapping of its own, mine/a, that no route names.
func workshopOf(t *testing.T, text string) *workshop {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "mappings", "mine", "a.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte("plant: {number: \"1000\", zone: Europe/Berlin}\n"+
		"links:\n  erp: {kind: rest, base_url: http://127.0.0.1:1, spec: builtin:erp}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{cfg, rules, links}
	t.Cleanup(w.close)
	return w
}
