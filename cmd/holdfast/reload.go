package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/alert"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
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
	out    *outbox.Outbox
	alerts *alert.Alerts

	begun  string        // the edition that the plant began with, while it is not known whether it was approved; else ""
	last   string        // the edition that the plant began with as its folder was refused; else ""
	used   attempt       // an edition, or the folder as it was then
	seen   sight         // the folder, while it changes
	settle time.Duration // how long the folder has to stand still
	tried  attempt       // an edition
	node   edition.Node  // what it maps by
	kept   edition.Node  // as it was last reported
}

// refitEvery is how often a node looks whether mappings fit by now that did not fit a link: a contract may be learnt later, or anew.
const refitEvery = time.Minute

// purgeEvery is how often a node notes that it maps by its set, and deletes those that nobody names.
const purgeEvery = time.Hour

// attempt is what was last taken, or could not be.
type attempt struct {
	what, by string    // by is who had approved it: what was refused for want of that may be approved later
	again    time.Time // when it is looked at again; zero if it was taken, or stays wrong
	trouble  string    // why it was not taken
}

// stands tells whether nothing has changed since, and nothing may have become better.
func (a *attempt) stands(what, by string, now time.Time) bool {
	return a.what == what && a.by == by && (a.again.IsZero() || now.Before(a.again))
}

// came remembers what came of an attempt, and tells whether that is news. Only what is wrong in itself stays refused: a database that was
// away, or a contract that is not known yet, would else keep one node on other mappings than the rest for ever.
func (a *attempt) came(what, by string, err error, now time.Time) (news bool) {
	next := attempt{what: what, by: by}
	if err != nil {
		next.trouble = err.Error()
		if _, ok := errors.AsType[unfitError](err); ok {
			next.again = now.Add(refitEvery)
		} else if !slices.Contains([]problem.Kind{problem.Invalid, problem.Denied, problem.TooLarge}, problem.KindOf(err)) {
			next.again = now
		}
	}
	news = next.what != a.what || next.trouble != a.trouble
	*a = next
	return news
}

// sight is what a look found in the folder: the hash of its files, or why they cannot be read.
type sight struct {
	what string
	at   time.Time
}

// settled tells whether the folder has the same files as at the look before. Whoever writes it (an editor, a checkout) replaces one file after the
// other, and each state in between may be without a mistake.
func (r *reloader) settled(e edition.Edition, err error, now time.Time) bool {
	what := e.Hash
	if err != nil {
		what = err.Error()
	}
	if r.seen.what != what {
		r.seen = sight{what, now}
		return false
	}
	return now.Sub(r.seen.at) >= r.settle
}

// unfitError is that of mappings which have no mistake, and do not fit what they are for.
type unfitError struct{ error }

// Unwrap gives what does not fit.
func (e unfitError) Unwrap() error { return e.error }

// newReloader begins with what the plant was opened with.
func (f *floors) newReloader() *reloader {
	r := &reloader{
		cfg: f.cfg, live: f.live, links: f.links, db: f.db, doer: f.doer, log: f.log.With("part", "mapping"), trials: &trials{},
		out: f.outbox, alerts: f.alerts, used: attempt{what: f.mapsBy}, settle: reloadEvery / 2,
	}
	if f.unfit != nil {
		r.last = f.last
		r.used.came(f.mapsBy, "", f.unfit, f.db.Now())
	}
	if f.unvouched {
		r.begun = f.mapsBy
	}
	return r
}

// Run looks again and again until ctx ends, and at once when it is told of a change.
func (r *reloader) Run(ctx context.Context) error {
	told, end := r.db.Subscribe(edition.Topic)
	defer end()
	r.begin(ctx)
	tick, house := time.NewTicker(reloadEvery), time.NewTicker(purgeEvery)
	defer tick.Stop()
	defer house.Stop()
	r.purgeSets(ctx)
	for {
		r.look(ctx)
		if err := r.vouch(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			r.lastTrials(context.WithoutCancel(ctx))
			return nil
		case <-house.C:
			r.purgeSets(ctx)
		case <-tick.C:
		case <-told:
		}
	}
}

// vouch asks again whether the edition was approved that the plant began with while nobody could say. The error is why it does not go on with it.
func (r *reloader) vouch(ctx context.Context) error {
	if r.begun == "" || r.begun != r.node.Used {
		r.begun = "" // others are in use by now, which were
		return nil
	}
	err := r.db.View(ctx, func(tx *store.Tx) error {
		s, err := edition.Current(ctx, tx)
		if err != nil {
			return err
		}
		if s.Used.Edition != r.begun {
			s.Used = edition.Step{Edition: r.begun}
		}
		return s.Used.Approved(ctx, tx)
	})
	if ctx.Err() != nil || waited(err) {
		return nil
	}
	if r.begun = ""; err != nil {
		return fmt.Errorf("go on with mappings that were in use at the start: %w", err)
	}
	r.log.InfoContext(ctx, "the mappings in use were approved, as the audit record says now that it can be read")
	return nil
}

// purgeSets notes that this node maps by its set, and deletes those that nothing names any more.
func (r *reloader) purgeSets(ctx context.Context) {
	var gone int64
	err := r.db.InTx(ctx, func(tx *store.Tx) error {
		named, err := outbox.Marked(ctx, tx)
		if err == nil {
			gone, err = edition.PurgeSets(ctx, tx, append(named, r.live.Kept()), r.out.Config().Keep)
		}
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.WarnContext(ctx, "sets of mappings that nobody names are not purged", "err", err)
	case gone > 0:
		r.log.InfoContext(ctx, "sets of mappings that nobody names were deleted", "count", gone)
	}
}

// lastTrials keeps what came of trying mappings before the node stops, or says what is lost.
func (r *reloader) lastTrials(ctx context.Context) {
	if left, err := r.trials.keep(ctx, r.db); err != nil {
		r.log.WarnContext(ctx, "what came of trying mappings is not kept: the figures of the trial are too small by these", "count", left, "err", err)
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
	r.kept = r.node
	n := edition.Node{Name: r.cfg.node(), Used: r.used.what}
	if r.last != "" {
		n.Used, n.Trouble = r.last, r.used.trouble
		r.raise(ctx, r.last)
		r.report(ctx, n)
		return
	}
	if strings.HasPrefix(r.used.what, folderMark) {
		e, err := r.cfg.folder()
		if err != nil {
			return // look tells of it
		}
		if n.Used = e.Hash; !r.noteFolder(ctx, e) {
			n.Used, r.used.what = r.node.Used, "" // look notes it
		}
	}
	r.report(ctx, n)
}

// notUsed is the alert of a plant that has started, or goes on, by the mappings from before.
const notUsed = "mapping.not-used"

// raise tells that the folder is not what the plant maps by, but an edition from before.
func (r *reloader) raise(ctx context.Context, before string) {
	why := fmt.Errorf("the plant goes on by edition %s, for the mappings in its folder are refused: %s", edition.Short(before), r.used.trouble)
	err := r.db.InTx(ctx, func(tx *store.Tx) error {
		return r.alerts.Raise(ctx, tx, notUsed, "mapping/"+edition.Short(before), why)
	})
	if err != nil && ctx.Err() == nil {
		r.log.ErrorContext(ctx, "no alert could be raised", "err", errors.Join(why, err))
	}
}

// look takes what is to be used and what is to be tried, if either has changed, and says once what came of it.
func (r *reloader) look(ctx context.Context) {
	_, _ = r.trials.keep(ctx, r.db) // while the database is away, as others tell, they wait
	s, err := currentEdition(ctx, r.db)
	if err != nil {
		return // the database is away, as others tell; the mappings in use stay
	}
	n := r.node
	r.use(ctx, s, &n)
	r.try(ctx, s.Tried.Edition, &n)
	n.Trouble = strings.Trim(r.used.trouble+"; "+r.tried.trouble, "; ")
	r.report(ctx, n)
}

// use takes other mappings, if there are others.
func (r *reloader) use(ctx context.Context, s edition.State, n *edition.Node) {
	now := r.db.Now()
	from := r.cfg.mapsBy(s)
	if r.used.stands(from, s.Used.Approver, now) {
		return
	}
	e, err := r.cfg.edition(ctx, r.db, s)
	if err == nil {
		err = r.cfg.approved(ctx, r.db, s)
	}
	if s.Used.Edition == "" && from != r.used.what && !r.settled(e, err, now) {
		return
	}
	var changes []mapping.Change
	if err == nil && s.Used.Edition == "" {
		err = r.emptied(e)
	}
	if err == nil {
		changes, err = r.reload(ctx, e, s.Used.Edition != "")
	}
	told := r.used.trouble
	if news := r.used.came(from, s.Used.Approver, err, now); err != nil {
		if news {
			r.log.ErrorContext(ctx, "ALARM: the changed mappings are not used: those from before stay", "err", err)
		}
		if s.Used.Edition == "" && r.used.trouble != told {
			r.raise(ctx, n.Used)
		}
		return
	}
	for _, c := range changes {
		r.log.InfoContext(ctx, "a mapping was changed", "message", fmt.Sprintf("%s: %s → %s", c.Name, hashOf(c.Before), hashOf(c.After)))
	}
	if s.Used.Edition == "" && !r.noteFolder(ctx, e) {
		r.used.again = now
		return
	}
	n.Used = e.Hash
}

// emptied refuses a folder without a file while the plant maps by some of its own: a mount that was lost looks like that, and the shipped
// mappings would take the place of the plant's.
func (r *reloader) emptied(e edition.Edition) error {
	none, err := edition.None()
	set := r.live.Set()
	if err != nil || e.Hash != none.Hash || !slices.ContainsFunc(set.Names(), func(name string) bool { look, _ := set.Look(name); return look.Own }) {
		return err
	}
	return r.cfg.noFiles()
}

func (r *reloader) reload(ctx context.Context, e edition.Edition, published bool) ([]mapping.Change, error) {
	files, err := e.FS()
	if err != nil {
		return nil, err
	}
	kept := func(next *mapping.Set) error { // before anything is sent by it
		if err := r.accept(ctx, next); err != nil {
			return err
		}
		return keepSet(ctx, r.db, next, e)
	}
	reload := r.live.Reload
	if published {
		reload = r.live.ReloadPublished
	}
	changes, err := reload(kept, mapping.Library(), files)
	return changes, toldMistakes(err)
}

// accept refuses mappings that do not fit what they are for.
func (r *reloader) accept(ctx context.Context, next *mapping.Set) error {
	found := r.cfg.fit(next, r.links)
	newer(ctx, r.log, found)
	if err := errors.Join(r.cfg.checkAgainst(next, r.links), r.cfg.refused(found)); err != nil {
		return unfitError{err}
	}
	return nil
}

// noteFolder keeps the folder that this node maps by, so that somebody can go back to it, with an audit entry if it was another before. It
// tells whether the folder is kept.
func (r *reloader) noteFolder(ctx context.Context, e edition.Edition) bool {
	before := r.node.Used
	if before == e.Hash {
		return true
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
	return err == nil
}

// try begins or ends a trial.
func (r *reloader) try(ctx context.Context, hash string, n *edition.Node) {
	now := r.db.Now()
	if r.tried.stands(hash, "", now) {
		return
	}
	r.live.Try(nil, nil)
	if n.Tried = ""; hash == "" {
		r.tried = attempt{}
		return
	}
	set, err := r.trialSet(ctx, hash)
	if err != nil {
		err = fmt.Errorf("edition %s is not tried: %w", edition.Short(hash), err)
	}
	if news := r.tried.came(hash, "", err, now); err != nil {
		if news {
			r.log.ErrorContext(ctx, "the mappings to be tried are not", "err", err)
		}
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
	return set, r.accept(ctx, set)
}

// report keeps what this node maps by, where it is something else than was kept.
func (r *reloader) report(ctx context.Context, n edition.Node) {
	n.Name, n.At = r.cfg.node(), r.kept.At
	if r.node = n; n == r.kept {
		return
	}
	if err := r.db.InTx(ctx, func(tx *store.Tx) error { return edition.Report(ctx, tx, n) }); err == nil {
		r.kept = n
	}
}

// folderMark begins what a folder is known as, to tell it from an edition.
const folderMark = "folder "

// mapsBy names what a plant is to map by: an edition, or the folder as it is now.
func (c Config) mapsBy(s edition.State) string {
	if s.Used.Edition != "" {
		return s.Used.Edition
	}
	return folderMark + c.folderState()
}

// folderState is a sum over names, sizes and times of the files in the folder that count. Links are followed: a volume of Kubernetes changes where one
// leads to, and not the link. Why something cannot be read is a part of the state: whoever then reads the folder tells of it.
func (c Config) folderState() string {
	if !c.hasMappings() {
		return ""
	}
	h := fnv.New64a()
	root, err := filepath.EvalSymlinks(c.Mappings)
	if err != nil {
		root = c.Mappings
	}
	_ = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			fmt.Fprintf(h, "%s: %v\n", file, err)
		case file != root && d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir() && edition.Takes(file):
			addState(h, file)
		}
		return nil // the error of one file keeps none of the others from being looked at
	})
	return fmt.Sprint(h.Sum64())
}

func addState(h io.Writer, file string) {
	to, err := filepath.EvalSymlinks(file)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(to)
	}
	if err != nil {
		fmt.Fprintf(h, "%s: %v\n", file, err)
		return
	}
	fmt.Fprintf(h, "%s %s %d %d\n", file, to, info.Size(), info.ModTime().UnixNano())
}

// folder is the plant's own folder as it is now.
func (c Config) folder() (edition.Edition, error) { return edition.Read(os.DirFS(c.Mappings)) }
