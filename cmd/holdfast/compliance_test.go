package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"holdfast/internal/problem"
)

// TestEachClauseHasItsEvidence: each clause that is said to be answered names tests, and each of them is in the source.
func TestEachClauseHasItsEvidence(t *testing.T) {
	var out bytes.Buffer
	cmd := newCompliance()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"report", "--json", "--source", "../.."})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	var all []clause
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	standards := map[string]int{}
	for _, c := range all {
		standards[c.Standard]++
		if none := strings.HasPrefix(c.Reached, "none"); none != (len(c.Tests) == 0) {
			t.Errorf("%s, %s, of which %q is reached: it has the tests %q", c.Standard, c.Clause, c.Reached, c.Tests)
		}
	}
	if len(standards) != 6 || standards["IEC 62443-3-3"] < 40 || standards["IEC 62443-4-2"] < 15 || standards["IEC 62443-4-1"] < 8 || standards["CER and NIS2"] < 8 {
		t.Errorf("got clauses of %v, want those of six standards", standards)
	}
}

func TestAClauseWithoutEvidenceIsTold(t *testing.T) {
	const head = "| id | requirement | answered by | shown by | the plant's duty |\n|---|---|---|---|---|\n"
	_, err := clauses("| S, part | row |\n|---|---|\n| 1 asked | 1.1, 9.9 |\n", head+"| 1.1 | r | a | `seal.TestX` | |\n")
	if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), `"9.9"`) {
		t.Errorf("a row that is not there: got %v", err)
	}
	all, err := clauses("| S, part | row |\n|---|---|\n| 1 asked | 1.1 |\n", head+"| 1.1 | r | a | `seal.TestNobodyWroteThis` and `cmd/holdfast.TestAClauseWithoutEvidenceIsTold` | |\n")
	if err != nil || len(all) != 1 || all[0].Standard != "S" || len(all[0].Tests) != 2 {
		t.Fatalf("got %+v, %v", all, err)
	}
	err = provedIn("../..", all)
	if problem.KindOf(err) != problem.NotFound || !strings.Contains(err.Error(), "seal.TestNobodyWroteThis") || strings.Contains(err.Error(), "cmd/holdfast.Test") {
		t.Errorf("a test that is not there: got %v", err)
	}
}
