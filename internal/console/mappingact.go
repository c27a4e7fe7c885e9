package console

import (
	"context"
	"net/http"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/internal/store"
)

// publish makes an edition of the draft laid over what is in use, and has it used, proposed or tried.
func (c *Console) publish(r *http.Request, name string, canary bool) error {
	ctx := r.Context()
	action := access.MappingPublish
	switch {
	case canary:
		action = access.MappingTry
	case c.cfg.FourEyes:
		action = access.MappingPropose
	}
	if err := c.Doer.Permit(actorOf(ctx), action, ""); err != nil {
		return c.step(r, action, "", nil) // refused there, and recorded
	}
	release, err := slot(ctx, c.putting)
	if err != nil {
		return err
	}
	defer release()
	base, err := c.Workshop.Base(ctx)
	if err == nil && r.PostFormValue("base") != base.Hash {
		err = &problem.Error{
			Kind: problem.Conflict, What: "publish mapping " + name, Why: "other mappings are in use since you opened it",
			Hint: "open it in another window, and take over what you need",
		}
	}
	if err != nil {
		return err
	}
	if err := c.mapsBy(base, name); err != nil {
		return err
	}
	next, err := c.edited(r, base, name)
	if err == nil {
		err = c.Workshop.Ready(ctx, next)
	}
	if err != nil {
		return err
	}
	return c.step(r, action, next.Hash, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
		s, err := edition.Current(ctx, tx)
		if err != nil {
			return s, err
		}
		if s.Used.Edition != "" && s.Used.Edition != base.Hash {
			return s, &problem.Error{Kind: problem.Conflict, What: "publish mapping " + name, Why: "somebody has published others at the same moment", Hint: "look at the Mappings page, and try again"}
		}
		if err := edition.Keep(ctx, tx, next); err != nil {
			return s, err
		}
		if canary {
			return edition.Try(ctx, tx, next.Hash, by)
		}
		return edition.Publish(ctx, tx, next.Hash, c.cfg.FourEyes, by)
	})
}

// mapsBy refuses a draft that was read from other mappings than those that are in use: this node may be some seconds behind, or in trouble.
func (c *Console) mapsBy(base edition.Edition, name string) error {
	files, err := base.FS()
	if err != nil {
		return err
	}
	set, err := mapping.LoadPublished(mapping.Library(), files)
	if err == nil && len(c.Rules.Set().Changes(set)) == 0 {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "publish mapping " + name, Why: "this node does not map by edition " + edition.Short(base.Hash) + " yet, which is in use",
		Hint: "wait some seconds, look at Nodes on the Mappings page, and open the mapping anew", Cause: err,
	}
}

// edited is the edition with the draft in it and, where that is asked for, with what its examples become as what is expected of them.
func (c *Console) edited(r *http.Request, base edition.Edition, name string) (edition.Edition, error) {
	text := r.PostFormValue("text")
	next, err := base.With(name+".yaml", []byte(text))
	if err != nil || r.PostFormValue("accept") != "yes" {
		return next, err
	}
	set, err := c.Rules.Set().With(name+".yaml", []byte(text))
	if err != nil {
		return next, &problem.Error{Kind: problem.Invalid, What: "publish mapping " + name, Why: err.Error(), Hint: "mend what is marked"}
	}
	report, err := set.Test(r.Context(), mapping.TestConfig{Document: func(name string) *schema.Type { return c.Workshop.Document(set, name) }}, name)
	if err != nil {
		return next, err
	}
	examples, err := report.Updated(name)
	if err != nil || examples == nil {
		return next, err
	}
	return next.With(name+".example.yaml", examples)
}

// step does one thing with an edition, once, with the editions before and after in the audit record.
func (c *Console) step(r *http.Request, action, hash string, do func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error)) error {
	return c.act(r, deed{action, "mapping/" + edition.Short(hash), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := edition.Current(ctx, tx)
		if err != nil {
			return change{}, err
		}
		after, err := do(ctx, tx, edition.By{Actor: actorOf(r.Context()).Name, Reason: strings.TrimSpace(r.PostFormValue("reason"))})
		if err != nil {
			return change{}, err
		}
		return change{object: "mapping/" + edition.Short(after.About(before)), before: stateOf(before), after: stateOf(after)}, nil
	})
}

// actOnMappings answers POST /console/mappings/{act}.
func (c *Console) actOnMappings(r *http.Request) (*page, error) {
	type mappingAct struct {
		action string
		do     func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error)
	}
	a, err := choose(map[string]mappingAct{
		"rollback": {access.MappingRollback, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
			return edition.RollBack(ctx, tx, r.PostFormValue("edition"), c.cfg.FourEyes, by)
		}},
		"end-trial": {access.MappingEndTrial, edition.EndTrial},
	}, r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	if a.action == access.MappingRollback {
		err = c.backIsUsable(r)
	}
	if err == nil {
		err = c.step(r, a.action, "", a.do)
	}
	if err != nil {
		p, again := c.mappings(r)
		return c.again(r, p, errOr(err, again))
	}
	return &page{to: Root + "mappings?did=" + r.PathValue("act") + "-mapping"}, nil
}

// backIsUsable refuses to go back to an edition that no node would take; of one who may not go back nothing is asked.
func (c *Console) backIsUsable(r *http.Request) error {
	ctx := r.Context()
	if c.Doer.Permit(actorOf(ctx), access.MappingRollback, "") != nil {
		return nil // step refuses it
	}
	var hash string
	err := c.DB.View(ctx, func(tx *store.Tx) (err error) {
		hash, err = edition.Back(ctx, tx)
		return err
	})
	if err != nil || hash == "" {
		return err
	}
	return c.judged(ctx, hash, c.Workshop.Usable)
}

// judged holds an edition against what judges it, of which some at a time are at work.
func (c *Console) judged(ctx context.Context, hash string, by func(context.Context, edition.Edition) error) error {
	e, err := c.edition(ctx, hash)
	if err != nil {
		return err
	}
	release, err := slot(ctx, c.putting)
	if err != nil {
		return err
	}
	defer release()
	return by(ctx, e)
}

// approval answers POST /console/mappings/approve.
func (c *Console) approval(r *http.Request) (*page, error) {
	err := c.approve(r, r.PostFormValue("edition"))
	if err == nil {
		return &page{to: Root + "mappings?did=approve-mapping"}, nil
	}
	p, again := c.mappings(r)
	return c.again(r, p, errOr(err, again))
}

// approve has an edition used that somebody else has proposed. It is checked once more: contracts may have changed since.
func (c *Console) approve(r *http.Request, hash string) error {
	ctx := r.Context()
	if c.Doer.Permit(actorOf(ctx), access.MappingApprove, "") == nil {
		if err := c.judged(ctx, hash, c.Workshop.Ready); err != nil {
			return err
		}
	}
	return c.step(r, access.MappingApprove, hash, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
		return edition.Approve(ctx, tx, hash, by)
	})
}
