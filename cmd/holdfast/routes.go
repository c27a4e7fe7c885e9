package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/problem"
)

// loadMappings compiles the shipped mappings and the plant's own, which win where names are the same.
func loadMappings(cfg Config) (*mapping.Set, error) {
	sources, err := cfg.sources()
	if err != nil {
		return nil, err
	}
	set, err := mapping.Load(sources...)
	return set, toldMistakes(err)
}

// sources are the shipped mappings and the folder of the plant's own.
func (c Config) sources() ([]fs.FS, error) {
	sources := []fs.FS{mapping.Library()}
	if c.hasMappings() {
		sources = append(sources, os.DirFS(c.Mappings))
	} else if c.Mappings != c.beside(defaults().Mappings) { // the usual folder need not be there, one that is named must
		return nil, c.places.Mistake("mappings", "there is no folder "+c.Mappings, "make the folder, correct its name, or leave the key out")
	}
	return sources, nil
}

// toldMistakes makes problems of the mistakes in mapping files.
func toldMistakes(err error) error {
	if err == nil {
		return nil
	}
	var told []error
	for _, e := range leaves(err) {
		if m, ok := errors.AsType[*mapping.Mistake](e); ok {
			e = &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Col, m.What), Why: m.Why, Hint: m.Hint}
		}
		told = append(told, e)
	}
	return errors.Join(told...)
}

// noFolder says that a folder of mappings is not there.
func noFolder(folder string, err error) error {
	return &problem.Error{Kind: problem.NotFound, What: "read the mappings in " + folder, Why: why(err), Hint: "name a folder of mappings, or - for the shipped ones"}
}

// hasMappings tells whether the folder of own mappings is there.
func (c Config) hasMappings() bool {
	info, err := os.Stat(c.Mappings)
	return err == nil && info.IsDir()
}

// openLinks opens every link; what is wrong with one is told with its line.
func openLinks(cfg Config, log *slog.Logger) (map[string]link, error) {
	links, kinds := map[string]link{}, linkKinds()
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Links)) {
		l, err := kinds[cfg.Links[name].Kind].open(cfg.Links[name], cfg.secret, cfg.Links[name].discreet(log).With("part", "link", "link", name))
		if err != nil {
			mistakes = append(mistakes, cfg.placed("links."+name, err))
			continue
		}
		if err := cfg.Links[name].encrypt(l); err != nil { // it would send what others can read
			mistakes = append(mistakes, cfg.placed("links."+name+".encrypt_to", err))
			l.Close()
			continue
		}
		links[name] = l
	}
	return links, errors.Join(mistakes...)
}

// placed says where in the file the thing stands that a part complains of.
func (c Config) placed(at string, err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", at, err)
	}
	placed := *p
	if len(p.Fields) == 1 && p.Fields[0].Pointer != "" {
		at += "." + p.Fields[0].Pointer
		placed.Why = p.Fields[0].Why
	}
	placed.What = c.places.At(at) + ": " + at
	return &placed
}

// compile makes ready what the configuration names: mappings and links, held against each other and against the routes. All that is
// wrong with them is told at once. Links are given even then, to be closed.
func (c Config) compile(log *slog.Logger) (*mapping.Set, map[string]link, error) {
	rules, err := loadMappings(c)
	links, unopened := openLinks(c, log)
	err = errors.Join(err, unopened)
	if rules != nil {
		err = errors.Join(err, c.checkAgainst(rules, links))
	}
	return rules, links, err
}

// plantKinds are what the plant tells an ERP.
func plantKinds() []string {
	return []string{
		mes.OrderCreatedKind, mes.OrderStartedKind, mes.OrderCompletedKind, mes.OperationConfirmedKind, mes.ConfirmationReversedKind,
		mes.GoodsIssuedKind, mes.GoodsReceivedKind, mes.GoodsScrappedKind, mes.GoodsReversedKind, mes.LotCreatedKind, mes.LotChangedKind,
		mes.InspectionRecordedKind,
	}
}

// checkAgainst holds routes and polls against the mappings, and the mappings against the contracts of the links: a message must
// not find out at night that nobody can send it. A link that could not be opened has been told of and is passed over.
func (c Config) checkAgainst(rules *mapping.Set, links map[string]link) error {
	k := &checker{Places: c.places}
	for i, r := range c.Routes {
		if r.Mapping == "" && linkKinds()[c.Links[r.Link].Kind].events {
			c.checkPatterns(k, fmt.Sprintf("routes[%d]", i), r)
			continue
		}
		c.checkKinds(k, fmt.Sprintf("routes[%d]", i), r, rules, links[r.Link])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Links)) {
		for at, mapping := range c.Links[name].inbound() {
			if !rules.Covers(mapping, "") {
				k.wrong("links."+name+"."+at, "there is no mapping of this name for what comes in", "the mappings are: "+strings.Join(rules.Names(), ", "))
			}
		}
	}
	return errors.Join(k.mistakes...)
}

// checkKinds holds a route against its mapping, and that against the link.
func (c Config) checkKinds(k *checker, at string, r RouteConfig, rules *mapping.Set, to link) {
	for _, kind := range c.checkPatterns(k, at, r) {
		if !rules.Covers(r.Mapping, kind) {
			why, instead := mapping.NoTarget(r.Mapping, kind)
			if why != "" {
				why = ": " + why
			}
			k.wrong(at+".mapping", fmt.Sprintf("%s has no mapping for %s%s", cmp.Or(r.Mapping, "a route without a mapping"), kind, why),
				cmp.Or(instead, "leave the kind out of the route, or write the mapping"))
		} else if to == nil {
			continue
		} else if err := to.Accepts(rules.Target(r.Mapping, kind)); err != nil {
			k.mistakes = append(k.mistakes, c.noTarget(rules, rules.Name(r.Mapping, kind), r.Link, to, err))
		}
	}
}

// noTarget says, at its place in the mapping, that a link has nothing of the name that is fed, and what there is of nearly the same.
func (c Config) noTarget(rules *mapping.Set, name, of string, to link, err error) error {
	file, line, col := rules.TargetAt(name)
	hint := "name a target that the ERP's contract has"
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Hint != "" {
		hint = p.Hint
	}
	if l, ok := to.(interface{ Targets() []string }); ok {
		look, _ := rules.Look(name)
		if near := strict.Nearest(look.Target, l.Targets()); near != "" {
			hint = "did you mean " + near + "?"
		}
	}
	return &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("%s:%d:%d: to", c.mappingFile(file), line, col), Why: fmt.Sprintf("link %s does not take it: %v", of, err), Hint: hint}
}

// matches tells whether a pattern of a route fits a kind.
func matches(pattern, kind string) bool {
	ok, err := path.Match(pattern, kind)
	return ok && err == nil
}

// takes tells whether a route is for a kind.
func (r RouteConfig) takes(kind string) bool {
	return slices.ContainsFunc(r.Kinds, func(pattern string) bool { return matches(pattern, kind) })
}

// checkPatterns refuses a pattern of a route that no kind fits, and gives the kinds that the others fit.
func (c Config) checkPatterns(k *checker, at string, r RouteConfig) (kinds []string) {
	for i, pattern := range r.Kinds {
		before := len(kinds)
		for _, kind := range plantKinds() {
			if matches(pattern, kind) {
				kinds = append(kinds, kind)
			}
		}
		if len(kinds) == before {
			k.wrong(fmt.Sprintf("%s.kinds[%d]", at, i), "the plant sends no such kind", "the kinds are: "+strings.Join(plantKinds(), ", "))
		}
	}
	return kinds
}
