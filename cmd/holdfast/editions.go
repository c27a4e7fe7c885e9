package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"

	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// fourEyes is the value of mappings_policy by which an edition is used only after a second person has looked at it.
const fourEyes = "four_eyes"

// currentEdition reads which edition is used, tried and proposed.
func currentEdition(ctx context.Context, db *store.DB) (s edition.State, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		s, err = edition.Current(ctx, tx)
		return err
	})
	return s, err
}

// edition is what a plant is to map by: the published one, or its folder as it is now. Policy may have something against it.
func (c Config) edition(ctx context.Context, db *store.DB, s edition.State) (e edition.Edition, err error) {
	if s.Used.Edition == "" {
		if e, err = c.folder(); err == nil && c.MappingsPolicy == fourEyes && !e.Empty() {
			err = &problem.Error{
				Kind: problem.Denied, What: "use the mappings in " + c.Mappings, Why: "nobody has approved them, and mappings_policy asks for four eyes",
				Hint: "have them published, and approved by somebody else: holdfast mapping publish, then holdfast mapping approve",
			}
		}
		return e, err
	}
	if err := c.approved(ctx, db, s); err != nil && problem.KindOf(err) != problem.Unavailable { // what needs the keyring asks again: vouched, reloader.use
		return e, err
	}
	err = db.View(ctx, func(tx *store.Tx) error {
		e, err = edition.Load(ctx, tx, s.Used.Edition)
		return err
	})
	return e, err
}

// approved is nil where policy has nothing against the edition that is used: by the audit record somebody else than its author has approved it.
func (c Config) approved(ctx context.Context, db *store.DB, s edition.State) error {
	if c.MappingsPolicy != fourEyes || s.Used.Edition == "" {
		return nil
	}
	return db.View(ctx, func(tx *store.Tx) error { return s.Used.Approved(ctx, tx) })
}

// vouched refuses to start by an edition that the audit record does not say was approved. It could not be read before there was a keyring. While that does
// not answer the plant starts, and the reloader asks again.
func (f *floors) vouched(ctx context.Context) error {
	s, err := currentEdition(ctx, f.db)
	if err == nil {
		err = f.cfg.approved(ctx, f.db, s)
	}
	if f.unvouched = waited(err); f.unvouched {
		f.log.WarnContext(ctx, "whether the mappings in use were approved is not known yet", "part", "mapping", "err", err)
		return nil
	}
	return err
}

// waited tells whether time may bring what an error says is missing. What the keyring has refused it may have refused because somebody has put it in.
func waited(err error) bool {
	return problem.KindOf(err) == problem.Unavailable && !errors.Is(err, seal.ErrRefused)
}

// refusedEdition says where mappings come from that are refused at start: not from the folder, where a person looks first.
func refusedEdition(s edition.State) error {
	if s.Used.Edition == "" {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: "start with edition " + edition.Short(s.Used.Edition) + " of the mappings, which was published",
		Why:  "this release, configuration or contract does not take it, whatever the folder has by now",
		Hint: "mend the mappings in their folder, then: holdfast mapping publish --reason …; nothing was changed or sent",
	}
}

// base is what another edition is compared with: the published one or, before the first, what this node maps by of its folder (ownEdition); under four eyes that does not count until
// it is published, and nothing is laid over the shipped mappings.
func (c Config) base(ctx context.Context, db *store.DB) (edition.Edition, error) {
	s, err := currentEdition(ctx, db)
	switch {
	case err != nil:
		return edition.Edition{}, err
	case s.Used.Edition != "":
		return c.edition(ctx, db, s)
	case c.MappingsPolicy == fourEyes:
		return edition.None()
	}
	e, _, err := c.ownEdition(ctx, db)
	return e, err
}

// ownEdition is what this node maps by before an edition is published: its folder or, where that is refused, what it goes on by, as it does at a start (floors.useLast). A folder that
// has no mistake, and does not fit what it is for, is refused by the word of the node that runs.
func (c Config) ownEdition(ctx context.Context, db *store.DB) (e edition.Edition, set *mapping.Set, err error) {
	_, refused := c.sources() // a folder that is named must be there
	if refused == nil {
		e, refused = c.folder()
	}
	if refused == nil {
		refused = c.vanished(ctx, db, e)
	}
	if refused == nil {
		set, refused = compileEdition(e)
	}
	last, err := c.lastUsed(ctx, db)
	if err != nil {
		return e, nil, errors.Join(refused, err)
	}
	if refused == nil {
		own, err := c.ownNode(ctx, db)
		if err != nil || own.Trouble == "" || own.Used == "" || own.Used == e.Hash {
			return e, set, err
		}
		last = own.Used
	}
	if last == "" {
		return e, nil, refused
	}
	err = db.View(ctx, func(tx *store.Tx) error {
		e, err = edition.Load(ctx, tx, last)
		return err
	})
	if err == nil {
		set, err = compileKept(e)
	}
	if err != nil {
		return e, nil, errors.Join(refused, err)
	}
	return e, set, nil
}

// vanished refuses a folder without a file where this node mapped by one that had some (of a node that never ran: whatever was used last): a mount that was lost looks like that, and
// the shipped mappings would take the place of the plant's. The error is of kind Invalid.
func (c Config) vanished(ctx context.Context, db *store.DB, e edition.Edition) error {
	if !e.Empty() || c.MappingsPolicy == fourEyes {
		return nil
	}
	own, err := c.ownNode(ctx, db)
	before := own.Used
	if err == nil && before == "" {
		before, err = c.lastUsed(ctx, db)
	}
	if err != nil || before == "" || before == e.Hash {
		return err
	}
	return c.noFiles()
}

// noFiles says that the folder has none, and had.
func (c Config) noFiles() error {
	return &problem.Error{
		Kind: problem.Invalid, What: "map by the folder " + c.Mappings, Why: "it is gone or has no file any more, and the plant maps by mappings that stood there",
		Hint: "bring the folder back; if the shipped mappings are meant, publish a folder that is empty: holdfast mapping publish --from FOLDER --reason TEXT",
	}
}

// ownNode is what this node has said that it maps by; zero if it never ran.
func (c Config) ownNode(ctx context.Context, db *store.DB) (own edition.Node, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		nodes, err := edition.Nodes(ctx, tx)
		for _, n := range nodes {
			if n.Name == c.node() {
				own = n
			}
		}
		return err
	})
	return own, err
}

// loadEdition compiles an edition over the shipped mappings.
func loadEdition(ctx context.Context, db *store.DB, hash string) (*mapping.Set, error) {
	var e edition.Edition
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		e, err = edition.Load(ctx, tx, hash)
		return err
	})
	if err != nil {
		return nil, err
	}
	return compileKept(e)
}

// compileKept compiles an edition that was checked when it was published, maybe by an earlier release.
func compileKept(e edition.Edition) (*mapping.Set, error) {
	files, err := e.FS()
	if err != nil {
		return nil, err
	}
	set, err := mapping.LoadPublished(mapping.Library(), files)
	return set, toldMistakes(err)
}

// newer tells what this release finds in mappings that were published before, and would refuse in others.
func newer(ctx context.Context, log *slog.Logger, found []misfit) {
	for _, f := range found {
		if f.Newer {
			log.WarnContext(ctx, "a published mapping goes on that this release would refuse if it were new", "message", f.Error(), "link", f.link)
		}
	}
}

// compileEdition compiles an edition that is to be published.
func compileEdition(e edition.Edition) (*mapping.Set, error) {
	files, err := e.FS()
	if err != nil {
		return nil, err
	}
	set, err := mapping.Load(mapping.Library(), files)
	return set, toldMistakes(err)
}

// usedMappings are those that a plant maps by: of the published edition or, before the first one, of the folder, unless that has to be
// approved, or is refused.
func usedMappings(ctx context.Context, cfg Config, db *store.DB) (*mapping.Set, error) {
	s, err := currentEdition(ctx, db)
	if err != nil || s.Used.Edition == "" && cfg.MappingsPolicy != fourEyes {
		_, set, errSet := cfg.ownEdition(ctx, db)
		return set, errors.Join(err, errSet)
	}
	e, err := cfg.base(ctx, db)
	if err != nil {
		return nil, err
	}
	return compileKept(e)
}

// remembers tells whether the plant's database has an edition to map by where the folder cannot be: one that was published, or the folder as it was.
func (c Config) remembers(ctx context.Context) bool {
	r, err := openRecords(ctx, c)
	if err != nil {
		return false
	}
	defer r.db.Close()
	s, err := currentEdition(ctx, r.db)
	if err != nil || s.Used.Edition != "" {
		return err == nil
	}
	last, err := c.lastUsed(ctx, r.db)
	return err == nil && last != ""
}

// lastUsed is the edition that came into use last, on whatever node: one that was away has an older one of its own. Where no step tells it is what this node mapped by; "" if there is
// none, or only one that nobody has approved where policy asks for that.
func (c Config) lastUsed(ctx context.Context, db *store.DB) (hash string, err error) {
	if c.MappingsPolicy == fourEyes {
		return "", nil
	}
	err = db.View(ctx, func(tx *store.Tx) error {
		hash, err = edition.InUse(ctx, tx)
		return err
	})
	if err == nil && hash == "" {
		own, errOwn := c.ownNode(ctx, db)
		hash, err = own.Used, errOwn
	}
	return hash, err
}

// stateJSON is what the audit record has of a state: which editions count.
func stateJSON(s edition.State) json.RawMessage {
	return slotsJSON(map[string]string{"used": s.Used.Edition, "tried": s.Tried.Edition, "proposed": s.Proposed.Edition})
}

func hashJSON(hash string) json.RawMessage {
	return slotsJSON(map[string]string{"used": hash})
}

func slotsJSON(slots map[string]string) json.RawMessage {
	maps.DeleteFunc(slots, func(_, hash string) bool { return hash == "" })
	text, err := json.Marshal(slots)
	if err != nil {
		panic(err) // a map of texts is always JSON
	}
	return text
}

// trials gathers what comes of trying mappings, so that no message waits for it to be kept.
type trials struct {
	mu      sync.Mutex
	waiting map[string]edition.Gathered // by edition; guarded by mu
}

// of takes what comes of trying one edition.
func (t *trials) of(hash string) func(mapping.Trial) {
	return func(one mapping.Trial) {
		trial := edition.Trial{Mapping: one.Mapping, Message: one.Message, Kind: one.Kind, Link: one.Link}
		for _, d := range one.Differences {
			trial.Places = append(trial.Places, d.At)
		}
		t.change(hash, func(g *edition.Gathered) { g.Add(trial) })
	}
}

func (t *trials) change(hash string, do func(*edition.Gathered)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.waiting = map[string]edition.Gathered{}
	}
	g := t.waiting[hash]
	do(&g)
	t.waiting[hash] = g
}

// keep writes what has come. What the database does not take waits for the next time, and left says how many results that are; one whose
// commit was not answered may be counted twice.
func (t *trials) keep(ctx context.Context, db *store.DB) (left int64, err error) {
	t.mu.Lock()
	waiting := t.waiting
	t.waiting = nil
	t.mu.Unlock()
	for hash, g := range waiting {
		if errOne := db.InTx(ctx, func(tx *store.Tx) error { return edition.Record(ctx, tx, hash, g) }); errOne != nil {
			t.change(hash, func(now *edition.Gathered) { now.AddAll(g) })
			left, err = left+g.Mapped(), errors.Join(err, errOne)
		}
	}
	return left, err
}

// keepSet keeps everything that a set was made of, and names it after that: what is sent by it can be asked for by it.
func keepSet(ctx context.Context, db *store.DB, set *mapping.Set, plant edition.Edition) error {
	if set == nil {
		return nil
	}
	whole, err := edition.Whole(mapping.Library(), plant)
	if table := mapping.UnitsToKeep(); err == nil && table != nil {
		whole, err = whole.With("shipped/"+mapping.KeptUnits, table)
	}
	if err == nil {
		err = db.InTx(ctx, func(tx *store.Tx) error { return edition.KeepSet(ctx, tx, whole, set.Versions()) })
	}
	set.Kept = edition.Short(whole.Hash)
	return err
}

// earlierRules compiles the set that a message may have been sent by.
func (f *floors) earlierRules(ctx context.Context, by string) (*mapping.Set, error) {
	var whole edition.Edition
	var kept bool
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		whole, kept, err = edition.LoadSet(ctx, tx, by)
		return err
	})
	if err == nil && !kept || problem.KindOf(err) == problem.Integrity {
		return nil, errors.Join(mapping.ErrGone, err)
	}
	if err != nil {
		return nil, err
	}
	folders, err := whole.Folders()
	if err != nil {
		return nil, err
	}
	set, err := mapping.LoadKept(folders[0], folders[1:]...)
	if err != nil {
		return nil, errors.Join(mapping.ErrGone, err)
	}
	set.Kept = edition.Short(whole.Hash)
	return set, nil
}
