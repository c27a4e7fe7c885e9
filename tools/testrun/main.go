// Command testrun runs "go test" and never hides how it ended.
//
//	testrun [flags] -- [go test flags and packages]
//
// It prints what go test prints: the line of each package, and everything that
// a failed test said. At the end it names every skipped test with its reason
// in one line for each reason, the coverage of the packages asked for, and one
// closing line with counts. Its exit status is 1 if a test failed or nothing
// ran, if coverage is below the minimum, and, with -no-skip, if a test was skipped.
//
// With -again N a failure of at most N tests is held against chance: each of them runs three times more, alone. If all of these pass
// the run counts, and its last lines name the test as flaky, to be mended. A data race, a panic, a time limit and what does not build are
// never tried again.
// Without "--" it runs nothing and only judges the coverage profile of the last run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// options are what a run is asked for.
type options struct {
	noSkip  bool
	again   int // how many tests that failed are tried again
	profile string
	cover   []string // packages whose coverage is printed, as ./internal/store
	min     float64  // percent that each of cover must reach; 0 asks for nothing
}

// run does what the arguments say; false means that the run must count as failed.
func run(ctx context.Context, args []string, out io.Writer) (bool, error) {
	var o options
	var cover string
	flags := flag.NewFlagSet("testrun", flag.ContinueOnError)
	flags.BoolVar(&o.noSkip, "no-skip", false, "a skipped test fails the run")
	flags.IntVar(&o.again, "again", 0, "how many failed tests run three times more before they count as failed")
	flags.StringVar(&o.profile, "profile", "coverage.txt", "the coverage profile to write and read")
	flags.StringVar(&cover, "cover", "", "packages whose coverage is printed, separated by commas")
	flags.Float64Var(&o.min, "min", 0, "percent of statements that each of them must reach")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if cover != "" {
		o.cover = strings.Split(cover, ",")
	}
	ok := true
	if test, found := afterDashes(args); found {
		var err error
		if ok, err = goTest(ctx, o, test, out); err != nil {
			return false, err
		}
	}
	if len(o.cover) == 0 {
		return ok, nil
	}
	covered, err := printCoverage(o, out)
	return ok && covered, err
}

// afterDashes returns what follows "--".
func afterDashes(args []string) ([]string, bool) {
	for i, a := range args {
		if a == "--" {
			return args[i+1:], true
		}
	}
	return nil, false
}

// goTest runs go test and prints its events as a person wants them.
func goTest(ctx context.Context, o options, args []string, out io.Writer) (bool, error) {
	full := []string{"test", "-json"}
	if len(o.cover) > 0 {
		full = append(full, "-coverprofile="+o.profile, "-coverpkg="+strings.Join(o.cover, ","))
	}
	cmd := exec.CommandContext(ctx, "go", append(full, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	sum, readErr := read(pipe, out)
	waitErr := cmd.Wait()
	if readErr != nil {
		return false, readErr
	}
	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) {
		return false, waitErr
	}
	if sum.failed > 0 && sum.triable(o.again) {
		if err := sum.tryAgain(ctx, args, out); err != nil {
			return false, err
		}
	}
	sum.print(out)
	return sum.ok(o.noSkip) && (waitErr == nil || len(sum.flaky) > 0), nil
}
