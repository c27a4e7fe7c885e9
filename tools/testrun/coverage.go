package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// statements counts those of one package that exist and that some test ran.
type statements struct{ all, ran int }

// percent is the share that ran, 0 for a package without statements: such a
// package was named wrongly or was not built.
func (s statements) percent() float64 {
	if s.all == 0 {
		return 0
	}
	return 100 * float64(s.ran) / float64(s.all)
}

// readProfile sums a coverage profile by package. With -coverpkg a block stands
// there once for each test program; it ran if it ran in any of them.
func readProfile(in io.Reader) (map[string]statements, error) {
	type block struct {
		pkg string
		n   int
		ran bool
	}
	blocks := map[string]block{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "mode:") {
			continue
		}
		var at string
		var n, count int
		if _, err := fmt.Sscan(lines.Text(), &at, &n, &count); err != nil {
			return nil, fmt.Errorf("read coverage line %q: %w", lines.Text(), err)
		}
		file, _, _ := strings.Cut(at, ":")
		blocks[at] = block{path.Dir(file), n, count > 0 || blocks[at].ran}
	}
	sums := map[string]statements{}
	for _, b := range blocks {
		s := sums[b.pkg]
		s.all += b.n
		if b.ran {
			s.ran += b.n
		}
		sums[b.pkg] = s
	}
	return sums, lines.Err()
}

// printCoverage prints the coverage of the packages asked for; false means that
// one of them is below the minimum.
func printCoverage(o options, out io.Writer) (bool, error) {
	f, err := os.Open(o.profile)
	if err != nil {
		return false, fmt.Errorf("read the coverage of the last run: %w (make test writes it)", err)
	}
	defer f.Close()
	sums, err := readProfile(f)
	if err != nil {
		return false, err
	}
	ok := true
	for _, name := range o.cover {
		p := sums["holdfast/"+strings.TrimPrefix(name, "./")].percent()
		note := ""
		if p < o.min {
			note, ok = fmt.Sprintf("  below %.0f %%", o.min), false
		}
		fmt.Fprintf(out, "coverage: %-18s %5.1f %%%s\n", strings.TrimPrefix(name, "./"), p, note)
	}
	return ok, nil
}
