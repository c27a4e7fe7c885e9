// Command bill holds the bill of materials of a program against the program, and its licences against those that are allowed.
//
//	bill -bill FILE.cdx.json -program FILE -licences FILE [-list FILE]
//
// With -list it writes a line for each module: path, version and licences.
// It fails if a module is in one and not in the other, if a licence is not allowed or not known, and if a rule of the licences' file
// serves for nothing. The file has a rule a line: "allow LICENCE", "module PATH LICENCE" where the licence was found by eye, and "never PATH"
// for what must not be in the program.
package main

import (
	"bufio"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	bill := flag.String("bill", "", "a CycloneDX bill of materials, as JSON")
	program := flag.String("program", "", "the program that it is of")
	licences := flag.String("licences", "", "which licences are allowed")
	list := flag.String("list", "", "where to write each module with its licences")
	flag.Parse()
	if err := check(*bill, *program, *licences, *list, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(bill, program, licences, list string, out io.Writer) error {
	listed, err := readBill(bill)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read what %s was built of: %w", program, err)
	}
	r, err := readRules(licences)
	if err != nil {
		return err
	}
	errs := compare(listed, built(info))
	for path := range listed {
		if r.never[path] {
			errs = append(errs, fmt.Errorf("module %s must not be in the program", path))
		}
	}
	errs = append(errs, r.judge(listed)...)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if list != "" {
		if err := os.WriteFile(list, r.list(listed), 0o644); err != nil {
			return fmt.Errorf("write the list of licences: %w", err)
		}
	}
	fmt.Fprintf(out, "%d modules, as in the program; %s\n", len(listed), r.count(listed))
	return nil
}

// module is one line of a bill.
type module struct {
	version  string
	licences []string
}

func readBill(file string) (map[string]module, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read a bill of materials: %w", err)
	}
	type found struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	var doc struct {
		Components []struct {
			Name     string  `json:"name"`
			Version  string  `json:"version"`
			Licenses []found `json:"licenses"`
			Evidence struct {
				Licenses []found `json:"licenses"`
			} `json:"evidence"`
		} `json:"components"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read bill of materials %s: %w", file, err)
	}
	all := map[string]module{}
	for _, c := range doc.Components {
		m := module{version: c.Version}
		for _, f := range append(c.Licenses, c.Evidence.Licenses...) {
			if f.License.ID != "" && !slices.Contains(m.licences, f.License.ID) {
				m.licences = append(m.licences, f.License.ID)
			}
		}
		all[c.Name] = m
	}
	return all, nil
}

// built are the modules of a program, the standard library among them.
func built(info *buildinfo.BuildInfo) map[string]string {
	all := map[string]string{"std": info.GoVersion}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		all[d.Path] = d.Version
	}
	return all
}

func compare(listed map[string]module, built map[string]string) []error {
	var errs []error
	for path, m := range listed {
		if v, ok := built[path]; !ok || v != m.version {
			errs = append(errs, fmt.Errorf("module %s %s stands in the bill; the program has %q", path, m.version, v))
		}
	}
	for path, v := range built {
		if _, ok := listed[path]; !ok {
			errs = append(errs, fmt.Errorf("module %s %s is in the program and not in the bill", path, v))
		}
	}
	return errs
}

// rules say which licences are allowed.
type rules struct {
	allowed map[string]bool
	known   map[string]string // licences found by eye, by module
	never   map[string]bool
}

func readRules(file string) (rules, error) {
	r := rules{map[string]bool{}, map[string]string{}, map[string]bool{}}
	f, err := os.Open(file)
	if err != nil {
		return r, fmt.Errorf("read the licences that are allowed: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		switch words := strings.Fields(text); {
		case len(words) == 0:
		case len(words) == 2 && words[0] == "allow":
			r.allowed[words[1]] = true
		case len(words) == 2 && words[0] == "never":
			r.never[words[1]] = true
		case len(words) == 3 && words[0] == "module":
			r.known[words[1]] = words[2]
		default:
			return r, fmt.Errorf("%s:%d: %q is no rule: write allow LICENCE, module PATH LICENCE or never PATH", file, n, text)
		}
	}
	return r, lines.Err()
}

// of are the licences of a module.
func (r rules) of(path string, m module) []string {
	if l, ok := r.known[path]; ok {
		return []string{l}
	}
	return m.licences
}

func (r rules) judge(listed map[string]module) []error {
	var errs []error
	for path, m := range listed {
		all := r.of(path, m)
		if len(all) == 0 {
			errs = append(errs, fmt.Errorf("module %s: its licence was not recognised: read it, and write a line \"module %s LICENCE\"", path, path))
		}
		for _, l := range all {
			if !r.allowed[l] {
				errs = append(errs, fmt.Errorf("module %s: its licence %s is not allowed", path, l))
			}
		}
	}
	for path := range r.known {
		if _, ok := listed[path]; !ok {
			errs = append(errs, fmt.Errorf("module %s is not in the program any more: take its licence out of the list", path))
		}
	}
	return errs
}

// list has a line for each module, in the order of their paths.
func (r rules) list(listed map[string]module) []byte {
	var b []byte
	for _, path := range slices.Sorted(maps.Keys(listed)) {
		b = fmt.Appendf(b, "%s %s %s\n", path, listed[path].version, strings.Join(r.of(path, listed[path]), " and "))
	}
	return b
}

// count tells how many modules have which licence.
func (r rules) count(listed map[string]module) string {
	n := map[string]int{}
	for path, m := range listed {
		n[strings.Join(r.of(path, m), " and ")]++
	}
	var parts []string
	for _, l := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", l, n[l]))
	}
	return strings.Join(parts, ", ")
}
