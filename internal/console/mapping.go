package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

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

const (
	mostRules    = 128 << 10        // bytes of a mapping that is tried
	previewTime  = 3 * time.Second  // of one preview
	slotWait     = 10 * time.Second // for others to end
	mostExamples = 100              // to choose from
	mostSamples  = 10               // recorded messages to choose from
	mostLooked   = 100              // of the newest messages, to find these
	mostMistakes = 100              // that are shown of one text
)

// slot waits for one of the few places in which mappings are compiled for a page, so that pages cannot take the node from its messages.
func slot(ctx context.Context, of chan struct{}) (release func(), err error) {
	ctx, end := context.WithTimeout(ctx, slotWait)
	defer end()
	select {
	case of <- struct{}{}:
		return func() { <-of }, nil
	case <-ctx.Done():
		return nil, &problem.Error{Kind: problem.TooMany, What: "try a mapping", Why: "others try mappings at this moment", Hint: "wait a little, and try again"}
	}
}

// mappingView is one mapping: its source, its rules, and what it makes.
type mappingView struct {
	mapping.Look
	Links    []string // that use it
	Base     string   // the edition that a change is laid over
	Draft    string
	Gutter   []gutter
	Samples  []sample
	Source   []line
	Words    []mapping.Word
	Pasted   string // a message that was written into the page
	Result   result
	Compared *effectsView // nil: nobody has asked
	FourEyes bool
}

// gutter is the number of one line of the rules.
type gutter struct {
	N   int
	Bad bool // something is wrong on it
}

// sample is a message to be mapped.
type sample struct {
	Value, Name string
	Here        bool
}

// result is what the rules make of the sample, or what is wrong with them.
type result struct {
	Mistakes []mistake
	Wrong    *problem.Error
	Says     string
	Refused  []string // what the contracts have against what was made of the sample
	By, To   string
	Params   []rule
	Lines    []madeLine
	Took     time.Duration
	Good     bool
}

// mistake is one place of the rules where something is wrong, or to be looked at.
type mistake struct {
	mapping.Mistake
	Link string // whose contract has something against it, "" for the language
	Look bool   // the ERP takes it all the same
}

// taken is a message to try a mapping on, with what it names.
type taken struct {
	m    message.Message
	refs mapping.Resolver
}

// mapping answers GET /console/mapping: the rules in use, on an example or a recorded message.
func (c *Console) mapping(r *http.Request) (*page, error) {
	q := r.URL.Query()
	set := c.Rules.Set()
	l, ok := set.Look(q.Get("name"))
	if !ok {
		return nil, &problem.Error{Kind: problem.NotFound, What: "open mapping " + q.Get("name"), Why: "there is none of this name", Hint: "choose one of the list"}
	}
	v, err := c.workbench(r, set, l, string(l.Text), q.Get("sample"))
	return mappingPage(v), err
}

func mappingPage(v mappingView) *page {
	return &page{name: "mapping", Title: v.Name, Section: "Mappings", Body: v}
}

// workbench tries rules on a sample. It keeps nothing. Rules that are not those in use wait for a slot and are compiled, before the database
// is asked for anything.
func (c *Console) workbench(r *http.Request, set *mapping.Set, l mapping.Look, text, chosen string) (v mappingView, err error) {
	v = mappingView{Look: l, Draft: text, Pasted: r.PostFormValue("body"), FourEyes: c.cfg.FourEyes}
	if len(text) > mostRules {
		return v, &problem.Error{Kind: problem.TooLarge, What: "try mapping " + l.Name, Why: fmt.Sprintf("it has more than %d KiB", mostRules>>10), Hint: "put tables into files, and shared fields into fragments"}
	}
	if text != string(l.Text) {
		release, err := slot(r.Context(), c.slots)
		if err != nil {
			return v, err
		}
		defer release()
	}
	base, err := c.Workshop.Base(r.Context())
	if err != nil {
		return v, err
	}
	v.Base = base.Hash
	ctx, end := context.WithTimeout(r.Context(), previewTime)
	defer end()
	begun := time.Now()
	draft, err := c.drafted(set, &v)
	if err == nil {
		err = c.view(ctx, func(tx *store.Tx) error {
			t, err := c.sampleOf(ctx, tx, set, &v, chosen)
			if err == nil && draft != nil {
				err = v.Result.try(ctx, draft, v.Name, t, c.Workshop)
			}
			return err
		})
	}
	v.Result.Took = time.Since(begun)
	v.number()
	if r.Method != http.MethodPost || r.Header.Get("HX-Request") == "" { // the answer to what is typed is the result alone
		v.Words = c.Workshop.Words(set, v.Name)
	}
	return v, err
}

// number gives each line of the rules its number, marked where something is wrong.
func (v *mappingView) number() {
	bad := map[int]bool{}
	for _, m := range v.Result.Mistakes {
		bad[m.Line] = bad[m.Line] || !m.Look
	}
	for n := range strings.Count(v.Draft, "\n") + 1 {
		v.Gutter = append(v.Gutter, gutter{n + 1, bad[n+1]})
	}
}

// sampleOf lists what there is to try a mapping on, and reads what was chosen, or the first.
func (c *Console) sampleOf(ctx context.Context, tx *store.Tx, set *mapping.Set, v *mappingView, chosen string) (*taken, error) {
	v.Samples, v.Source = nil, nil
	examples, err := set.Examples(v.Name)
	if err != nil {
		return nil, err
	}
	for i, e := range examples {
		v.Samples = append(v.Samples, sample{Value: fmt.Sprintf("example:%d", i), Name: "Example: " + e.Name})
	}
	if err := c.recordedSamples(ctx, tx, set, v); err != nil {
		return nil, err
	}
	v.Samples = append(v.Samples, sample{Value: pasted, Name: "A message of my own, from below"})
	if len(v.Samples) == 1 && chosen != pasted {
		return nil, nil
	}
	chosen = cmp.Or(chosen, v.Samples[0].Value)
	for i := range v.Samples {
		v.Samples[i].Here = v.Samples[i].Value == chosen
	}
	t, err := c.sample(ctx, tx, v, examples, chosen)
	if err == nil {
		v.Source, _ = c.shownBody(t.m.Body, t.m.Large)
	}
	return t, err
}

// pasted is the sample that was written into the page.
const pasted = "pasted"

// recordedSamples adds the newest messages that went through the mapping, of links whose messages the reader may see.
func (c *Console) recordedSamples(ctx context.Context, tx *store.Tx, set *mapping.Set, v *mappingView) error {
	add := func(value, at, where string) {
		if len(v.Samples) < mostExamples+mostSamples {
			v.Samples = append(v.Samples, sample{Value: value, Name: "Recorded: " + at + ", " + where})
		}
	}
	v.Samples = v.Samples[:min(len(v.Samples), mostExamples)]
	at := func(t time.Time) string { return t.In(c.cfg.Zone).Format("2 Jan 15:04:05") }
	if v.Inbound {
		list, err := c.Inbox.Messages(ctx, tx, inbox.Filter{Limit: mostLooked, Links: c.readable(ctx, access.InboundRead)})
		for _, m := range list {
			if m.Mapping == v.Name && m.Large == nil {
				add(fmt.Sprintf("inbound:%d", m.Seq), at(m.ReceivedAt), m.Kind+" "+m.Key)
			}
		}
		return err
	}
	list, _, err := c.Outbox.Messages(ctx, tx, outbox.Filter{Kind: v.Kind, Limit: mostLooked, Links: c.readable(ctx, access.MsgRead)}, "")
	for _, d := range list {
		if set.Name(d.Mapping, d.Kind) == v.Name {
			add("message:"+d.ID, at(d.CreatedAt), fmt.Sprintf("number %d of lane %s", d.Number, d.Lane))
		}
	}
	return err
}

// readable are the links whose messages somebody may see; nil means every link.
func (c *Console) readable(ctx context.Context, action string) []string {
	if c.Doer.Permit(actorOf(ctx), action, "") == nil {
		return nil
	}
	out := []string{}
	for _, l := range c.cfg.Links {
		if c.Doer.Permit(actorOf(ctx), action, l.Name) == nil {
			out = append(out, l.Name)
		}
	}
	return out
}

// sample reads one; a recorded message only for somebody who may see it.
func (c *Console) sample(ctx context.Context, tx *store.Tx, v *mappingView, examples []mapping.Example, chosen string) (*taken, error) {
	none := &problem.Error{Kind: problem.NotFound, What: "try mapping " + v.Name, Why: "there is no such sample", Hint: "choose one of the list"}
	kind, id, _ := strings.Cut(chosen, ":")
	switch kind {
	case "example":
		i, err := strconv.Atoi(id)
		if err != nil || i < 0 || i >= len(examples) {
			return nil, none
		}
		return &taken{examples[i].Message(), examples[i].Resolve}, nil
	case "message":
		d, err := c.Outbox.Message(ctx, tx, id)
		if err == nil {
			err = c.Doer.Permit(actorOf(ctx), access.MsgRead, d.Link)
		}
		if err != nil {
			return nil, err
		}
		if !v.Inbound && d.Kind != v.Kind {
			return nil, none
		}
		return &taken{d.Message, c.references(tx, d.Link)}, nil
	case "inbound":
		return c.inboundSample(ctx, tx, v, id, none)
	case pasted:
		return &taken{message.Message{ID: "m-1", Kind: v.Kind, Version: 1, Key: "o-1", Time: c.DB.Now(), Body: []byte(v.Pasted), Place: message.Place{Lane: "o-1", Number: 1, Epoch: 1}}, anyNumber}, nil
	}
	return nil, none
}

// drafted compiles the rules and holds them against the contracts of their links. Rules with a mistake make no set.
func (c *Console) drafted(set *mapping.Set, v *mappingView) (*mapping.Set, error) {
	if v.Draft != string(v.Text) {
		next, err := set.With(v.Name+".yaml", []byte(v.Draft))
		if err != nil {
			all := mapping.Mistakes(err)
			for _, m := range all[:min(len(all), mostMistakes)] {
				v.Result.Mistakes = append(v.Result.Mistakes, mistake{Mistake: *m})
			}
			if len(all) == 0 {
				return nil, err
			}
			return nil, nil
		}
		set = next
	}
	fit := c.Workshop.Fit(set, v.Name)
	v.Links = slices.Sorted(maps.Keys(fit))
	for _, link := range v.Links {
		for _, f := range fit[link] {
			v.Result.Mistakes = append(v.Result.Mistakes, mistake{f.Mistake, link, !f.Refused})
		}
	}
	v.Result.Good = !slices.ContainsFunc(v.Result.Mistakes, func(m mistake) bool { return !m.Look })
	return set, nil
}

// inboundSample is a recorded message of an ERP.
func (c *Console) inboundSample(ctx context.Context, tx *store.Tx, v *mappingView, id string, none error) (*taken, error) {
	seq, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, none
	}
	m, err := c.Inbox.Message(ctx, tx, seq)
	if err == nil {
		err = c.Doer.Permit(actorOf(ctx), access.InboundRead, m.Link)
	}
	if err != nil {
		return nil, err
	}
	if m.Mapping != v.Name {
		return nil, none
	}
	return &taken{m.Message, c.Inbox.References(tx, m.Link)}, nil
}

// anyNumber names whatever a message that was written into the page refers to.
func anyNumber(context.Context, string) (string, bool, error) { return "000001000001", true, nil }

// try maps the sample, and holds what it becomes against the contracts of those who get it.
func (res *result) try(ctx context.Context, set *mapping.Set, name string, t *taken, shop Workshop) error {
	res.Refused, res.Wrong, res.Says, res.By, res.Lines, res.Params = nil, nil, "", "", nil, nil // a transaction may be tried again
	if t == nil {
		res.Says = "There is neither an example nor a recorded message to try it on."
		return nil
	}
	made, err := set.Try(mapping.Reading(ctx, func(_, name, _ string) *schema.Type { return shop.Document(set, name) }), name, t.m, t.refs)
	p, told := errors.AsType[*problem.Error](err)
	switch {
	case told && p.Kind != problem.Internal:
		res.Wrong, res.Good = p, false
		return nil
	case err != nil:
		return err
	case made.LeftOut:
		res.Says = "The mapping leaves it out."
	case made.Waits != "":
		res.Says = "It waits for the ERP's number of " + made.Waits + "."
	default:
		if res.Refused = shop.Holds(set, name, t.m, made); len(res.Refused) > 0 {
			res.Good = false
		}
	}
	res.By, res.To = made.Version, strings.TrimSpace(made.Target+made.Kind+" "+made.Key)
	for _, n := range slices.Sorted(maps.Keys(made.Params)) {
		res.Params = append(res.Params, rule{Name: n, Value: made.Params[n]})
	}
	res.Lines = madeLines(made)
	return nil
}

// actOnMapping answers POST /console/mapping/{act}: preview and effect keep nothing, publish and canary do.
func (c *Console) actOnMapping(r *http.Request) (*page, error) {
	name := r.PostFormValue("name")
	act, err := choose(map[string]string{"preview": "preview", "effect": "effect", "publish": "publish", "canary": "canary"}, r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	set := c.Rules.Set()
	l, ok := set.Look(name)
	if !ok {
		return nil, &problem.Error{Kind: problem.NotFound, What: "change mapping " + name, Why: "there is none of this name", Hint: "write a new one with holdfast mapping new"}
	}
	if act == "publish" || act == "canary" {
		err := c.publish(r, name, act == "canary")
		if err == nil {
			return &page{to: Root + "mappings?did=" + act + "-mapping"}, nil
		}
		v, again := c.workbench(r, set, l, r.PostFormValue("text"), r.PostFormValue("sample"))
		if v.Base != "" {
			v.Base = r.PostFormValue("base")
		}
		return c.again(r, mappingPage(v), errOr(err, again))
	}
	v, err := c.workbench(r, set, l, r.PostFormValue("text"), r.PostFormValue("sample"))
	if v.Base != "" { // the draft stays laid over what it was read from, whatever is in use by now
		v.Base = r.PostFormValue("base")
	}
	if err == nil && act == "effect" && len(v.Result.Mistakes) == 0 {
		err = c.compareDraft(r, set, &v)
	}
	return mappingPage(v), err
}

// compareDraft shows what the draft would change in recorded messages.
func (c *Console) compareDraft(r *http.Request, set *mapping.Set, v *mappingView) error {
	release, err := slot(r.Context(), c.slots)
	if err != nil {
		return err
	}
	defer release()
	next, err := set.With(v.Name+".yaml", []byte(v.Draft))
	if err != nil {
		return err
	}
	all, err := c.compare(r, set, next, v.Name)
	v.Compared = &all
	return err
}

// stateOf is which editions count, as the audit record keeps it.
func stateOf(s edition.State) map[string]string {
	out := map[string]string{"used": s.Used.Edition, "tried": s.Tried.Edition, "proposed": s.Proposed.Edition}
	maps.DeleteFunc(out, func(_, hash string) bool { return hash == "" })
	return out
}
