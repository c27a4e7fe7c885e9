package console

import (
	"context"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/mapping"
)

// textChange is a file of which an edition has another text than what is in use.
type textChange struct {
	File, Beside string // Beside says what it is compared with, where that is not the edition in use
	Lines        []line
}

// around is how many lines are shown beside one that has changed.
const around = 3

// textChanges compares the files of an edition with those in use, all of them: what is approved must not hide behind a limit. Lines beyond
// what a page can hold are counted.
func (c *Console) textChanges(ctx context.Context, hash string) (all []textChange, more int, err error) {
	base, err := c.Workshop.Base(ctx)
	if err != nil {
		return nil, 0, err
	}
	e, err := c.edition(ctx, hash)
	if err != nil {
		return nil, 0, err
	}
	was, err := base.Texts()
	if err != nil {
		return nil, 0, err
	}
	now, err := e.Texts()
	if err != nil {
		return nil, 0, err
	}
	shipped, err := mapping.Load(mapping.Library())
	if err != nil {
		return nil, 0, err
	}
	names := slices.Sorted(maps.Keys(now))
	names = slices.AppendSeq(names, maps.Keys(was))
	slices.Sort(names)
	room := mostLines
	for _, name := range slices.Compact(names) {
		before, had := was[name]
		after, has := now[name]
		if before == after && had == has {
			continue
		}
		ch := textChange{File: name}
		if l, ok := shipped.Look(strings.TrimSuffix(name, ".yaml")); ok && !had {
			before, ch.Beside = string(l.Text), "beside the one that Holdfast ships"
		} else if !had {
			ch.Beside = "a new file"
		} else if !has {
			ch.Beside = "it is gone"
		}
		lines := nearby(changedLines(before, after))
		shown := min(room, len(lines))
		ch.Lines, more, room = lines[:shown], more+len(lines)-shown, room-shown
		all = append(all, ch)
	}
	return all, more, nil
}

// changedLines are the lines of two texts, whole.
func changedLines(was, now string) []line {
	split := func(text string) []string {
		if text == "" {
			return nil
		}
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	return diffLines(split(was), split(now))
}

// nearby leaves out what is the same, but for some lines around what is not.
func nearby(all []line) (out []line) {
	keep := make([]bool, len(all))
	for i, l := range all {
		if l.Sign == "" {
			continue
		}
		for j := max(0, i-around); j <= min(len(all)-1, i+around); j++ {
			keep[j] = true
		}
	}
	for i, l := range all {
		switch {
		case keep[i]:
			out = append(out, l)
		case i == 0 || keep[i-1]:
			out = append(out, line{Text: "…"})
		}
	}
	return out
}
