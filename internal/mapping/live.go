package mapping

import (
	"context"
	"io/fs"
	"sync/atomic"

	"holdfast/internal/message"
)

// Live is the set that a running plant maps by. Another one takes its place between two messages, never within one: each message is mapped by
// one set as a whole, and its document names the version. It is safe for many goroutines.
type Live struct {
	set   atomic.Pointer[Set]
	trial atomic.Pointer[trial]
	past  past
	types Documents
}

// NewLive begins with a set.
func NewLive(s *Set) *Live {
	l := &Live{}
	l.set.Store(s)
	return l
}

// Read has ApplyIn read documents by their types (Reading). It is called before anything else uses l.
func (l *Live) Read(documents Documents) { l.types = documents }

// Reading has mappings that are tried read documents by their types, as ApplyIn does.
func (l *Live) Reading(ctx context.Context) context.Context { return Reading(ctx, l.types) }

// Set is the one that is used now.
func (l *Live) Set() *Set { return l.set.Load() }

// PlantUnits is Set.PlantUnits by the set that is used.
func (l *Live) PlantUnits(name, code string) []string { return l.Set().PlantUnits(name, code) }

// Apply is Set.Apply by the set that is used now, or the one that ctx asks for (By).
func (l *Live) Apply(ctx context.Context, name string, v message.Verified, refs Resolver) (message.Document, error) {
	set := l.Set()
	if by := asked(ctx); by != "" && !set.is(by) {
		return l.past.apply(ctx, by, name, v, refs)
	}
	t := l.trial.Load()
	if t == nil {
		return set.Apply(ctx, name, v, refs)
	}
	refs = remembering(refs)
	doc, err := set.Apply(ctx, name, v, refs)
	was, met := set.plain(ctx, name, v, refs, doc, err)
	t.out(Filling(ctx, nil), name, v, refs, was, met)
	return doc, err
}

// ApplyIn is Set.ApplyIn by the set that is used now.
func (l *Live) ApplyIn(ctx context.Context, name string, m message.Message, refs Resolver) (message.Message, error) {
	ctx = Reading(ctx, l.types)
	t := l.trial.Load()
	if t == nil {
		return l.Set().ApplyIn(ctx, name, m, refs)
	}
	refs = remembering(refs)
	out, err := l.Set().ApplyIn(ctx, name, m, refs)
	t.in(ctx, name, m, refs, out, err)
	return out, err
}

// Change is one mapping whose version changed with a reload; Before or After is "" for one that is new or gone.
type Change struct{ Name, Before, After string }

// Reload compiles the folders again and, if nothing is wrong with them and accept has nothing against the new set, uses it from now on. The
// error says what is wrong; the set that was used before then stays.
func (l *Live) Reload(accept func(*Set) error, fsys ...fs.FS) ([]Change, error) {
	return l.take(accept, Load, fsys)
}

// ReloadPublished is Reload of what was published (LoadPublished).
func (l *Live) ReloadPublished(accept func(*Set) error, fsys ...fs.FS) ([]Change, error) {
	return l.take(accept, LoadPublished, fsys)
}

func (l *Live) take(accept func(*Set) error, load func(...fs.FS) (*Set, error), fsys []fs.FS) ([]Change, error) {
	next, err := load(fsys...)
	if err != nil {
		return nil, err
	}
	before := l.Set()
	changes := before.Changes(next)
	if len(changes) == 0 {
		return nil, nil
	}
	if err := accept(next); err != nil {
		return nil, err
	}
	l.past.add(before)
	l.set.Store(next)
	return changes, nil
}

// Changes are the mappings of which another set has another version.
func (s *Set) Changes(next *Set) []Change {
	var out []Change
	for _, name := range s.Names() {
		c := Change{Name: name, Before: s.byName[name].version}
		if m := next.byName[name]; m != nil {
			c.After = m.version
		}
		if c.Before != c.After {
			out = append(out, c)
		}
	}
	for _, name := range next.Names() {
		if s.byName[name] == nil {
			out = append(out, Change{Name: name, After: next.byName[name].version})
		}
	}
	return out
}
