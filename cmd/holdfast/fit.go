package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
)

// misfit is one place where a mapping does not fit the contract of the link that it is for.
type misfit struct {
	mapping.Finding
	mapping, link string
}

// fit holds each mapping that a route or a poll names against the contract of its link, as far as that is known.
func (c Config) fit(rules *mapping.Set, links map[string]link) []misfit {
	return c.fitOf(rules, links, func(string) bool { return true })
}

// fitOf is fit for some of the mappings.
func (c Config) fitOf(rules *mapping.Set, links map[string]link, wanted func(name string) bool) []misfit {
	var out []misfit
	add := func(name, kind, link string) {
		if !wanted(rules.Name(name, kind)) {
			return
		}
		contract, ok := links[link].(mapping.Contract)
		if !ok {
			return // its contract, if there is one, says nothing of fields
		}
		for _, f := range rules.Check(name, kind, contract) {
			out = append(out, misfit{f, rules.Name(name, kind), link})
		}
	}
	for _, r := range c.Routes {
		for _, kind := range plantKinds() {
			if r.takes(kind) {
				add(r.Mapping, kind, r.Link)
			}
		}
	}
	for link, l := range c.Links {
		for _, name := range slices.Compact(slices.Sorted(maps.Values(l.inbound()))) {
			add(name, "", link)
		}
	}
	return inOrder(out)
}

// inOrder is each misfit once, by its place.
func inOrder(out []misfit) []misfit {
	slices.SortFunc(out, func(a, b misfit) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Col-b.Col, strings.Compare(a.link, b.link), strings.Compare(a.Why, b.Why))
	})
	return slices.CompactFunc(out, func(a, b misfit) bool { return a.Mistake == b.Mistake && a.link == b.link })
}

// unreached are the plant's own mappings that no route of a link reaches, and that nothing that comes in names.
func (c Config) unreached(rules *mapping.Set) (out []mapping.Look) {
	for _, name := range rules.Names() {
		if look, _ := rules.Look(name); look.Own && len(c.usersOf(rules, name)) == 0 {
			out = append(out, look)
		}
	}
	return out
}

// unrouted tells of those that are not reached: most often a name was mistyped, on either side.
func (c Config) unrouted(rules *mapping.Set) (out []mapping.Mistake) {
	for _, look := range c.unreached(rules) {
		out = append(out, mapping.Mistake{
			File: look.File, Line: look.Line, Col: look.Col, What: "from", Why: look.Name + " is used by no route and by nothing that comes in",
			Hint: "name it under routes, polls or receive, give it the name of the shipped one that it is to replace, or remove it; a message that is pushed may still name it",
		})
	}
	return out
}

// fitUnrouted holds what nothing reaches yet against each link whose contract knows what it is for, so that it is known to be good before a
// route names it. A target that no link takes is an error.
func (c Config) fitUnrouted(rules *mapping.Set, links map[string]link) (out []misfit, err error) {
	var stray []error
	for _, look := range c.unreached(rules) {
		out = append(out, fitKnowing(rules, links, look)...)
		if len(knowing(look, links)) == 0 && !look.Inbound {
			stray = append(stray, c.taken(rules, look, links))
		}
	}
	return inOrder(out), errors.Join(stray...)
}

// fitKnowing holds one mapping against each link whose contract knows what it is for.
func fitKnowing(rules *mapping.Set, links map[string]link, look mapping.Look) (out []misfit) {
	for _, link := range knowing(look, links) {
		for _, f := range rules.Check(look.Name, look.Kind, links[link].(mapping.Contract)) {
			out = append(out, misfit{f, look.Name, link})
		}
	}
	return out
}

// taken says that no link takes what a mapping feeds; a plant without links says nothing.
func (c Config) taken(rules *mapping.Set, look mapping.Look, links map[string]link) error {
	var refused []error
	for _, name := range slices.Sorted(maps.Keys(links)) {
		err := links[name].Accepts(look.Target)
		if err == nil {
			return nil
		}
		refused = append(refused, c.noTarget(rules, look.Name, name, links[name], err))
	}
	return errors.Join(refused...)
}

// knowing are the links whose contract knows what a mapping feeds or, of one in, takes.
func knowing(look mapping.Look, links map[string]link) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if c, ok := links[name].(mapping.Contract); ok && knows(c, look) {
			out = append(out, name)
		}
	}
	return out
}

// knows tells whether a contract knows what a mapping feeds or, of one in, takes.
func knows(c mapping.Contract, look mapping.Look) (ok bool) {
	if look.Inbound {
		_, ok = c.DocumentType(look.Document)
	} else {
		_, ok = c.TargetType(look.Target)
	}
	return ok
}

// unheld is a mapping of which nothing is held against the contract of a link that it is used for.
type unheld struct {
	mapping.Mistake
	mapping, link string
}

// unheld are those of some names: the link has not been given its contract yet, or that names no documents.
func (c Config) unheld(rules *mapping.Set, links map[string]link, names []string) (out []unheld) {
	for _, name := range names {
		look, _ := rules.Look(name)
		for _, to := range slices.Compact(slices.Sorted(slices.Values(c.usersOf(rules, name)))) {
			if contract, ok := links[to].(mapping.Contract); ok && !knows(contract, look) {
				out = append(out, unheld{notHeld(rules, look, to, contract), name, to})
			}
		}
	}
	return out
}

func notHeld(rules *mapping.Set, look mapping.Look, to string, contract mapping.Contract) mapping.Mistake {
	m := mapping.Mistake{
		File: look.File, Line: look.Line, Col: look.Col, What: "from", Why: fmt.Sprintf("link %s has not learnt its contract: %s is held against nothing", to, cmp.Or(look.Document, look.Target)),
		Hint: fmt.Sprintf("holdfast doctor asks the ERP for it and checks again; metadata: FILE under links.%s.services has it known without", to),
	}
	if !look.Inbound {
		m.What = "to"
		_, m.Line, m.Col = rules.TargetAt(look.Name)
		return m
	}
	_, learns := contract.(interface{ Learnt() int64 })
	switch g, gives := contract.(mapping.Giver); {
	case gives && g.Gives(look.Document) != nil:
		m.Why = fmt.Sprintf("the contract of link %s has no document %s: it is held against nothing", to, look.Document)
		m.Hint = "name one that it has: holdfast mapping check tells which is nearest"
	case !learns:
		m.Why = fmt.Sprintf("the contract of link %s names no documents: %s is held against nothing", to, look.Document)
		m.Hint = "give the schema of what it answers a name below components.schemas of the contract"
	}
	return m
}

// documentsOf are the types of what comes in through links, by their contracts, each as it was when the link last learnt its contract.
func documentsOf(links map[string]link) mapping.Documents {
	type known struct {
		learnt int64
		as     *schema.Type
	}
	var types sync.Map // by link and document: known
	return func(link, _, document string) *schema.Type {
		c, ok := links[link].(mapping.Contract)
		if !ok {
			return nil
		}
		var now int64 // read before the type, which may be a later one
		if l, learns := c.(interface{ Learnt() int64 }); learns {
			now = l.Learnt()
		}
		at := [2]string{link, document}
		if k, ok := types.Load(at); ok && k.(known).learnt == now {
			return k.(known).as
		}
		t, ok := c.DocumentType(document)
		if !ok {
			return nil
		}
		types.Store(at, known{now, t})
		return t
	}
}

// refuseUnfit says what a plant does not start with: documents that the ERP would refuse.
func (c Config) refuseUnfit(rules *mapping.Set, links map[string]link) error {
	return c.refused(c.fit(rules, links))
}

// refused are the problems of misfits that the ERP would refuse.
func (c Config) refused(found []misfit) error {
	var wrong []error
	for _, f := range found {
		if f.Refused {
			wrong = append(wrong, f.problem(c))
		}
	}
	return errors.Join(wrong...)
}

func (f misfit) problem(c Config) error {
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("%s:%d:%d: %s", c.mappingFile(f.File), f.Line, f.Col, f.What), Why: "link " + f.link + ": " + f.Why, Hint: f.Hint,
	}
}

// mappingFile is where a mapping's file is: the plant's own folder, or the program.
func (c Config) mappingFile(name string) string {
	file := filepath.Join(c.Mappings, name)
	if _, err := os.Stat(file); err != nil {
		return "shipped " + name
	}
	return file
}
