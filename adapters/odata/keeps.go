package odata

import (
	"fmt"
	"sync"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// forgetful are the targets, as SERVICE/SET, whose new documents do not show the message's ID that they were sent with: a field that a release, a customizing or an
// extension leaves empty. That a document is not found by it proves nothing.
type forgetful struct {
	mu   sync.Mutex
	by   map[string]bool // guarded by mu
	told func(why error)
}

// WhenForgotten has f told that new documents do not keep the message's ID in the field that they are asked for by: when that begins. It is called before the link is
// used, and f must not call the link.
func (l *Link) WhenForgotten(f func(why error)) { l.forgetful.told = f }

// keeps learns from a new document whether its set keeps the message's ID.
func (c *Client) keeps(w *write, e Entity) {
	shown, has := e.Values[w.target.cfg.ID]
	if w.mark == "" || w.target.op != nil || !has {
		return
	}
	f, name := &c.link.forgetful, c.name+"/"+w.target.name
	f.mu.Lock()
	before, now := f.by[name], str(shown) == ""
	if f.by == nil {
		f.by = map[string]bool{}
	}
	f.by[name] = now
	f.mu.Unlock()
	if !now || before {
		return
	}
	why := c.forgets(w.target, w.what)
	c.link.log.Error("the ERP does not keep the message's ID, so that a lost answer waits for a person", "part", "odata", "service", c.name, "err", why)
	if f.told != nil {
		f.told(why)
	}
}

// unkept is the outcome of a question that found nothing, where that proves nothing; nil where it does.
func (c *Client) unkept(t *target, d message.Delivery) *message.Outcome {
	f := &c.link.forgetful
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.cfg.ID == "" || !f.by[c.name+"/"+t.name] {
		return nil
	}
	return &message.Outcome{Verdict: message.Unsure, Err: c.forgets(t, "question after message "+d.Event.Message().ID+" in "+c.name+"/"+t.name)}
}

func (c *Client) forgets(t *target, what string) *problem.Error {
	return &problem.Error{
		Kind: problem.Conflict, What: what, Why: fmt.Sprintf("the ERP has made documents whose %s is empty, though the message's ID was sent in it: what is not found by it may be there", t.cfg.ID),
		Hint: "have the ERP keep the field, or name another one as id of the target (kind sap: movement_id); look in the ERP whether it has the message, then mark it delivered or send it again",
	}
}
