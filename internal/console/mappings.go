package console

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"

	"holdfast/internal/access"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Workshop is what the Mappings page needs of the program around it.
type Workshop interface {
	// Base is what a changed mapping is laid over: the edition in use or, before the first was published, the folder of mappings.
	Base(ctx context.Context) (edition.Edition, error)
	// Fit is what the contracts of the links that use a mapping have against it, by link; a link that has nothing against it has none.
	Fit(set *mapping.Set, name string) map[string][]mapping.Finding
	// Ready refuses an edition that has a mistake, does not fit its links, or makes something else than its examples say.
	Ready(ctx context.Context, e edition.Edition) error
}

// mappingRow is one mapping of the list.
type mappingRow struct {
	mapping.Look
	Tried, Proposed string // its version there, if it is another one
}

// From is what it takes, To what it makes.
func (m mappingRow) From() string { return m.Kind + m.Document }

// To is what it makes.
func (m mappingRow) To() string {
	if m.Inbound {
		return "the plant"
	}
	return m.Target
}

// mappingsView is the list, and what is done with editions.
type mappingsView struct {
	Rows     []mappingRow
	State    edition.State
	Steps    []edition.Step
	Nodes    []edition.Node
	Tallies  []edition.Tally
	Differ   []edition.Trial
	FourEyes bool
	Wrong    string // why an edition that is tried or proposed is not compared
}

// compiled keeps the sets of editions that are not in use, so that each is compiled once.
type compiled struct {
	mu   sync.Mutex
	sets map[string]*mapping.Set // by edition; guarded by mu
}

// mostCompiled is how many are kept.
const mostCompiled = 4

func (c *Console) editionSet(ctx context.Context, hash string) (*mapping.Set, error) {
	c.compiled.mu.Lock()
	defer c.compiled.mu.Unlock()
	if s := c.compiled.sets[hash]; s != nil {
		return s, nil
	}
	var e edition.Edition
	err := c.view(ctx, func(tx *store.Tx) (err error) {
		e, err = edition.Load(ctx, tx, hash)
		return err
	})
	if err != nil {
		return nil, err
	}
	files, err := e.FS()
	if err != nil {
		return nil, err
	}
	set, err := mapping.Load(mapping.Library(), files)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "compile edition " + edition.Short(hash), Why: err.Error(), Hint: "it was made for another version of Holdfast: publish its files again", Cause: err}
	}
	if len(c.compiled.sets) >= mostCompiled || c.compiled.sets == nil {
		c.compiled.sets = map[string]*mapping.Set{}
	}
	c.compiled.sets[hash] = set
	return set, nil
}

// mappings answers GET /console/mappings.
func (c *Console) mappings(r *http.Request) (*page, error) {
	v, err := c.mappingsView(r.Context())
	return &page{name: "mappings", Title: "Mappings", Section: "Mappings", Live: true, Body: v}, err
}

func (c *Console) mappingsView(ctx context.Context) (v mappingsView, err error) {
	v.FourEyes = c.cfg.FourEyes
	err = c.view(ctx, func(tx *store.Tx) (err error) {
		if v.State, err = edition.Current(ctx, tx); err != nil {
			return err
		}
		if v.Steps, err = edition.Steps(ctx, tx, 20); err != nil {
			return err
		}
		if v.Nodes, err = edition.Nodes(ctx, tx); err != nil {
			return err
		}
		if v.State.Tried.Edition != "" {
			v.Tallies, v.Differ, err = edition.Trials(ctx, tx, v.State.Tried.Edition, 20)
			v.Differ = slices.DeleteFunc(v.Differ, func(t edition.Trial) bool { return c.Doer.Permit(actorOf(ctx), access.MsgRead, t.Link) != nil })
		}
		return err
	})
	if err != nil {
		return v, err
	}
	used := c.Rules.Set()
	versions := func(hash string) map[string]string {
		out, err := c.changed(ctx, used, hash)
		if err != nil {
			v.Wrong = c.toldText(err)
		}
		return out
	}
	tried, proposed := versions(v.State.Tried.Edition), versions(v.State.Proposed.Edition)
	names := slices.Concat(used.Names(), slices.Collect(maps.Keys(tried)), slices.Collect(maps.Keys(proposed)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		l, _ := used.Look(name)
		l.Name = name
		v.Rows = append(v.Rows, mappingRow{l, tried[name], proposed[name]})
	}
	return v, nil
}

// toldText is an error in one line.
func (c *Console) toldText(err error) string {
	if problem.KindOf(err) == problem.Internal {
		c.log.Error("an edition cannot be read", "err", err)
		return "an edition cannot be read; the log of the plant says why"
	}
	return err.Error()
}

// changed are the mappings of which an edition has another version, "gone" for one that it does not have.
func (c *Console) changed(ctx context.Context, used *mapping.Set, hash string) (map[string]string, error) {
	out := map[string]string{}
	if hash == "" {
		return out, nil
	}
	set, err := c.editionSet(ctx, hash)
	if err != nil {
		return out, err
	}
	for _, ch := range used.Changes(set) {
		if out[ch.Name] = ch.After; ch.After == "" {
			out[ch.Name] = "gone"
		}
	}
	return out, nil
}

// effectsView is what other mappings would change in recorded messages.
type effectsView struct {
	What    string
	Looked  int
	Effects []mapping.Effect
}

// mostCompared is how many of the newest messages are mapped twice for a comparison.
const mostCompared = 100

// effect answers GET /console/mappings/effect: what the edition that is tried or proposed would change in recorded messages.
func (c *Console) effect(r *http.Request) (*page, error) {
	slot := r.URL.Query().Get("of")
	var s edition.State
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		s, err = edition.Current(r.Context(), tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	hash, ok := map[string]string{"tried": s.Tried.Edition, "proposed": s.Proposed.Edition}[slot]
	if !ok || hash == "" {
		return nil, &problem.Error{Kind: problem.NotFound, What: "compare mappings", Why: "none are " + slot, Hint: "see the history on the Mappings page"}
	}
	release, err := c.slot(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	set, err := c.editionSet(r.Context(), hash)
	if err != nil {
		return nil, err
	}
	v, err := c.compare(r, c.Rules.Set(), set, "")
	v.What = "edition " + edition.Short(hash) + ", which is " + slot
	return &page{name: "mappingeffect", Title: "What would change", Section: "Mappings", Body: v}, err
}

// compare maps the newest recorded messages by two sets: those of one mapping, or all. Messages of links that the reader may not see are
// passed over.
func (c *Console) compare(r *http.Request, before, after *mapping.Set, name string) (v effectsView, err error) {
	ctx, end := context.WithTimeout(r.Context(), previewTime)
	defer end()
	err = c.view(ctx, func(tx *store.Tx) error {
		v.Looked, v.Effects = 0, nil
		kind := ""
		if l, ok := before.Look(name); ok {
			kind = l.Kind
		}
		list, _, err := c.Outbox.Messages(ctx, tx, outbox.Filter{Kind: kind, Limit: mostCompared}, "")
		if err != nil {
			return err
		}
		for _, brief := range list {
			by := before.Name(brief.Mapping, brief.Kind)
			if brief.Mapping == "" || brief.Large != nil || name != "" && by != name || c.Doer.Permit(actorOf(ctx), access.MsgRead, brief.Link) != nil {
				continue
			}
			d, err := c.Outbox.Message(ctx, tx, brief.ID)
			if err != nil {
				return err
			}
			v.Looked++
			if e := mapping.Compare(ctx, before, after, d.Mapping, d.Message, c.references(tx, d.Link)); len(e.Differences) > 0 {
				v.Effects = append(v.Effects, e)
			}
		}
		return nil
	})
	return v, err
}

// references knows the ERP's numbers of what the plant has made.
func (c *Console) references(tx *store.Tx, link string) mapping.Resolver {
	return func(ctx context.Context, object string) (string, bool, error) {
		return c.Outbox.Reference(ctx, tx, link, object)
	}
}
