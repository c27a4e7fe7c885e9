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
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

const (
	mostRules    = 128 << 10        // bytes of a mapping that is tried
	previewTime  = 3 * time.Second  // of one preview
	slotWait     = 10 * time.Second // for others to end
	mostSamples  = 10               // recorded messages to choose from
	mostMistakes = 100              // that are shown of one text
)

// slot waits for one of the few places in which mappings are compiled for a page, so that pages cannot take the node from its messages.
func (c *Console) slot(ctx context.Context) (release func(), err error) {
	ctx, end := context.WithTimeout(ctx, slotWait)
	defer end()
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
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
	l, ok := c.Rules.Set().Look(q.Get("name"))
	if !ok {
		return nil, &problem.Error{Kind: problem.NotFound, What: "open mapping " + q.Get("name"), Why: "there is none of this name", Hint: "choose one of the list"}
	}
	v, err := c.workbench(r, l, string(l.Text), q.Get("sample"))
	return mappingPage(v), err
}

func mappingPage(v mappingView) *page {
	return &page{name: "mapping", Title: v.Name, Section: "Mappings", Body: v}
}

// workbench tries rules on a sample. It keeps nothing.
func (c *Console) workbench(r *http.Request, l mapping.Look, text, chosen string) (v mappingView, err error) {
	text = strings.ReplaceAll(text, "\r\n", "\n") // as a form sends it
	v = mappingView{Look: l, Draft: text, FourEyes: c.cfg.FourEyes}
	if len(text) > mostRules {
		return v, &problem.Error{Kind: problem.TooLarge, What: "try mapping " + l.Name, Why: fmt.Sprintf("it has more than %d KiB", mostRules>>10), Hint: "put tables into files, and shared fields into fragments"}
	}
	release, err := c.slot(r.Context())
	if err != nil {
		return v, err
	}
	defer release()
	base, err := c.Workshop.Base(r.Context())
	if err != nil {
		return v, err
	}
	v.Base = base.Hash
	ctx, end := context.WithTimeout(r.Context(), previewTime)
	defer end()
	begun := time.Now()
	err = c.view(ctx, func(tx *store.Tx) error {
		t, err := c.sampleOf(ctx, tx, &v, chosen)
		if err == nil {
			v.Result, err = c.result(ctx, &v, t)
		}
		return err
	})
	v.Result.Took = time.Since(begun)
	bad := map[int]bool{}
	for _, m := range v.Result.Mistakes {
		bad[m.Line] = bad[m.Line] || !m.Look
	}
	for n := range strings.Count(text, "\n") + 1 {
		v.Gutter = append(v.Gutter, gutter{n + 1, bad[n+1]})
	}
	return v, err
}

// sampleOf lists what there is to try a mapping on, and reads what was chosen, or the first.
func (c *Console) sampleOf(ctx context.Context, tx *store.Tx, v *mappingView, chosen string) (*taken, error) {
	v.Samples, v.Source = nil, nil
	examples, err := mapping.Examples(v.Name, c.Rules.Set().Sources()...)
	if err != nil {
		return nil, err
	}
	for i, e := range examples {
		v.Samples = append(v.Samples, sample{Value: fmt.Sprintf("example:%d", i), Name: "Example: " + e.Name})
	}
	if err := c.recordedSamples(ctx, tx, v); err != nil || len(v.Samples) == 0 {
		return nil, err
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

// recordedSamples adds the newest messages that went through the mapping, of links whose messages the reader may see.
func (c *Console) recordedSamples(ctx context.Context, tx *store.Tx, v *mappingView) error {
	if v.Inbound {
		return nil
	}
	list, _, err := c.Outbox.Messages(ctx, tx, outbox.Filter{Kind: v.Kind, Limit: 5 * mostSamples}, "")
	left := mostSamples
	for _, d := range list {
		if left == 0 || c.Rules.Set().Name(d.Mapping, d.Kind) != v.Name || c.Doer.Permit(actorOf(ctx), access.MsgRead, d.Link) != nil {
			continue
		}
		left--
		v.Samples = append(v.Samples, sample{Value: "message:" + d.ID, Name: fmt.Sprintf("Recorded: %s, number %d of lane %s", d.CreatedAt.In(c.cfg.Zone).Format("2 Jan 15:04:05"), d.Number, d.Lane)})
	}
	return err
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
	}
	return nil, none
}

// result compiles the rules, holds them against the contracts of their links, and maps the sample.
func (c *Console) result(ctx context.Context, v *mappingView, t *taken) (res result, err error) {
	set := c.Rules.Set()
	if v.Draft != string(v.Text) {
		if set, err = set.With(v.Name+".yaml", []byte(v.Draft)); err != nil {
			all := mapping.Mistakes(err)
			for _, m := range all[:min(len(all), mostMistakes)] {
				res.Mistakes = append(res.Mistakes, mistake{Mistake: *m})
			}
			if len(res.Mistakes) == 0 {
				return res, err
			}
			return res, nil
		}
	}
	fit := c.Workshop.Fit(set, v.Name)
	v.Links = slices.Sorted(maps.Keys(fit))
	for _, link := range v.Links {
		for _, f := range fit[link] {
			res.Mistakes = append(res.Mistakes, mistake{f.Mistake, link, !f.Refused})
		}
	}
	res.Good = !slices.ContainsFunc(res.Mistakes, func(m mistake) bool { return !m.Look })
	if t == nil {
		res.Says = "There is neither an example nor a recorded message to try it on."
		return res, nil
	}
	return res, res.try(ctx, set, v.Name, t)
}

// try maps the sample.
func (res *result) try(ctx context.Context, set *mapping.Set, name string, t *taken) error {
	made, err := set.Try(ctx, name, t.m, t.refs)
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
	name, act := r.PostFormValue("name"), r.PathValue("act")
	l, ok := c.Rules.Set().Look(name)
	if !ok {
		return nil, &problem.Error{Kind: problem.NotFound, What: "change mapping " + name, Why: "there is none of this name", Hint: "write a new one with holdfast mapping new"}
	}
	switch act {
	case "publish", "canary":
		err := c.publish(r, name, act == "canary")
		if err == nil {
			return &page{to: Root + "mappings?did=" + act + "-mapping"}, nil
		}
		v, again := c.workbench(r, l, r.PostFormValue("text"), r.PostFormValue("sample"))
		if v.Base != "" {
			v.Base = r.PostFormValue("base")
		}
		return c.again(r, mappingPage(v), errOr(err, again))
	case "preview", "effect":
	default:
		return nil, noPage()
	}
	v, err := c.workbench(r, l, r.PostFormValue("text"), r.PostFormValue("sample"))
	if v.Base != "" { // the draft stays laid over what it was read from, whatever is in use by now
		v.Base = r.PostFormValue("base")
	}
	if err == nil && act == "effect" && len(v.Result.Mistakes) == 0 {
		err = c.compareDraft(r, &v)
	}
	return mappingPage(v), err
}

// compareDraft shows what the draft would change in recorded messages.
func (c *Console) compareDraft(r *http.Request, v *mappingView) error {
	release, err := c.slot(r.Context())
	if err != nil {
		return err
	}
	defer release()
	set, err := c.Rules.Set().With(v.Name+".yaml", []byte(v.Draft))
	if err != nil {
		return err
	}
	all, err := c.compare(r, c.Rules.Set(), set, v.Name)
	v.Compared = &all
	return err
}

// stateOf is which editions count, as the audit record keeps it.
func stateOf(s edition.State) map[string]string {
	out := map[string]string{"used": s.Used.Edition, "tried": s.Tried.Edition, "proposed": s.Proposed.Edition}
	maps.DeleteFunc(out, func(_, hash string) bool { return hash == "" })
	return out
}
