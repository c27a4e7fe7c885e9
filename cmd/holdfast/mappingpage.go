package main

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
)

// mappingPage is what the console's Mappings page needs of the program: the folder, the links and their contracts.
type mappingPage struct{ *floors }

// Base implements console.Workshop.
func (p mappingPage) Base(ctx context.Context) (edition.Edition, error) {
	return p.cfg.base(ctx, p.db)
}

// Fit implements console.Workshop.
func (p mappingPage) Fit(set *mapping.Set, name string) map[string][]mapping.Finding {
	out := map[string][]mapping.Finding{}
	for _, link := range p.cfg.usersOf(set, name) {
		out[link] = nil
	}
	found := p.cfg.fitOf(set, p.links, func(n string) bool { return n == name })
	if look, ok := set.Look(name); ok && look.Own && len(out) == 0 { // nothing reaches it yet
		found = fitKnowing(set, p.links, look)
	}
	for _, f := range found {
		out[f.link] = append(out[f.link], f.Finding)
	}
	return out
}

// Holds implements console.Workshop.
func (p mappingPage) Holds(set *mapping.Set, name string, of message.Message, made mapping.Made) []string {
	return (&workshop{p.cfg, set, p.links}).holds(name, of, made)
}

// Document implements console.Workshop.
func (p mappingPage) Document(set *mapping.Set, name string) *schema.Type {
	return (&workshop{p.cfg, set, p.links}).document(name)
}

// Words implements console.Workshop.
func (p mappingPage) Words(set *mapping.Set, name string) []mapping.Word {
	for _, link := range p.cfg.usersOf(set, name) {
		if c, ok := p.links[link].(mapping.Contract); ok {
			return set.Words(name, c)
		}
	}
	return set.Words(name, nil)
}

// usersOf are the links that a mapping is used for.
func (c Config) usersOf(set *mapping.Set, name string) (out []string) {
	for _, r := range c.Routes {
		if slices.ContainsFunc(plantKinds(), func(kind string) bool { return r.takes(kind) && set.Name(r.Mapping, kind) == name }) {
			out = append(out, r.Link)
		}
	}
	for link, l := range c.Links {
		for _, in := range l.inbound() {
			if in == name {
				out = append(out, link)
			}
		}
	}
	return out
}

// Usable implements console.Workshop.
func (p mappingPage) Usable(_ context.Context, e edition.Edition) error {
	return p.cfg.usable(e, p.links)
}

// Ready implements console.Workshop.
func (p mappingPage) Ready(ctx context.Context, e edition.Edition) error {
	set, err := compileEdition(e)
	if err != nil {
		return err
	}
	report, err := p.cfg.readySet(ctx, set, p.links)
	if err != nil || report.OK() {
		return err
	}
	i := slices.IndexFunc(report.Cases, func(c mapping.Case) bool { return !c.OK() })
	bad := report.Cases[i]
	why := fmt.Sprintf("example %q of mapping %s", bad.Name, bad.Mapping)
	if len(bad.Differences) > 0 {
		why += ": " + bad.Differences[0].String()
	} else {
		why += ": " + bad.Errors[0]
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "use edition " + edition.Short(e.Hash), Why: why,
		Hint: "mend the mapping, or say that what its examples become is what is expected",
	}
}
