package mapping

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/message"
)

// ErrGone says that the mappings are not to be had any more by which a message is to be mapped (By).
var ErrGone = errors.New("these mappings are not kept any more, or this release cannot read them")

type byKey struct{}

// By has Live.Apply map by an earlier set: by is its name (Set.Kept), or the version of the mapping that made a document. "" is the set in use.
func By(ctx context.Context, by string) context.Context { return context.WithValue(ctx, byKey{}, by) }

func asked(ctx context.Context) string {
	by, _ := ctx.Value(byKey{}).(string)
	return by
}

// is tells whether by names the set, or the version of a mapping in it.
func (s *Set) is(by string) bool {
	name, _, one := strings.Cut(by, "@")
	if !one {
		return s.Kept == by
	}
	m := s.byName[name]
	return m != nil && m.version == by
}

// Versions are those of its mappings, in the order of their names.
func (s *Set) Versions() []string {
	out := make([]string, 0, len(s.byName))
	for _, name := range s.Names() {
		out = append(out, s.byName[name].version)
	}
	return out
}

// mostPast is how many earlier sets are held: those by which what is in hand was marked, and by which something lost is asked for.
const mostPast = 4

// past is the sets that were used before, the last first, and how to have others.
type past struct {
	find func(ctx context.Context, by string) (*Set, error)
	mu   sync.Mutex
	sets []*Set // guarded by mu
}

// Recall has find give the set that By asks for, where it is not in memory. An error of find is ErrGone where there is none; any other passes.
// It is called before anything else uses l.
func (l *Live) Recall(find func(ctx context.Context, by string) (*Set, error)) { l.past.find = find }

// Kept is the name of the set that is used now (Set.Kept).
func (l *Live) Kept() string { return l.Set().Kept }

func (p *past) add(s *Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sets = slices.Insert(slices.DeleteFunc(p.sets, func(old *Set) bool { return old == s }), 0, s)
	p.sets = p.sets[:min(len(p.sets), mostPast)]
}

// of gives a set from memory, or finds it.
func (p *past) of(ctx context.Context, by string) (*Set, error) {
	p.mu.Lock()
	i := slices.IndexFunc(p.sets, func(s *Set) bool { return s.is(by) })
	if i >= 0 {
		defer p.mu.Unlock()
		return p.sets[i], nil
	}
	p.mu.Unlock()
	if p.find == nil {
		return nil, ErrGone
	}
	s, err := p.find(ctx, by)
	if err == nil {
		p.add(s)
	}
	return s, err
}

func (p *past) apply(ctx context.Context, by, name string, v message.Verified, refs Resolver) (message.Document, error) {
	set, err := p.of(ctx, by)
	if err != nil {
		return message.Document{}, fmt.Errorf("map %s as %s had it: %w", v.Message().ID, by, err)
	}
	doc, err := set.Apply(ctx, name, v, refs)
	if err == nil && strings.Contains(by, "@") && doc.Mapping != by {
		return message.Document{}, fmt.Errorf("map %s as %s had it, and not as %s: %w", v.Message().ID, by, doc.Mapping, ErrGone)
	}
	return doc, err
}
