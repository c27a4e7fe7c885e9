package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// TestConfig says how Test goes about it.
type TestConfig struct {
	// Check holds what was made against the ERP's contract, and says what is wrong with it. It may be nil.
	Check func(name string, e Example, m Made) []string
	// Document is the type of what a mapping in takes, nil where it is not known. It may be nil.
	Document func(name string) *schema.Type
	// Fuzz is how many messages are made up for each mapping whose source is known.
	Fuzz int
	// Seed is of what is made up; the same one makes the same.
	Seed uint64
}

// Report is what came of testing mappings.
type Report struct {
	Cases    []Case     `json:"cases"`
	Coverage []Coverage `json:"coverage"`
}

// Case is one example, or all the messages made up for one mapping.
type Case struct {
	Mapping     string       `json:"mapping"`
	Name        string       `json:"name"`
	Place       string       `json:"place,omitempty"`
	Differences []Difference `json:"differences,omitempty"`
	Errors      []string     `json:"errors,omitempty"`
	// MadeUp are the made-up messages of the case, of which Mapped became a document and Refused were refused by a rule, in words; a condition
	// of the mapping left out the others.
	MadeUp  int `json:"made_up,omitempty"`
	Mapped  int `json:"mapped,omitempty"`
	Refused int `json:"refused,omitempty"`
	// Untried says why no message was made up, where that was not asked for by the mapping's name.
	Untried string `json:"untried,omitempty"`

	refusal string // the last one of a made-up message
	example Example
	made    Made
	back    Made
}

// OK tells whether the case is as it should be.
func (c Case) OK() bool { return len(c.Differences) == 0 && len(c.Errors) == 0 }

// Coverage is what the examples of a mapping use of it.
type Coverage struct {
	Mapping string   `json:"mapping"`
	Parts   int      `json:"parts"` // rules, conditions, sides of choices, defaults and rows of tables
	Used    int      `json:"used"`
	Unused  []string `json:"unused,omitempty"`
}

// Percent is how much is used.
func (c Coverage) Percent() int {
	if c.Parts == 0 {
		return 100
	}
	return 100 * c.Used / c.Parts
}

// OK tells whether every case is as it should be.
func (r Report) OK() bool { return !slices.ContainsFunc(r.Cases, func(c Case) bool { return !c.OK() }) }

// Require adds a case that fails for each mapping of which the examples use less than so many percent.
func (r *Report) Require(least int) {
	for _, c := range r.Coverage {
		if c.Percent() < least {
			r.Cases = append(r.Cases, Case{Mapping: c.Mapping, Name: "coverage", Errors: []string{
				fmt.Sprintf("its examples use %d %% of it, and %d %% are asked for: add examples of what none uses", c.Percent(), least),
			}})
		}
	}
}

// Test maps the examples beside mappings and compares; with none named, those of all.
func (s *Set) Test(ctx context.Context, cfg TestConfig, names ...string) (Report, error) {
	var r Report
	if cfg.Document != nil {
		cfg.Document = once(cfg.Document)
		ctx = Reading(ctx, func(_, name, _ string) *schema.Type { return cfg.Document(name) })
	}
	named := len(names) > 0
	if !named {
		names = s.Names()
	}
	for _, name := range names {
		m := s.byName[name]
		if m == nil {
			_, err := s.find(name, "")
			return r, err
		}
		examples, err := s.Examples(name)
		if err != nil {
			return r, err
		}
		o, source := &observer{}, m.source
		if m.inbound && cfg.Document != nil {
			source = cfg.Document(name)
		}
		for _, e := range examples {
			c := s.example(ctx, m, e, o, cfg)
			for _, wrong := range m.impossible(e, source) {
				c.Errors = append(c.Errors, wrong.Error())
			}
			r.Cases = append(r.Cases, c)
		}
		if cfg.Fuzz > 0 && source != nil && !m.whole {
			r.Cases = append(r.Cases, s.fuzz(ctx, m, source, examples, cfg))
		} else if cfg.Fuzz > 0 && source == nil && !m.inbound {
			r.Cases = append(r.Cases, untried(m, named))
		}
		r.Coverage = append(r.Coverage, m.covered(o))
	}
	return r, nil
}

// untried is the case of a mapping for which nothing can be made up. It fails where somebody has asked for it by name.
func untried(m *mapping, named bool) Case {
	c := Case{Mapping: m.name, Name: "made-up messages"}
	why := "nothing was made up: " + m.kind + " is no kind of the plant's own messages, and nothing is known of its fields; write examples beside the mapping"
	if named {
		c.Errors = []string{why}
	} else {
		c.Untried = why
	}
	return c
}

// once asks for each type once, since a contract is read for it.
func once(document func(name string) *schema.Type) func(name string) *schema.Type {
	known := map[string]*schema.Type{}
	return func(name string) *schema.Type {
		if _, asked := known[name]; !asked {
			known[name] = document(name)
		}
		return known[name]
	}
}

func (s *Set) example(ctx context.Context, m *mapping, e Example, o *observer, cfg TestConfig) Case {
	c := Case{Mapping: m.name, Name: e.Name, Place: e.Place(), example: e}
	made, err := s.try(ctx, m.name, e.Message(), e.Resolve, o)
	if err != nil {
		c.Errors = append(c.Errors, err.Error())
		return c
	}
	c.made = made
	c.Differences = e.against(made)
	if e.Back != nil && made.Waits == "" && !made.LeftOut {
		var wrong []Difference
		if c.back, wrong, err = s.comeBack(ctx, e, made); err != nil {
			c.Errors = append(c.Errors, err.Error())
			return c
		}
		c.Differences = append(c.Differences, wrong...)
	}
	c.Errors = m.wrong(e, made, cfg, nil)
	return c
}

// wrong is what the other side has against what was made: the plant's own types, of what comes in, or the ERP's contract. free are texts that are made up, and
// of which the ERP does not say what they look like: one that is passed on as it came says nothing of the mapping.
func (m *mapping) wrong(e Example, made Made, cfg TestConfig, free map[string]bool) []string {
	switch {
	case made.Waits != "" || made.LeftOut:
		return nil
	case !m.inbound && cfg.Check != nil:
		return cfg.Check(m.name, e, made)
	case !m.inbound || m.whole:
		return nil
	}
	t := PlantType(made.Kind, m.makes)
	if t == nil {
		return nil
	}
	v, err := contract.Decode(made.Body)
	if err != nil {
		return []string{err.Error()}
	}
	wrong := against(t, v, free)
	for i := range wrong {
		wrong[i] = made.Kind + wrong[i]
	}
	return wrong
}

func (m *mapping) covered(o *observer) Coverage {
	c := Coverage{Mapping: m.name}
	for _, p := range m.parts() {
		if c.Parts++; o.used[p] {
			c.Used++
		} else {
			c.Unused = append(c.Unused, p)
		}
	}
	rows, used, unused := m.rows(o)
	c.Parts, c.Used, c.Unused = c.Parts+rows, c.Used+used, append(c.Unused, unused...)
	return c
}

// maxShown bounds how many failures of made-up messages are told.
const maxShown = 5

// leastTried is how many made-up messages say something of a mapping that takes none of them.
const leastTried = 20

// fuzz maps messages that are made up from the type of the source. A mapping may refuse one, in words; what it makes must fit.
// Every other one is tame, so that most mappings take some.
func (s *Set) fuzz(ctx context.Context, m *mapping, source *schema.Type, examples []Example, cfg TestConfig) Case {
	c := Case{Mapping: m.name, Name: fmt.Sprintf("%d made-up messages, seed %d", cfg.Fuzz, cfg.Seed)}
	g := forMapping(cfg.Seed, m, examples)
	g.units = s.base.units.codes(g.words)
	for i := range cfg.Fuzz {
		if ctx.Err() != nil {
			c.Errors = append(c.Errors, fmt.Sprintf("it was ended after %d of %d", i, cfg.Fuzz))
			return c
		}
		g.tame, g.free = i%2 == 0, map[string]bool{}
		e := Example{Name: fmt.Sprintf("made up %d", i+1), Kind: m.kind, Body: string(g.document(source))}
		made, err := s.Try(ctx, m.name, e.Message(), g.refs)
		var wrong []string
		switch p, ok := errors.AsType[*problem.Error](err); {
		case ok && p.Kind == problem.Invalid:
			c.Refused++
			c.refusal = p.Why
		case err != nil:
			wrong = []string{err.Error()}
		case !made.LeftOut && made.Waits == "":
			c.Mapped++
			wrong = m.wrong(e, made, cfg, g.free)
		}
		c.MadeUp++
		for _, w := range wrong {
			c.Errors = append(c.Errors, fmt.Sprintf("%s: %s; the message is %s", e.Name, w, e.Body))
		}
		if len(c.Errors) >= maxShown {
			break
		}
	}
	if c.Mapped == 0 && c.MadeUp >= leastTried {
		c.Errors = append(c.Errors, fmt.Sprintf("not one of %d was mapped, so that nothing was tried; the last was refused: %s", c.MadeUp, orNothing(c.refusal)))
	}
	return c
}

// WriteText tells what failed, with each difference, and what no example uses.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	failed := 0
	for _, c := range r.Cases {
		if c.OK() {
			continue
		}
		failed++
		fmt.Fprintf(&b, "FAIL  %s: %s", c.Mapping, c.Name)
		if c.Place != "" {
			fmt.Fprintf(&b, " (%s)", c.Place)
		}
		b.WriteString("\n")
		if c.fresh() {
			c.writeFresh(&b)
		} else {
			for _, d := range c.Differences {
				fmt.Fprintf(&b, "      %s\n        - %s\n        + %s\n", d.At, orNothing(d.Want), orNothing(d.Got))
			}
		}
		for _, e := range c.Errors {
			fmt.Fprintf(&b, "      %s\n", e)
		}
	}
	for _, c := range r.Cases {
		if c.Untried != "" {
			fmt.Fprintf(&b, "skip  %s: %s\n", c.Mapping, c.Untried)
		}
		if c.MadeUp > 0 {
			fmt.Fprintf(&b, "%d made-up messages of %s: %d mapped, %d refused by a rule\n", c.MadeUp, c.Mapping, c.Mapped, c.Refused)
		}
	}
	for _, c := range r.Coverage {
		fmt.Fprintf(&b, "%3d %%  of %s: %d of %d rules, branches and rows\n", c.Percent(), c.Mapping, c.Used, c.Parts)
		for _, u := range c.Unused {
			fmt.Fprintf(&b, "      no example uses %s\n", u)
		}
	}
	fmt.Fprintf(&b, "%d of %d cases pass\n", len(r.Cases)-failed, len(r.Cases))
	_, err := io.WriteString(w, b.String())
	return err
}

// fresh tells whether nobody has said yet what shall come of the example, as after mapping new.
func (c Case) fresh() bool {
	e := c.example
	return len(c.Differences) > 0 && e.Waits == "" && !e.LeftOut && e.Want.Kind == "" && strings.TrimSpace(e.Want.Body) == ""
}

// writeFresh shows what comes of a fresh example, and how that is kept.
func (c Case) writeFresh(b *strings.Builder) {
	is := "it becomes"
	switch {
	case c.made.LeftOut:
		is = "it is left out"
	case c.made.Waits != "":
		is = "it waits for the ERP's number of " + c.made.Waits
	}
	fmt.Fprintf(b, "      it expects nothing yet: %s\n", is)
	for line := range strings.Lines(indented(c.example.marked(c.made.Body))) {
		b.WriteString("        + " + line)
	}
	fmt.Fprintf(b, "      look at it; if it is as it should be, keep it: holdfast mapping test %s --update\n", c.Mapping)
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}

// WriteJUnit writes the report for a build server.
func (r Report) WriteJUnit(w io.Writer) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure,omitempty"`
		Skipped *failure `xml:"skipped,omitempty"`
	}
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: "holdfast mapping test", Tests: len(r.Cases)}
	for _, c := range r.Cases {
		tc := testcase{Class: c.Mapping, Name: c.Name}
		if !c.OK() {
			suite.Failures++
			var lines []string
			for _, d := range c.Differences {
				lines = append(lines, d.String())
			}
			lines = append(lines, c.Errors...)
			tc.Failure = &failure{lines[0], c.Place + "\n" + strings.Join(lines, "\n")}
		}
		if c.OK() && c.MadeUp > 0 && c.Mapped == 0 {
			tc.Skipped = &failure{Message: "every made-up message was refused, so that nothing was tried; the last one: " + orNothing(c.refusal)}
		}
		if c.Untried != "" {
			tc.Skipped = &failure{Message: c.Untried}
		}
		suite.Cases = append(suite.Cases, tc)
	}
	out, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, out)
	return err
}

// Updated is the file of a mapping's examples with what the mapping makes now in the place of what was expected; nil if nothing changes. Comments,
// the order and what is not changed stay as somebody wrote them.
func (r Report) Updated(name string) ([]byte, error) {
	var file *yaml.Node
	for _, c := range r.Cases {
		if c.Mapping != name || c.example.node == nil || len(c.Differences) == 0 {
			continue
		}
		if file == nil {
			file = &yaml.Node{}
			if err := yaml.Load(c.example.text, file); err != nil {
				return nil, fmt.Errorf("read the examples %s again: %w", c.example.file, err)
			}
		}
		text, err := yaml.Dump(c.updated())
		var now yaml.Node
		if err == nil {
			err = yaml.Load(text, &now)
		}
		if err != nil {
			return nil, fmt.Errorf("write an example of %s: %w", name, err)
		}
		rewrite(file.Content[0].Content[c.example.nth], now.Content[0])
	}
	if file == nil {
		return nil, nil
	}
	out, err := yaml.Dump(file)
	if err != nil {
		return nil, fmt.Errorf("write examples: %w", err)
	}
	return out, nil
}

// updated is the example with what was made in the place of what was expected.
func (c Case) updated() Example {
	e := c.example
	e.Waits, e.LeftOut, e.Want = c.made.Waits, c.made.LeftOut, Expected{}
	if e.Waits != "" || e.LeftOut {
		return e
	}
	if e.Back != nil && c.back.Version != "" {
		e.Back = e.Back.updated(c.back)
	}
	e.Want = Expected{Target: c.made.Target, Params: c.made.Params, Kind: c.made.Kind, Key: c.made.Key, Body: indented(e.marked(c.made.Body))}
	return e
}

// rewrite makes a node say what another one does, and leaves what is the same as it stands, with its comments.
func rewrite(node, now *yaml.Node) {
	switch {
	case node.Kind != now.Kind || node.Kind == yaml.SequenceNode:
		node.Kind, node.Tag, node.Style, node.Value, node.Content, node.Alias = now.Kind, now.Tag, now.Style, now.Value, now.Content, nil
	case node.Kind == yaml.MappingNode:
		rewriteMembers(node, now)
	case node.Value != now.Value:
		node.Tag, node.Style, node.Value = now.Tag, now.Style, now.Value
	}
}

func rewriteMembers(node, now *yaml.Node) {
	kept := make([]*yaml.Node, 0, len(now.Content))
	has := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if to := memberNode(now, key.Value); to != nil {
			rewrite(value, to)
			kept, has[key.Value] = append(kept, key, value), true
		}
	}
	for i := 0; i+1 < len(now.Content); i += 2 {
		if !has[now.Content[i].Value] {
			kept = append(kept, now.Content[i], now.Content[i+1])
		}
	}
	node.Content = kept
}

func memberNode(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// FormatExamples writes a file of examples.
func FormatExamples(all []Example) ([]byte, error) {
	out, err := yaml.Dump(all)
	if err != nil {
		return nil, fmt.Errorf("write examples: %w", err)
	}
	return out, nil
}

func indented(body []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		return string(body)
	}
	return b.String() + "\n"
}

// Sources are the folders that the set was loaded from, the last of which wins.
func (s *Set) Sources() []fs.FS { return slices.Clone(s.from) }
