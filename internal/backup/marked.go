package backup

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// markName is the file by which a place is known for one.
const markName = ".holdfast-place"

const markText = "Holdfast keeps copies of a plant in this folder. Without this file it takes the folder for a mount point whose share is away, and writes nothing.\n"

// Marked is a place that is one only where Mark was called, or where copies are already: a folder that is not there, or has neither, may be the mount point of
// a share that is away, and what is written into it would lie on the wrong disk and be hidden once the share is back. Until then it neither gives nor takes a name: its
// errors are of kind Unavailable. anew tells whether the place may be made where nothing is; nil is never.
func Marked(p Place, anew func() bool) Place { return marked{p, anew} }

type marked struct {
	Place
	anew func() bool
}

// Mark makes a place one, and tells whether it was not.
func Mark(ctx context.Context, p Place) (done bool, err error) {
	m, is := unwrap(p)
	if !is {
		return false, nil
	}
	names, err := m.Place.List(ctx)
	if err != nil || slices.Contains(names, markName) {
		return false, err
	}
	return true, m.Place.Put(ctx, markName, strings.NewReader(markText))
}

// unwrap finds what is marked in a place that may be Timed; a bucket is no folder and needs no mark.
func unwrap(p Place) (marked, bool) {
	if t, ok := p.(*timed); ok {
		p = t.Place
	}
	m, ok := p.(marked)
	return m, ok
}

// Put is Place. A place that has copies of a release before is marked by it.
func (m marked) Put(ctx context.Context, name string, r io.Reader) error {
	names, err := m.names(ctx)
	if err == nil && !slices.Contains(names, markName) {
		err = m.Place.Put(ctx, markName, strings.NewReader(markText))
	}
	if err != nil {
		return err
	}
	return m.Place.Put(ctx, name, r)
}

// List is Place.
func (m marked) List(ctx context.Context) ([]string, error) {
	names, err := m.names(ctx)
	return slices.DeleteFunc(names, func(name string) bool { return name == markName }), err
}

// names are those of the place, if it is one.
func (m marked) names(ctx context.Context) ([]string, error) {
	names, err := m.Place.List(ctx)
	if err != nil || slices.ContainsFunc(names, ours) || m.anew != nil && m.anew() {
		return names, err
	}
	return nil, &problem.Error{
		Kind: problem.Unavailable, What: "use " + m.String() + " as a place for copies", Why: "it has neither copies nor the mark of a place (" + markName + "): the share that belongs there is not mounted, or the place is new",
		Hint: "mount it; a place that is new is made by: holdfast backup init",
	}
}

// ours tells whether a name is the mark, or of a copy.
func ours(name string) bool {
	for _, suffix := range []string{archiveSuffix, sealedSuffix, ".inc"} {
		if id, is := strings.CutSuffix(name, suffix); is && isID(id) {
			return true
		}
	}
	return name == markName
}

// sweep removes what uploads that were cut off before then have left.
func (m marked) sweep(ctx context.Context, then time.Time) error {
	if s, can := m.Place.(sweeper); can {
		return s.sweep(ctx, then)
	}
	return nil
}
