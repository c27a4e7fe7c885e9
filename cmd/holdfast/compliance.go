package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/docs/security"
	"holdfast/internal/problem"
)

func newCompliance() *cobra.Command {
	cmd := &cobra.Command{Use: "compliance", Short: "What the standards ask for, and the tests that are its evidence"}
	cmd.AddCommand(complianceReport())
	return cmd
}

// clause is one row of compliance.md, with the evidence of the requirements that it leads to.
type clause struct {
	Standard     string   `json:"standard"`
	Clause       string   `json:"clause"`
	Reached      string   `json:"reached"` // of IEC 62443-3-3 alone
	Requirements []string `json:"requirements"`
	Tests        []string `json:"tests"` // package.Test, the package without internal/
}

func complianceReport() *cobra.Command {
	var asJSON bool
	var source string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "List each clause of the standards with the requirements and tests that support it",
		Long: "List what IEC 62443-3-3, 62443-4-2 and 62443-4-1, NIST SP 800-82, 21 CFR Part 11, CER and NIS2 ask for, with the level that is reached, the requirements of\n" +
			"docs/security/requirements.md that answer it and the tests that show it. With --source it looks each test up in a copy of the source of this\n" +
			"release, and fails if one is not there. It certifies nothing: a standard is met by a plant, of which this is a part.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := clauses(security.Compliance, security.Requirements)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), all)
			} else {
				err = table(cmd.OutOrStdout(), "STANDARD\tCLAUSE\tREACHED\tREQUIREMENTS\tTESTS", rowsOf(all))
			}
			if err != nil || source == "" {
				return err
			}
			return provedIn(source, all)
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&source, "source", "", "a folder with the source of this release, in which each test is looked up")
	return cmd
}

func rowsOf(all []clause) []string {
	rows := make([]string, 0, len(all))
	for _, c := range all {
		rows = append(rows, strings.Join([]string{c.Standard, c.Clause, c.Reached, strings.Join(c.Requirements, ", "), strings.Join(c.Tests, ", ")}, "\t"))
	}
	return rows
}

// aTest is a test as the documents name it.
var aTest = regexp.MustCompile("`([^` ]+[.]Test[A-Za-z0-9_]+)`")

// clauses are the rows of compliance, each with the tests of the rows of requirements that its last column names. Invalid if that names a
// row which is not there, or one without a test that does not say so.
func clauses(compliance, requirements string) ([]clause, error) {
	shown := map[string][]string{}
	for _, row := range tableRows(requirements) {
		if len(row) != 5 {
			continue
		}
		shown[row[0]] = []string{}
		for _, named := range aTest.FindAllStringSubmatch(row[3], -1) {
			shown[row[0]] = append(shown[row[0]], named[1])
		}
	}
	var all []clause
	standard := ""
	for _, row := range tableRows(compliance) {
		if row[len(row)-1] == "row" { // a table's head
			standard, _, _ = strings.Cut(row[0], ", ")
			continue
		}
		c := clause{Standard: standard, Clause: row[0], Requirements: strings.Split(row[len(row)-1], ", ")}
		if len(row) == 4 {
			c.Reached = row[2]
		}
		tests := map[string]bool{}
		for _, id := range c.Requirements {
			named, ok := shown[id]
			if !ok {
				return nil, &problem.Error{
					Kind: problem.Invalid, What: "report on " + c.Clause, Why: fmt.Sprintf("it leads to requirement %q, which requirements.md does not have", id),
					Hint: "name the row that answers it in docs/security/compliance.md",
				}
			}
			for _, t := range named {
				tests[t] = true
			}
		}
		if c.Tests = []string{}; !strings.HasPrefix(c.Reached, "none") { // the row answers others of its kind
			c.Tests = slices.Sorted(maps.Keys(tests))
		}
		all = append(all, c)
	}
	return all, nil
}

// tableRows are the rows of all tables of a Markdown document, heads included.
func tableRows(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i, cell := range row {
			row[i] = strings.TrimSpace(cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// provedIn looks up each test below dir. NotFound, with all that are missing, if one is not there.
func provedIn(dir string, all []clause) error {
	var missing []string
	for _, c := range all {
		for _, t := range c.Tests {
			there, err := hasTest(dir, t)
			if err != nil {
				return err
			}
			if !there {
				missing = append(missing, t)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	told, more := missing, ""
	if n := len(missing) - 5; n > 0 {
		told, more = missing[:5], fmt.Sprintf(" and %d more", n)
	}
	return &problem.Error{
		Kind: problem.NotFound, What: "look up the tests in " + dir,
		Why:  "these are not there: " + strings.Join(told, ", ") + more,
		Hint: "give the source of this very release (holdfast version); in the repository, mend docs/security/requirements.md",
	}
}

// hasTest tells whether the package of a test has it.
func hasTest(dir, test string) (bool, error) {
	folder, name, _ := strings.Cut(test, ".Test")
	function := []byte("\nfunc Test" + name + "(")
	for _, at := range []string{folder, filepath.Join("internal", folder)} {
		files, err := filepath.Glob(filepath.Join(dir, at, "*_test.go"))
		if err != nil {
			return false, fmt.Errorf("look up %s: %w", test, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return false, fmt.Errorf("look up %s: %w", test, err)
			}
			if strings.Contains(string(text), string(function)) {
				return true, nil
			}
		}
	}
	return false, nil
}
