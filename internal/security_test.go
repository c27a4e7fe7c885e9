package internal

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// demanded are the ids of docs/security/requirements.md.
var demanded = []string{
	"1.1", "1.2", "1.3", "1.4", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "4.1", "4.2", "4.3", "4.4",
	"5.1", "5.2", "5.3", "6.1", "6.2", "7.1", "7.2", "8.1", "8.2", "9.1", "9.2", "10.1", "10.2", "10.3", "10.4",
}

// TestSecurityRequirements: each requirement has one row; a row has what shows it, or says plainly that it is not built, or what is the
// plant's duty; each test that it names is there; and nothing claims to comply.
func TestSecurityRequirements(t *testing.T) {
	tests := testsByPackage(t)
	var ids []string
	for _, row := range tableRows(read(t, "../docs/security/requirements.md")) {
		ids = append(ids, row[0])
		for _, wrong := range wrongRequirement(row, tests) {
			t.Errorf("row %s %s", row[0], wrong)
		}
	}
	if !slices.Equal(ids, demanded) {
		t.Errorf("got the rows %v, want %v", ids, demanded)
	}
	for _, row := range tableRows(read(t, "../docs/security/compliance.md")) {
		for id := range strings.SplitSeq(row[len(row)-1], ", ") {
			if !slices.Contains(demanded, id) {
				t.Errorf("compliance.md leads to row %q, which is not there", id)
			}
		}
	}
	shown := regexp.MustCompile("`([^` ]+[.]Test[A-Za-z0-9]+)`").FindAllStringSubmatch(read(t, "../docs/security/integrity.md"), -1)
	if len(shown) == 0 {
		t.Error("integrity.md names no test")
	}
	for _, n := range shown {
		if !tests[n[1]] {
			t.Errorf("integrity.md names %s, which is not there", n[1])
		}
	}
	for file, text := range documents(t) {
		if regexp.MustCompile(`(?i)\b(is|are|fully) compliant\b`).MatchString(text) {
			t.Errorf("%s claims to be compliant", file)
		}
	}
}

// wrongRequirement says what is wrong with a row of requirements.md: each test that it names is there, and one that names none says that it is not built, and what the plant has to do instead.
func wrongRequirement(row []string, tests map[string]bool) (wrong []string) {
	if len(row) != 5 {
		return []string{fmt.Sprintf("has %d columns, want 5", len(row))}
	}
	named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[3], -1)
	if len(named) == 0 && !strings.Contains(row[2], "**not built**") && !strings.Contains(row[2], "**not whole**") {
		wrong = append(wrong, "names no test, and does not say that it is not built")
	}
	if len(named) == 0 && strings.Trim(row[4], "-– ") == "" {
		wrong = append(wrong, "names neither a test nor the plant's duty")
	}
	for _, n := range named {
		if !tests[n[1]] {
			wrong = append(wrong, "names "+n[1]+", which is not there")
		}
	}
	return wrong
}

// TestAWrongRequirementIsFound: the check of the rows can fail.
func TestAWrongRequirementIsFound(t *testing.T) {
	tests := map[string]bool{"seal.TestSigns": true}
	for _, tt := range []struct {
		name, answer, shown, duty string
		want                      int
	}{
		{"a test", "signatures", "`seal.TestSigns`", "", 0},
		{"a duty", "**not built**", "", "lock the door", 0},
		{"a test that is gone", "signatures", "`seal.TestSigns`, `seal.TestGone`", "lock the door", 1},
		{"a duty alone, of what is said to be built", "signatures", "", "lock the door", 1},
		{"neither", "**not built**", "", "", 1},
		{"neither, by a dash", "**not whole**", "", "–", 1},
		{"nothing at all", "signatures", "", "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := wrongRequirement([]string{"1.1", "text", tt.answer, tt.shown, tt.duty}, tests); len(got) != tt.want {
				t.Errorf("got %q, want %d faults", got, tt.want)
			}
		})
	}
	if got := wrongRequirement([]string{"1.1", "text"}, tests); len(got) != 1 {
		t.Errorf("a row of two columns: got %q", got)
	}
}

// TestComplianceIsMappedInFull: each system requirement of IEC 62443-3-3 has one row with the level that is reached, or is said to be the plant's; and
// what the other standards ask is named.
func TestComplianceIsMappedInFull(t *testing.T) {
	text := read(t, "../docs/security/compliance.md")
	reached := map[string]string{}
	for _, row := range tableRows(text) {
		if id, _, _ := strings.Cut(strings.TrimPrefix(row[0], "SR "), " "); strings.HasPrefix(row[0], "SR ") && len(row) == 4 {
			reached[id] += row[2]
		}
	}
	_, plants, _ := strings.Cut(text, "The plant's alone are ")
	plants, _, _ = strings.Cut(plants, "\n\n")
	level := regexp.MustCompile(`^(SL [1-4]|all|none)\b`)
	for part, n := range []int{13, 12, 9, 3, 4, 2, 8} {
		for i := range n {
			id := fmt.Sprintf("%d.%d", part+1, i+1)
			answered := level.MatchString(reached[id])
			if left := regexp.MustCompile(`\bSR ` + regexp.QuoteMeta(id) + `\b`).MatchString(plants); answered == left {
				t.Errorf("SR %s: reached is %q, and that it is the plant's: %v", id, reached[id], left)
			}
		}
	}
	for _, id := range strings.Fields("AC-2 AC-3 AC-5 AC-6 AC-11 AC-12 AU-2 AU-3 AU-5 AU-6 AU-8 AU-9 AU-10 IA-2 IA-5 IA-8 SC-7 SC-8 SC-12 SC-13 SC-24 SC-28 SI-2 SI-4 SI-7 SI-10 SI-11 " +
		"CP-4 CP-9 CP-10 CP-12 CM-7 CM-8 RA-5 IR-6 SR-3 SR-4 SR-11 11.10(a) 11.10(d) 11.10(e) 11.10(f) 11.10(k) 11.30 11.50 11.70 11.100 11.200 11.300(a) CER NIS2 " +
		"CR 1.14 SAR 2.4 SAR 3.2 SM-6 SM-9 SM-10 SVV-1 SVV-3 DM-1 SUM-1 SG-1 21(2)(a) 21(2)(b) 21(2)(c) 21(2)(d) 21(2)(e) 21(2)(f) 21(2)(h) 21(2)(i)") {
		if !regexp.MustCompile(`(^|[^-.\w])` + regexp.QuoteMeta(id) + `($|[^\d])`).MatchString(text) {
			t.Errorf("compliance.md does not name %s", id)
		}
	}
}

// TestASVS: each item of OWASP ASVS has one row, in order; a row names tests that are there, or says that it is not built, or not shown.
func TestASVS(t *testing.T) {
	tests := testsByPackage(t)
	var last [3]int
	chapters := map[int]bool{}
	rows := tableRows(read(t, "../docs/security/asvs.md"))
	for _, row := range rows {
		var id [3]int
		for i, n := range strings.Split(row[0], ".") {
			id[min(i, 2)], _ = strconv.Atoi(n)
		}
		if slices.Compare(id[:], last[:]) <= 0 || len(row) != 4 {
			t.Errorf("row %s does not follow %v, or has not four columns", row[0], last)
		}
		last = id
		named := regexp.MustCompile("`([^` ]+[.]Test[A-Za-z0-9]+)`").FindAllStringSubmatch(row[3], -1)
		if len(named) == 0 && !strings.Contains(row[2], "**not built**") && !strings.Contains(row[2], "**not shown**") {
			t.Errorf("row %s names no test, and does not say that it is not built or not shown", row[0])
		}
		for _, n := range named {
			if !tests[n[1]] {
				t.Errorf("row %s names %s, which is not there", row[0], n[1])
			}
		}
		chapters[id[0]] = true
	}
	if len(rows) < 180 || len(chapters) != 16 {
		t.Errorf("there are %d rows of %d chapters, want those of all but WebRTC's", len(rows), len(chapters))
	}
}

// TestConsoleRequirements: each of the fifteen requirements of the console has one row that names tests which are there, and says what is missing.
func TestConsoleRequirements(t *testing.T) {
	requirements(t, "../docs/operating.md", "## What the console is held to", 15)
}

// TestMappingRequirements: so have the ten of mappings.
func TestMappingRequirements(t *testing.T) {
	requirements(t, "../docs/mapping-guide.md", "## What mappings are held to", 10)
}

func requirements(t *testing.T, file, heading string, want int) {
	t.Helper()
	tests := testsByPackage(t)
	_, text, _ := strings.Cut(read(t, file), heading)
	text, _, _ = strings.Cut(text, "\n## ")
	n := 0
	for _, row := range tableRows(text) {
		n++
		if len(row) != 4 || row[0] != strconv.Itoa(n) {
			t.Errorf("row %v: want the number %d and 4 columns", row, n)
			continue
		}
		named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1)
		if len(named) == 0 && !strings.Contains(row[3], "**not shown**") {
			t.Errorf("row %d names no test, and does not say that it is not shown", n)
		}
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("row %d names %s, which is not there", n, m[1])
			}
		}
	}
	if n != want {
		t.Errorf("got %d rows, want %d", n, want)
	}
}

// tableRows are the rows of all tables of a document, without heads.
func tableRows(text string) [][]string {
	var rows [][]string
	head := true
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			head = true
		case strings.HasPrefix(line, "|---"):
			head = false
		case !head:
			var row []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				row = append(row, strings.TrimSpace(cell))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// testsByPackage are all tests, as package.Test: the package by its folder, below internal without that.
func testsByPackage(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, s := range append(tree(t), others(t)...) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.isTest() && f.Recv == nil {
				all[strings.TrimPrefix(s.pkg, "internal/")+"."+f.Name.Name] = true
			}
		}
	}
	return all
}

// others are the tests outside of the product's own folders.
func others(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, file := range []string{"../deploy/deploy_test.go", "../deploy/grafana_test.go", "../tools/bill/main_test.go"} {
		all = append(all, parse(t, file, nil))
	}
	return all
}
