package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/internal/seal"
)

// mappingTestFlags say how mapping test goes about it.
type mappingTestFlags struct {
	update         bool
	fuzz, coverage int
	seed           uint64
	against, form  string
}

func mappingTest() *cobra.Command {
	f := mappingTestFlags{form: "text"}
	cmd := &cobra.Command{
		Use:   "test [MAPPING…]",
		Short: "Map the examples beside the mappings, and compare; exits 1 if one differs",
		Long: "Test maps each example in NAME.example.yaml and shows every difference. It holds each document against the contract of the link that a\n" +
			"route sends it to, and says which rules, branches and rows no example uses. --update takes what was made as what is expected.",
		Example: "  holdfast mapping test\n  holdfast mapping test mine/operation.confirmed --update\n  holdfast mapping test --fuzz 200 --format junit",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return inWorkshop(cmd, func(ctx context.Context, w *workshop) error { return w.test(ctx, cmd.OutOrStdout(), f, args) })
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.update, "update", false, "write what was made into the plant's own files of examples; look at it before you keep it")
	fl.IntVar(&f.fuzz, "fuzz", 0, "map so many messages too that are made up from the type of the source")
	fl.Uint64Var(&f.seed, "seed", 1, "of what is made up")
	fl.IntVar(&f.coverage, "min-coverage", 0, "fail if the examples of a mapping use less of it (percent)")
	fl.StringVar(&f.against, "against", "", "mock: send each document to a mock of its ERP, and show what the contract has against it")
	fl.StringVar(&f.form, "format", "text", "text, json or junit")
	return cmd
}

// mostMadeUp bounds --fuzz: with more a slip of the finger would run for days.
const mostMadeUp = 1_000_000

func (w *workshop) test(ctx context.Context, out io.Writer, f mappingTestFlags, names []string) (err error) {
	if f.fuzz < 0 || f.fuzz > mostMadeUp {
		return &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("make up %d messages", f.fuzz), Why: fmt.Sprintf("0 to %d are", mostMadeUp), Hint: "write --fuzz 200"}
	}
	check, without := w.fits, []mapping.Case(nil)
	if f.against != "" {
		if f.against != "mock" {
			return &problem.Error{Kind: problem.Invalid, What: "test against " + f.against, Why: "there is only mock", Hint: "write --against mock"}
		}
		mocks, stop, err := w.mocks(ctx)
		if err != nil {
			return err
		}
		defer stop()
		without = w.withoutMock(mocks, names)
		check = func(name string, e mapping.Example, m mapping.Made) []string { return w.sent(ctx, mocks, name, e, m) }
	}
	if f.against != "" || f.fuzz > 0 {
		check = w.contracted(check)
	}
	report, err := w.rules.Test(ctx, mapping.TestConfig{Check: check, Document: w.document, Fuzz: f.fuzz, Seed: f.seed}, names...)
	if err != nil {
		return err
	}
	if f.against != "" || f.fuzz > 0 {
		report.Cases = append(report.Cases, append(w.unchecked(names), without...)...)
	}
	if f.update {
		if err := w.update(out, report); err != nil {
			return err
		}
	}
	if report.Require(f.coverage); f.update && report.OK() {
		return nil
	}
	return errors.Join(writeMappingReport(out, report, f.form), exitUnless(report.OK()))
}

func writeMappingReport(w io.Writer, r mapping.Report, form string) error {
	switch form {
	case "text":
		return r.WriteText(w)
	case "json":
		return printJSON(w, r)
	case "junit":
		return r.WriteJUnit(w)
	}
	return &problem.Error{Kind: problem.Invalid, What: "print the report", Why: form + " is no format", Hint: "choose text, json or junit"}
}

// update writes the examples of the plant's own mappings anew where something differs. One that stands in the place of a shipped mapping is given
// the shipped examples, with what it makes. What was written differs no more; what cannot be written, and what fails in another way, still fails.
func (w *workshop) update(out io.Writer, r mapping.Report) error {
	written := 0
	for _, name := range w.rules.Names() {
		text, err := r.Updated(name)
		if err != nil {
			return err
		}
		file := filepath.Join(w.cfg.Mappings, filepath.FromSlash(name)+".example.yaml")
		_, errOwn := os.Stat(filepath.Join(w.cfg.Mappings, filepath.FromSlash(name)+".yaml"))
		old, errRead := os.ReadFile(file)
		if text == nil || errRead != nil && (errOwn != nil || !errors.Is(errRead, fs.ErrNotExist)) || bytes.Equal(old, text) {
			continue // nothing differs, or it is a shipped one
		}
		if err := save(file, text); err != nil {
			return err
		}
		for i := range r.Cases {
			if r.Cases[i].Mapping == name {
				r.Cases[i].Differences = nil
			}
		}
		written++
		fmt.Fprintf(out, "wrote %s\n", file)
	}
	return sentence(out, "%s; look at what has changed before you keep it", count(written, "file of examples was written", "files of examples were written"))
}

// unchecked are cases that fail because there is no contract to hold a mapping against: of those named, or of all that are used.
func (w *workshop) unchecked(names []string) (out []mapping.Case) {
	of := names
	if len(of) == 0 {
		of = w.rules.Names()
	}
	for _, m := range w.cfg.unheld(w.rules, w.links, of) {
		out = append(out, mapping.Case{Mapping: m.mapping, Name: "the contract of link " + m.link, Errors: []string{"nothing was checked: " + m.Why + "; " + m.Hint}})
	}
	for _, name := range names {
		if look, _ := w.rules.Look(name); !look.Own && len(w.cfg.usersOf(w.rules, name)) == 0 && len(knowing(look, w.links)) == 0 {
			out = append(out, mapping.Case{Mapping: name, Name: "the contract", Errors: []string{
				"nothing was checked: no link of the configuration has a contract that knows " + cmp.Or(look.Document, look.Target),
			}})
		}
	}
	return out
}

// withoutMock are cases that fail because no mock was there that could have judged a mapping: of those named, or of all that send to a link.
func (w *workshop) withoutMock(mocks map[string]link, names []string) (out []mapping.Case) {
	if len(names) == 0 {
		names = w.rules.Names()
	}
	for _, name := range names {
		look, _ := w.rules.Look(name)
		if look.Inbound {
			continue
		}
		for _, to := range w.destinations(name, look.Kind) {
			if _, ok := mocks[to]; ok {
				continue
			}
			why := "no mock can judge it: there is none of a link of kind " + w.cfg.Links[to].Kind
			out = append(out, mapping.Case{Mapping: name, Name: "the mock of link " + to, Errors: []string{why + "; without --against mock it is held against what describes its target"}})
		}
	}
	return out
}

// contracted adds to a check of the plant's own mappings that there is a link to hold what they make against.
func (w *workshop) contracted(check func(string, mapping.Example, mapping.Made) []string) func(string, mapping.Example, mapping.Made) []string {
	return func(name string, e mapping.Example, m mapping.Made) []string {
		if look, _ := w.rules.Look(name); look.Own && len(w.destinations(name, e.Kind)) == 0 {
			return []string{"no link of the configuration has a contract that knows " + m.Target + ", so that there is nothing to hold it against"}
		}
		return check(name, e, m)
	}
}

// destinations are the links that a route sends the messages of a mapping to or, of one of the plant's own that nothing reaches yet, those
// whose contract knows its target.
func (w *workshop) destinations(name, kind string) []string {
	var out []string
	for _, r := range w.cfg.Routes {
		if r.takes(kind) && w.rules.Name(r.Mapping, kind) == name && !slices.Contains(out, r.Link) {
			out = append(out, r.Link)
		}
	}
	if look, _ := w.rules.Look(name); len(out) == 0 && look.Own {
		return knowing(look, w.links)
	}
	return out
}

// document is the type of what a mapping in takes, by the contract of a link that it is for; nil where none knows it.
func (w *workshop) document(name string) *schema.Type {
	look, ok := w.rules.Look(name)
	if !ok || !look.Inbound {
		return nil
	}
	links := w.cfg.usersOf(w.rules, name)
	if len(links) == 0 && look.Own {
		links = knowing(look, w.links)
	}
	for _, link := range links {
		if c, ok := w.links[link].(mapping.Contract); ok {
			if t, known := c.DocumentType(look.Document); known {
				return t
			}
		}
	}
	return nil
}

// delivery is an example on its way.
func delivery(of message.Message, m mapping.Made) (message.Delivery, error) {
	v, err := message.Verify(context.Background(), seal.Chain(of.Digest()), of)
	return message.Delivery{Event: v, Doc: message.Document{Mapping: m.Version, Target: m.Target, Params: m.Params, Body: m.Body}}, err
}

// fits holds what was made against the contracts of the links that it would go to, and sends nothing.
func (w *workshop) fits(name string, e mapping.Example, m mapping.Made) []string {
	return w.holds(name, e.Message(), m)
}

// holds is fits of any message.
func (w *workshop) holds(name string, of message.Message, m mapping.Made) (wrong []string) {
	for _, to := range w.destinations(name, of.Kind) {
		wrong = append(wrong, w.fitsLink(to, of, m)...)
	}
	return wrong
}

func (w *workshop) fitsLink(to string, of message.Message, m mapping.Made) []string {
	l, ok := w.links[to].(fitter)
	if !ok {
		return nil
	}
	d, err := delivery(of, m)
	if err == nil {
		err = l.Fits(d)
	}
	return against(to, err)
}

// against says what a link's contract has against a document, one line each.
func against(link string, err error) (wrong []string) {
	if err == nil {
		return nil
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || len(p.Fields) == 0 {
		return []string{"link " + link + ": " + err.Error()}
	}
	for _, f := range p.Fields {
		wrong = append(wrong, fmt.Sprintf("link %s: %s: %s", link, f.Pointer, f.Why))
	}
	return wrong
}

// sent sends what was made to the mocks of the links that it would go to. That the mock has no such order is no fault of the mapping; what the
// contract has against the request is.
func (w *workshop) sent(ctx context.Context, mocks map[string]link, name string, e mapping.Example, m mapping.Made) (wrong []string) {
	for _, to := range w.destinations(name, e.Kind) {
		l, ok := mocks[to]
		if !ok { // IDocs and events: what is described is all that there is to hold them against
			wrong = append(wrong, w.fitsLink(to, e.Message(), m)...)
			continue
		}
		d, err := delivery(e.Message(), m)
		if err != nil {
			return []string{err.Error()}
		}
		o := l.Deliver(ctx, []message.Delivery{d})[0]
		if p, ok := errors.AsType[*problem.Error](o.Err); o.Verdict == message.Refused && ok && len(p.Fields) == 0 {
			continue
		}
		wrong = append(wrong, against(to, o.Err)...)
	}
	return wrong
}
