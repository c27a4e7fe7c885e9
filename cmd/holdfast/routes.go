package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"holdfast/adapters/rest"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/problem"
)

// loadMappings compiles the shipped mappings and the plant's own, which win where names are the same.
func loadMappings(cfg Config) (*mapping.Set, error) {
	sources := []fs.FS{mapping.Library()}
	if info, err := os.Stat(cfg.Mappings); err == nil && info.IsDir() {
		sources = append(sources, os.DirFS(cfg.Mappings))
	}
	set, err := mapping.Load(sources...)
	if err == nil {
		return set, nil
	}
	var told []error
	for _, e := range leaves(err) {
		if m, ok := errors.AsType[*mapping.Mistake](e); ok {
			e = &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Col, m.What), Why: m.Why, Hint: m.Hint}
		}
		told = append(told, e)
	}
	return nil, errors.Join(told...)
}

// openLinks opens every link; what is wrong with one is told with its line.
func openLinks(cfg Config, log *slog.Logger) (map[string]*rest.Link, error) {
	links := map[string]*rest.Link{}
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Links)) {
		l, err := rest.Open(cfg.Links[name].Config, cfg.secret, log.With("part", "link", "link", name))
		if err != nil {
			mistakes = append(mistakes, cfg.placed("links."+name, err))
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
func (c Config) compile(log *slog.Logger) (*mapping.Set, map[string]*rest.Link, error) {
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
		mes.GoodsIssuedKind, mes.GoodsReceivedKind, mes.GoodsScrappedKind, mes.GoodsReversedKind, mes.LotCreatedKind, mes.InspectionRecordedKind,
	}
}

// checkAgainst holds routes and polls against the mappings, and the mappings against the contracts of the links: a message must
// not find out at night that nobody can send it. A link that could not be opened has been told of and is passed over.
func (c Config) checkAgainst(rules *mapping.Set, links map[string]*rest.Link) error {
	k := &checker{Places: c.places}
	for i, r := range c.Routes {
		c.checkKinds(k, fmt.Sprintf("routes[%d]", i), r, rules, links[r.Link])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Links)) {
		for i, poll := range c.Links[name].Polls {
			if !rules.Covers(poll.Mapping, "") {
				k.wrong(fmt.Sprintf("links.%s.polls[%d].mapping", name, i), "there is no mapping in of this name",
					"the mappings are: "+strings.Join(rules.Names(), ", "))
			}
		}
	}
	return errors.Join(k.mistakes...)
}

func (c Config) checkKinds(k *checker, at string, r RouteConfig, rules *mapping.Set, link *rest.Link) {
	for i, pattern := range r.Kinds {
		matched := false
		for _, kind := range plantKinds() {
			if ok, _ := path.Match(pattern, kind); !ok {
				continue
			}
			matched = true
			if !rules.Covers(r.Mapping, kind) {
				k.wrong(at+".mapping", fmt.Sprintf("%s has no mapping for %s", r.Mapping, kind), "leave the kind out of the route, or write the mapping")
			} else if link == nil {
				continue
			} else if err := link.Accepts(rules.Target(r.Mapping, kind)); err != nil {
				k.wrong(at+".mapping", fmt.Sprintf("the mapping for %s does not fit the link: %v", kind, err),
					"name an operation of the ERP's OpenAPI document in the mapping")
			}
		}
		if !matched {
			k.wrong(fmt.Sprintf("%s.kinds[%d]", at, i), "the plant sends no such kind", "the kinds are: "+strings.Join(plantKinds(), ", "))
		}
	}
}
