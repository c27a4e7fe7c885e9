package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Folder is a place of this machine, such as a mounted share.
type Folder string

// String is Place.
func (f Folder) String() string { return string(f) }

// Put is Place: a file that is written beside its name, flushed, and renamed.
func (f Folder) Put(_ context.Context, name string, r io.Reader) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", f, err)
	}
	t, err := os.CreateTemp(string(f), beginning)
	if err != nil {
		return fmt.Errorf("write into %s: %w", f, err)
	}
	_, err = io.Copy(t, r)
	if err = errors.Join(err, t.Sync(), t.Close()); err == nil {
		err = os.Rename(t.Name(), filepath.Join(string(f), name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write into %s: %w", f, err), os.Remove(t.Name()))
	}
	d, err := os.Open(string(f))
	if err != nil {
		return fmt.Errorf("flush %s: %w", f, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get is Place.
func (f Folder) Get(_ context.Context, name string) (io.ReadCloser, error) {
	r, err := os.Open(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(f, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open a backup: %w", err)
	}
	return r, nil
}

func missing(p fmt.Stringer, name string) error {
	return &problem.Error{Kind: problem.NotFound, What: "find " + name + " in " + p.String(), Why: "it is not there", Hint: "holdfast backup list names what there is"}
}

// List is Place. A folder that is not there yet has nothing.
func (f Folder) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the backups in %s: %w", f, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Remove is Place.
func (f Folder) Remove(_ context.Context, name string) error {
	if err := os.Remove(filepath.Join(string(f), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a backup: %w", err)
	}
	return nil
}

// Keep says which copies of a place stay; zero fields keep all.
type Keep struct {
	Count int // the newest so many
	Days  int // and all that reach, with their increments, a moment that is younger
}

// due are the copies of a place that need not be kept, the oldest first, of what List gives. The newest copy always stays, and the newest that was proven, and so does everything while none
// was, and what is in Trouble: save what is Bare of a copy before these, of which only a removal that was cut short can be asked to leave more.
func (k Keep) due(all []Copy, now int64) (ids []string) {
	proven := slices.IndexFunc(all, func(c Copy) bool { return c.Proven != nil && c.Trouble == "" })
	newest := slices.IndexFunc(all, func(c Copy) bool { return c.Trouble == "" })
	if k.Count == 0 && k.Days == 0 || proven < 0 {
		return nil
	}
	whole := 0 // copies that can be read so far
	for i, c := range all {
		young := k.Days > 0 && now-c.Through.Unix() < int64(k.Days)*24*3600
		if (c.Trouble == "" || c.Bare && i > newest) && i != proven && i != newest && whole >= k.Count && !young {
			ids = append(ids, c.ID)
		}
		if c.Trouble == "" {
			whole++
		}
	}
	slices.Reverse(ids)
	return ids
}

// Mark tells in Copy.Removing, of what List gives of a place, which are what is left of a removal that was cut short.
func (k Keep) Mark(all []Copy, now int64) {
	due := k.due(all, now)
	for i := range all {
		all[i].Removing = all[i].Bare && slices.Contains(due, all[i].ID)
	}
}

// beginning is what the name begins with of a file that is not whole yet, and stale how old one is that nobody ends any more: whoever wrote it was stopped.
const (
	beginning = ".new-"
	stale     = 24 * time.Hour
)

// sweeper is a place in which an upload that is cut off leaves something.
type sweeper interface {
	// sweep removes what was begun, and not written to since then.
	sweep(ctx context.Context, then time.Time) error
}

func (f Folder) sweep(_ context.Context, then time.Time) error {
	entries, err := os.ReadDir(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the backups in %s: %w", f, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), beginning) || !info.Mode().IsRegular() || info.ModTime().After(then) {
			continue // one that is gone meanwhile was ended
		}
		if err := os.Remove(filepath.Join(string(f), e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what was left of an upload: %w", err)
		}
	}
	return nil
}

// Prune removes what was begun a day ago and never ended, and what need not be kept from a place, the oldest first, and returns the names of what it removed (Keep.due). A copy that stays keeps all its increments, also
// behind one that is missing, which its log or another place may still have; with one that goes all of them go, and so do those whose copy is gone already. Where it is cut short, what it leaves of a
// copy is a copy with fewer increments, or its manifest alone, and the next Prune takes that. by tells which proofs are believed, as of List.
func Prune(ctx context.Context, p Place, k Keep, by Trust, now func() (unix int64)) ([]string, error) {
	if s, can := p.(sweeper); can {
		if err := s.sweep(ctx, time.Unix(now(), 0).Add(-stale)); err != nil {
			return nil, err
		}
	}
	all, err := List(ctx, p, by)
	if err != nil || k.Count == 0 && k.Days == 0 {
		return nil, err
	}
	names, err := p.List(ctx)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, id := range k.due(all, now()) {
		// The manifest goes last: it says when the copy was made, by which the next one knows that it need not be kept.
		if err := removeAll(ctx, p, append(incrementsOf(id, names), id+provenSuffix, id+archiveSuffix, id+sealedSuffix)); err != nil {
			return gone, err
		}
		gone = append(gone, id)
	}
	return gone, removeAll(ctx, p, orphans(names))
}

func removeAll(ctx context.Context, p Place, names []string) error {
	for _, name := range names {
		if err := p.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// incrementsOf are all of a copy that a place has, the last first.
func incrementsOf(id string, names []string) (all []string) {
	for _, name := range slices.Backward(slices.Sorted(slices.Values(names))) {
		if base, is := baseOf(name); is && base == id {
			all = append(all, name)
		}
	}
	return all
}

// baseOf is the copy that an increment follows, by its name.
func baseOf(name string) (id string, is bool) {
	rest, is := strings.CutSuffix(name, ".inc")
	at := strings.LastIndexByte(rest, '.')
	if !is || at < 0 || len(rest)-at-1 < 6 || strings.Trim(rest[at+1:], "0123456789") != "" {
		return "", false
	}
	return rest[:at], true
}

// orphans are increments of which neither the archive nor what stands beside it is there any more: a removal was cut short, and nothing can be restored of them.
func orphans(names []string) (all []string) {
	for _, name := range names {
		if base, is := baseOf(name); is && !slices.Contains(names, base+archiveSuffix) && !slices.Contains(names, base+sealedSuffix) {
			all = append(all, name)
		}
	}
	return all
}

// idTime is what the name of a copy begins with: the names of a place are in the order of time.
const idTime = "20060102T150405Z"

// newest is the newest copy of a place that can be read, or the one that is named. among are those of which nobody has named one; none where
// somebody has.
func newest(ctx context.Context, p Place, id string, by Trust) (c Copy, among []Copy, err error) {
	all, err := List(ctx, p, by)
	if err != nil {
		return Copy{}, nil, err
	}
	at := slices.IndexFunc(all, func(c Copy) bool { return c.ID == id || id == "" && c.Trouble == "" })
	if at < 0 && id == "" && len(all) > 0 {
		at = 0 // it tells what is wrong with it
	}
	if at < 0 {
		return Copy{}, nil, missing(p, cmp.Or(id, "a backup"))
	}
	if c = all[at]; id == "" {
		among = all
	}
	return c, among, nil
}

// Furthest is the place whose copy of that name reaches furthest, with the increments that follow it; "" is the newest there. Of those that reach as far it is
// the last. Nobody is asked who has signed what it is chosen by: what is restored is checked. unread is why others could not be looked at.
func Furthest(ctx context.Context, places []Place, id string) (p Place, through time.Time, unread error) {
	for _, at := range places {
		all, err := List(ctx, at, nil)
		if err != nil {
			unread = errors.Join(unread, fmt.Errorf("look what is in %s: %w", at, err))
			continue
		}
		for _, c := range all {
			if c.Trouble == "" && (id == "" || c.ID == id) && !c.Through.Before(through) {
				p, through = at, c.Through
			}
		}
	}
	return p, through, unread
}

// passedOver tells what is newer than c and cannot be read.
func passedOver(c Copy, all []Copy) error {
	var why []string
	for _, other := range all {
		if other.Trouble != "" && other.ID > c.ID {
			why = append(why, other.ID+": "+other.Trouble)
		}
	}
	if len(why) == 0 {
		return nil
	}
	slices.Sort(why)
	return &problem.Error{
		Kind: problem.Integrity, What: "take the newest backup of " + c.Place, Why: "what is newer than " + c.ID + " is damaged, or not the plant's: " + strings.Join(why, "; "),
		Hint: "look in the other places; to take the one before it, name it: " + c.ID,
	}
}

// Another tells that the newest copy of a place that can be read is of another database than one before it, by its Manifest.Begun: where the plant's database was lost and begun
// anew, what the plant had is in the copy before. The error is of kind Conflict. all is what List gives.
func Another(all []Copy) error {
	at := slices.IndexFunc(all, func(c Copy) bool { return c.Trouble == "" })
	if at < 0 || all[at].Begun.IsZero() {
		return nil
	}
	c := all[at]
	for _, before := range all {
		if before.Bare || before.Begun.IsZero() || before.Begun.Equal(c.Begun) || !before.Made.Before(c.Made) {
			continue
		}
		return &problem.Error{
			Kind: problem.Conflict, What: "take the newest backup of " + c.Place,
			Why:  fmt.Sprintf("%s is of a database that was begun at %s, and %s before it of another, begun at %s", c.ID, c.Begun.Format(time.RFC3339), before.ID, before.Begun.Format(time.RFC3339)),
			Hint: "where the database was lost in between, name the one before: " + before.ID + "; where the plant was begun anew, name " + c.ID,
		}
	}
	return nil
}
