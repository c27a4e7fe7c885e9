package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tries is how often a test that failed has to pass alone.
const tries = 3

// triable tells whether what failed may be chance: few tests, and nothing that a repetition would only hide.
func (s *summary) triable(most int) bool { return !s.fatal && len(s.innermost()) <= most }

// innermost are the failed tests without those that failed only because a subtest did.
func (s *summary) innermost() []key {
	var out []key
	for _, k := range s.failures {
		isParent := func(other key) bool { return other.pkg == k.pkg && strings.HasPrefix(other.test, k.test+"/") }
		if !slices.ContainsFunc(s.failures, isParent) {
			out = append(out, k)
		}
	}
	return out
}

// tryAgain runs each failed test alone. If all of them pass each time, the failures become flaky tests.
func (s *summary) tryAgain(ctx context.Context, args []string, out io.Writer) error {
	failed := s.innermost()
	for _, k := range failed {
		fmt.Fprintf(out, "trying again: %s.%s\n", k.pkg, k.test)
		cmd := exec.CommandContext(ctx, "go", again(args, k)...)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, os.Stderr
		// A subtest whose name is another in each run is not found by it, and has not passed.
		if err := cmd.Run(); err != nil || strings.Count(said.String(), "--- PASS: "+k.test+" (") != tries {
			fmt.Fprint(out, said.String())
			return ctx.Err() // it failed again: it counts as it was
		}
	}
	s.failed, s.badPackages, s.flaky = 0, 0, failed
	return nil
}

// again are the arguments of go test for one test alone: those of the run, without its packages.
func again(args []string, k key) []string {
	full := []string{"test"}
	for i, a := range args {
		isValue := i > 0 && strings.HasPrefix(args[i-1], "-") && !strings.Contains(args[i-1], "=") && args[i-1] != "-race"
		if strings.HasPrefix(a, "-") || isValue {
			full = append(full, a)
		}
	}
	return append(full, "-v", "-count="+strconv.Itoa(tries), "-run", pattern(k.test), k.pkg)
}

// pattern is the expression that go test's -run matches with this test and no other.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
