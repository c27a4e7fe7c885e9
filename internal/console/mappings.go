package console

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"holdfast/internal/access"
	"holdfast/internal/edition"
	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/internal/store"
)

// Workshop is what the Mappings page needs of the program around it.
type Workshop interface {
	// Base is what a changed mapping is laid over and compared with: the edition in use or, before the first was published, the folder of
	// mappings; no file where four eyes must see that first.
	Base(ctx context.Context) (edition.Edition, error)
	// Fit is what the contracts of the links that use a mapping have against it, by link; a link that has nothing against it has none.
	Fit(set *mapping.Set, name string) map[string][]mapping.Finding
	// Holds is what the contracts of the links that use a mapping have against one document that it has made, a line each; nothing is sent.
	Holds(set *mapping.Set, name string, of message.Message, made mapping.Made) []string
	// Document is the type of what a mapping in takes, by the contract of a link that it is for; nil where none knows it.
	Document(set *mapping.Set, name string) *schema.Type
	// Words are what can be written into a mapping, by the contract of a link that uses it.
	Words(set *mapping.Set, name string) []mapping.Word
	// Ready refuses an edition that has a mistake, does not fit its links, or makes something else than its examples say.
	Ready(ctx context.Context, e edition.Edition) error
	// Usable refuses an edition that was used before and that no node of this release would take any more.
	Usable(ctx context.Context, e edition.Edition) error
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

// compiled keeps what came of compiling editions that are not in use, so that each is compiled once, also one that cannot be.
type compiled struct {
	mu  sync.Mutex
	all map[string]compilation // by edition; guarded by mu
}

type compilation struct {
	set *mapping.Set
	err error
}

// mostCompiled is how many are kept.
const mostCompiled = 4

// edition reads one.
func (c *Console) edition(ctx context.Context, hash string) (e edition.Edition, err error) {
	err = c.view(ctx, func(tx *store.Tx) (err error) {
		e, err = edition.Load(ctx, tx, hash)
		return err
	})
	return e, err
}

func (c *Console) editionSet(ctx context.Context, hash string) (*mapping.Set, error) {
	c.compiled.mu.Lock()
	defer c.compiled.mu.Unlock()
	if was, ok := c.compiled.all[hash]; ok {
		return was.set, was.err
	}
	e, err := c.edition(ctx, hash)
	if err != nil {
		return nil, err
	}
	files, err := e.FS()
	if err != nil {
		return nil, err
	}
	set, err := mapping.LoadPublished(mapping.Library(), files)
	if err != nil {
		set, err = nil, &problem.Error{Kind: problem.Invalid, What: "compile edition " + edition.Short(hash), Why: err.Error(), Hint: "it was made for another version of Holdfast: publish its files again", Cause: err}
	}
	if len(c.compiled.all) >= mostCompiled || c.compiled.all == nil {
		c.compiled.all = map[string]compilation{}
	}
	c.compiled.all[hash] = compilation{set, err}
	return set, err
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
			v.Tallies, v.Differ, err = edition.Trials(ctx, tx, v.State.Tried.Edition, 20, func(link string) bool {
				return c.Doer.Permit(actorOf(ctx), access.MsgRead, link) == nil
			})
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

// effectsView is what other mappings would change in recorded messages, and what of their texts is another one.
type effectsView struct {
	What    string
	Looked  int
	Effects []effectRow
	Texts   []textChange
	More    int    // lines that are not shown
	Approve string // the edition that can be approved here
}

// effectRow is one message, and where it is seen.
type effectRow struct {
	mapping.Effect
	Address string
}

// mostCompared is how many of the newest messages that went out, and that came in, are mapped twice for a comparison.
const mostCompared = 100

// effect answers GET /console/mappings/effect: what the edition that is tried or proposed would change in recorded messages.
func (c *Console) effect(r *http.Request) (*page, error) {
	of := r.URL.Query().Get("of")
	var s edition.State
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		s, err = edition.Current(r.Context(), tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	hash, ok := map[string]string{"tried": s.Tried.Edition, "proposed": s.Proposed.Edition}[of]
	if !ok || hash == "" {
		return nil, &problem.Error{Kind: problem.NotFound, What: "compare mappings", Why: "none are " + of, Hint: "see the history on the Mappings page"}
	}
	release, err := slot(r.Context(), c.slots)
	if err != nil {
		return nil, err
	}
	defer release()
	set, err := c.editionSet(r.Context(), hash)
	if err != nil {
		return nil, err
	}
	v, err := c.compare(r, c.Rules.Set(), set, "")
	if err == nil {
		v.Texts, v.More, err = c.textChanges(r.Context(), hash)
	}
	if v.What = "edition " + edition.Short(hash) + ", which is " + of; of == "proposed" {
		v.Approve = hash
	}
	return &page{name: "mappingeffect", Title: "What would change", Section: "Mappings", Body: v}, err
}

// compare maps the newest recorded messages by two sets: those of one mapping, or all. Messages of links that the reader may not see are
// passed over.
func (c *Console) compare(r *http.Request, before, after *mapping.Set, name string) (v effectsView, err error) {
	ctx, end := context.WithTimeout(r.Context(), previewTime)
	defer end()
	ctx = c.Rules.Reading(ctx)
	l, _ := before.Look(name)
	err = c.view(ctx, func(tx *store.Tx) error {
		v = effectsView{}
		var err error
		if !l.Inbound {
			err = c.compareOut(ctx, tx, before, after, l, &v)
		}
		if err == nil && (l.Inbound || name == "") {
			err = c.compareIn(ctx, tx, before, after, name, &v)
		}
		return err
	})
	return v, err
}

// compareOut maps what went out twice.
func (c *Console) compareOut(ctx context.Context, tx *store.Tx, before, after *mapping.Set, l mapping.Look, v *effectsView) error {
	list, _, err := c.Outbox.Messages(ctx, tx, outbox.Filter{Kind: l.Kind, Limit: mostCompared, Links: c.readable(ctx, access.MsgRead)}, "")
	if err != nil {
		return err
	}
	for _, brief := range list {
		if brief.Mapping == "" || brief.Large != nil || l.Name != "" && before.Name(brief.Mapping, brief.Kind) != l.Name {
			continue
		}
		d, err := c.Outbox.Message(ctx, tx, brief.ID)
		if err != nil {
			return err
		}
		v.add(mapping.Compare(ctx, before, after, d.Mapping, d.Message, c.references(tx, d.Link)), Root+"messages/"+d.ID)
	}
	return nil
}

// compareIn maps what came in twice.
func (c *Console) compareIn(ctx context.Context, tx *store.Tx, before, after *mapping.Set, name string, v *effectsView) error {
	list, err := c.Inbox.Messages(ctx, tx, inbox.Filter{Limit: mostCompared, Links: c.readable(ctx, access.InboundRead)})
	if err != nil {
		return err
	}
	for _, brief := range list {
		if brief.Mapping == "" || brief.Large != nil || brief.Role == message.Void || name != "" && brief.Mapping != name {
			continue
		}
		m, err := c.Inbox.Message(ctx, tx, brief.Seq)
		if err != nil {
			return err
		}
		v.add(mapping.Compare(ctx, before, after, m.Mapping, m.Message, c.Inbox.References(tx, m.Link)), fmt.Sprintf("%squarantine/%d", Root, m.Seq))
	}
	return nil
}

func (v *effectsView) add(e mapping.Effect, address string) {
	v.Looked++
	if len(e.Differences) > 0 {
		v.Effects = append(v.Effects, effectRow{e, address})
	}
}

// references knows the ERP's numbers of what the plant has made.
func (c *Console) references(tx *store.Tx, link string) mapping.Resolver {
	return func(ctx context.Context, object string) (string, bool, error) {
		return c.Outbox.Reference(ctx, tx, link, object)
	}
}
