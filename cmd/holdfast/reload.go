package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/store"
)

// reloadEvery is how often a running plant looks whether it should map by others.
const reloadEvery = 2 * time.Second

// reloader takes other mappings into use while the plant runs: the edition that was published or, before the first one was, the folder when
// it has changed. It takes all of them or, if one has a mistake or does not fit what it is for, none.
type reloader struct {
	cfg    Config
	live   *mapping.Live
	links  map[string]link
	db     *store.DB
	doer   *access.Doer
	log    *slog.Logger
	trials *trials

	from  string       // what was last taken, or refused: an edition, or the folder as it was then
	by    string       // who had approved it then: what was refused for want of that may be approved later
	tried string       // the edition that was last taken for a trial, or refused
	node  edition.Node // as it was last reported
}

// newReloader begins with what the plant was opened with.
func (f *floors) newReloader() *reloader {
	return &reloader{
		cfg: f.cfg, live: f.live, links: f.links, db: f.db, doer: f.doer, log: f.log.With("part", "mapping"), trials: &trials{}, from: f.mapsBy,
	}
}

// Run looks again and again until ctx ends, and at once when it is told of a change.
func (r *reloader) Run(ctx context.Context) error {
	told, end := r.db.Subscribe(edition.Topic)
	defer end()
	r.begin(ctx)
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		r.look(ctx)
		select {
		case <-ctx.Done():
			r.trials.keep(context.WithoutCancel(ctx), r.db, r.log)
			return nil
		case <-tick.C:
		case <-told:
		}
	}
}

// begin reads what this node mapped by when it last ran, and notes a folder that was changed since.
func (r *reloader) begin(ctx context.Context) {
	err := r.db.View(ctx, func(tx *store.Tx) error {
		nodes, err := edition.Nodes(ctx, tx)
		for _, n := range nodes {
			if n.Name == r.cfg.node() {
				r.node = n
			}
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "what this node mapped by before is not known", "err", err)
	}
	n := edition.Node{Name: r.cfg.node(), Used: r.from}
	if strings.HasPrefix(r.from, folderMark) {
		e, err := r.cfg.folder()
		if err != nil {
			return // look tells of it
		}
		n.Used = e.Hash
		r.noteFolder(ctx, e)
	}
	r.report(ctx, n)
}

// look takes what is to be used and what is to be tried, if either has changed, and says once what came of it.
func (r *reloader) look(ctx context.Context) {
	r.trials.keep(ctx, r.db, r.log)
	s, err := currentEdition(ctx, r.db)
	if err != nil {
		return // the database is away, as others tell; the mappings in use stay
	}
	n := r.node
	r.use(ctx, s, &n)
	r.try(ctx, s.Tried.Edition, &n)
	r.report(ctx, n)
}

// use takes other mappings, if there are others.
func (r *reloader) use(ctx context.Context, s edition.State, n *edition.Node) {
	from, err := r.cfg.mapsBy(s)
	if err != nil || from == r.from && s.Used.Approver == r.by {
		return // a folder that cannot be read says nothing
	}
	r.from, r.by = from, s.Used.Approver
	e, err := r.cfg.edition(ctx, r.db, s)
	var changes []mapping.Change
	if err == nil {
		changes, err = r.reload(e)
	}
	if err != nil {
		n.Trouble = err.Error()
		r.log.ErrorContext(ctx, "the changed mappings are not used: those from before stay", "err", err)
		return
	}
	n.Used, n.Trouble = e.Hash, ""
	for _, c := range changes {
		r.log.InfoContext(ctx, "a mapping was changed", "message", fmt.Sprintf("%s: %s → %s", c.Name, hashOf(c.Before), hashOf(c.After)))
	}
	if s.Used.Edition == "" {
		r.noteFolder(ctx, e)
	}
}

func (r *reloader) reload(e edition.Edition) ([]mapping.Change, error) {
	files, err := e.FS()
	if err != nil {
		return nil, err
	}
	changes, err := r.live.Reload(r.accept, mapping.Library(), files)
	return changes, toldMistakes(err)
}

// accept refuses mappings that do not fit what they are for.
func (r *reloader) accept(next *mapping.Set) error {
	return errors.Join(r.cfg.checkAgainst(next, r.links), r.cfg.refuseUnfit(next, r.links))
}

// noteFolder keeps the folder that this node maps by, so that somebody can go back to it, with an audit entry if it was another before.
func (r *reloader) noteFolder(ctx context.Context, e edition.Edition) {
	before := r.node.Used
	if before == e.Hash {
		return
	}
	by := edition.By{Actor: "node:" + r.cfg.node(), Reason: "the files in the folder of mappings were changed"}
	note := func(ctx context.Context, tx *store.Tx) error { return edition.Folder(ctx, tx, e, before, by) }
	var err error
	if before == "" {
		err = r.db.InTx(ctx, func(tx *store.Tx) error { return note(ctx, tx) })
	} else {
		act := access.Act{Action: access.MappingReload, Actor: access.Actor{Name: by.Actor, Rights: access.Everything()}, Object: "mapping/" + edition.Short(e.Hash), Reason: by.Reason}
		_, err = r.doer.Do(ctx, act, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
			return access.Result{Before: hashJSON(before), After: hashJSON(e.Hash)}, note(ctx, tx)
		})
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "the folder of mappings could not be kept to go back to", "err", err)
	}
}

// try begins or ends a trial.
func (r *reloader) try(ctx context.Context, hash string, n *edition.Node) {
	if hash == r.tried {
		return
	}
	r.tried = hash
	r.live.Try(nil, nil)
	if n.Tried = ""; hash == "" {
		return
	}
	set, err := r.trialSet(ctx, hash)
	if err != nil {
		n.Trouble = "edition " + edition.Short(hash) + " is not tried: " + err.Error()
		r.log.ErrorContext(ctx, "the mappings to be tried are not", "err", err)
		return
	}
	n.Tried = hash
	r.live.Try(set, r.trials.of(hash))
	r.log.InfoContext(ctx, "mappings are tried beside those in use", "message", edition.Short(hash))
}

func (r *reloader) trialSet(ctx context.Context, hash string) (*mapping.Set, error) {
	set, err := loadEdition(ctx, r.db, hash)
	if err != nil {
		return nil, err
	}
	return set, r.accept(set)
}

// report keeps what this node maps by, where it is something else than before.
func (r *reloader) report(ctx context.Context, n edition.Node) {
	n.Name, n.At = r.cfg.node(), r.node.At
	if n == r.node {
		return
	}
	if err := r.db.InTx(ctx, func(tx *store.Tx) error { return edition.Report(ctx, tx, n) }); err == nil {
		r.node = n
	}
}

// folderMark begins what a folder is known as, to tell it from an edition.
const folderMark = "folder "

// mapsBy names what a plant is to map by: an edition, or the folder as it is now.
func (c Config) mapsBy(s edition.State) (string, error) {
	if s.Used.Edition != "" {
		return s.Used.Edition, nil
	}
	sum, err := c.folderState()
	return folderMark + sum, err
}

// folderState is a sum over names, sizes and times of the files in the folder.
func (c Config) folderState() (string, error) {
	h := fnv.New64a()
	if !c.hasMappings() {
		return "", nil
	}
	err := filepath.WalkDir(c.Mappings, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(h, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return fmt.Sprint(h.Sum64()), err
}

// folder is the plant's own folder as it is now.
func (c Config) folder() (edition.Edition, error) { return edition.Read(os.DirFS(c.Mappings)) }
