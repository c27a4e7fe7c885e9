package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is one line of "go test -json"; see go doc test2json.
type event struct {
	Action     string
	Package    string
	Test       string
	Output     string
	ImportPath string
}

// skip is one test that did not run.
type skip struct{ pkg, test, reason string }

// summary is what a whole run came to. Tests are counted with their subtests.
type summary struct {
	passed, failed int
	badPackages    int
	skips          []skip
	failures       []key
	flaky          []key // failed, and passed each time when they were tried again
	fatal          bool  // a data race, a panic or what does not build: nothing that is tried again
}

// key names one test of one package; a package itself has an empty test.
type key struct{ pkg, test string }

// read prints the events of one run to out and sums them up.
func read(in io.Reader, out io.Writer) (*summary, error) {
	sum := &summary{}
	said := map[key][]string{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(out, "%s", line) // not an event: go itself speaks
			} else {
				sum.take(e, said, out)
			}
		}
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, fmt.Errorf("read the output of go test: %w", err)
		}
	}
}

// take handles one event. What a test says is kept until it is known to have failed.
func (s *summary) take(e event, said map[key][]string, out io.Writer) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "output":
		if e.Test == "" {
			s.fatal = s.fatal || strings.HasPrefix(e.Output, "WARNING: DATA RACE") || strings.HasPrefix(e.Output, "panic:")
			printPackageLine(out, e.Output)
			return
		}
		said[k] = append(said[k], e.Output)
	case "pass", "skip", "fail":
		s.end(e, said[k], out)
		delete(said, k)
	}
}

// end counts a test or a package that ended, and prints what a failed one said.
func (s *summary) end(e event, said []string, out io.Writer) {
	switch {
	case e.Test == "" && e.Action == "fail":
		s.badPackages++
		s.fatal = s.fatal || !slices.ContainsFunc(s.failures, func(k key) bool { return k.pkg == e.Package })
	case e.Test == "":
	case e.Action == "pass":
		s.passed++
	case e.Action == "skip":
		s.skips = append(s.skips, skip{e.Package, e.Test, reason(said)})
	default:
		s.failed++
		s.failures = append(s.failures, key{e.Package, e.Test})
		whole := strings.Join(said, "")
		s.fatal = s.fatal || strings.Contains(whole, "DATA RACE") || strings.Contains(whole, "panic:")
		fmt.Fprint(out, whole)
	}
}

var coverageNote = regexp.MustCompile(`\s+coverage: .*`)

// printPackageLine prints what go test says about a package, without the
// coverage of all the others that stands behind it.
func printPackageLine(out io.Writer, line string) {
	switch {
	case line == "PASS\n", strings.HasPrefix(line, "coverage: "):
	case strings.HasPrefix(line, "ok "), strings.HasPrefix(line, "\t"):
		fmt.Fprintln(out, strings.TrimRight(coverageNote.ReplaceAllString(line, ""), "\n"))
	default:
		fmt.Fprint(out, line)
	}
}

var skipPlace = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// foreign are skips that are not ours. Watermill's suite skips what a queue, unlike a log, does not claim to do, and here its restarts,
// which race in themselves: "make conformance" runs them without the race detector.
var foreign = regexp.MustCompile(`^TestWatermillConformance/(TestNewSubscriberReceivesOldMessages|TestReconnect)/`)

// reason finds why a test was skipped: the last line that it logged.
func reason(said []string) string {
	for _, line := range slices.Backward(said) {
		if at := skipPlace.FindString(line); at != "" {
			return strings.TrimSpace(line[len(at):])
		}
	}
	return "no reason given"
}

// ok says whether the run counts as passed: something ran and nothing failed.
func (s *summary) ok(noSkip bool) bool {
	if s.failed > 0 || s.badPackages > 0 || s.passed == 0 {
		return false
	}
	return !noSkip || !slices.ContainsFunc(s.skips, func(k skip) bool { return !foreign.MatchString(k.test) })
}

// print says which tests were skipped, one line for each reason, and the counts.
func (s *summary) print(out io.Writer) {
	byReason := map[string][]string{}
	for _, k := range s.skips {
		byReason[k.reason] = append(byReason[k.reason], strings.TrimPrefix(k.pkg, "holdfast/")+"."+k.test)
	}
	reasons := make([]string, 0, len(byReason))
	for r := range byReason {
		reasons = append(reasons, r)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		return cmp.Or(len(byReason[b])-len(byReason[a]), strings.Compare(a, b))
	})
	fmt.Fprintln(out)
	if len(reasons) == 0 {
		fmt.Fprintln(out, "skipped: nothing")
	}
	for _, r := range reasons {
		fmt.Fprintf(out, "skipped: %d (%s): %s\n", len(byReason[r]), r, strings.Join(byReason[r], " "))
	}
	if s.badPackages > 0 {
		fmt.Fprintf(out, "failed packages: %d\n", s.badPackages)
	}
	for _, k := range s.flaky {
		fmt.Fprintf(out, "flaky: %s.%s failed, and passed %d times when it ran alone: mend it\n", strings.TrimPrefix(k.pkg, "holdfast/"), k.test, tries)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, len(s.skips))
}
