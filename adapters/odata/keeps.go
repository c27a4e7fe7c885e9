package odata

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Forgetful is where a link keeps the targets, as SERVICE/SET, whose new documents do not show the message's ID that they were sent with: a field that a
// release, a customizing or an extension leaves empty. That a document is not found by it proves nothing, on no node and after no start.
type Forgetful interface {
	Forgets(ctx context.Context, target string) (bool, error)
	SetForgets(ctx context.Context, target string, forgets bool) error
}

// forgetfulInMemory is a Forgetful for as long as a link lives.
type forgetfulInMemory struct {
	mu sync.Mutex
	by map[string]bool
}

func (f *forgetfulInMemory) Forgets(_ context.Context, target string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by[target], nil
}

func (f *forgetfulInMemory) SetForgets(_ context.Context, target string, forgets bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by[target] = forgets
	return nil
}

// forgetting is what a link has learnt from the documents that it has made.
type forgetting struct {
	kept Forgetful
	told func(why error)

	mu  sync.Mutex
	has map[string]bool // guarded by mu: what kept has, by what this link has put there
}

// RememberForgetful gives the link where it keeps which targets do not keep the message's ID; without, it knows that as long as it lives. It is called
// before the link is used.
func (l *Link) RememberForgetful(f Forgetful) { l.forgetting.kept = f }

// WhenForgotten has f told that new documents do not keep the message's ID in the field that they are asked for by: when that begins. It is called before the link is
// used, and f must not call the link.
func (l *Link) WhenForgotten(f func(why error)) { l.forgetting.told = f }

// keepWithin is how long a new document waits until what it shows is kept.
const keepWithin = 10 * time.Second

// keeps learns from a new document whether its set keeps the message's ID, and keeps that before the message is settled: were the plant stopped in between, it
// would ask for the message by an ID that nothing has. What cannot be kept is learnt again from the next document.
func (c *Client) keeps(w *write, e Entity) {
	shown, has := e.Values[w.target.cfg.ID]
	if w.mark == "" || w.target.op != nil || !has {
		return
	}
	f, name := &c.link.forgetting, c.name+"/"+w.target.name
	forgets := str(shown) == ""
	f.mu.Lock()
	defer f.mu.Unlock()
	if before, known := f.has[name]; known && !before && !forgets { // that they forget is looked up each time: another node may have taken it back
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepWithin)
	defer cancel()
	before, err := f.kept.Forgets(ctx, name)
	if err == nil && before != forgets {
		err = f.kept.SetForgets(ctx, name, forgets)
	}
	if err != nil {
		c.link.log.Error("whether the ERP keeps the message's ID is not kept", "part", "odata", "service", c.name, "err", err)
	} else {
		f.has[name] = forgets
	}
	if !forgets || before {
		return
	}
	why := c.forgets(w.target, w.what)
	c.link.log.Error("the ERP does not keep the message's ID, so that a lost answer waits for a person", "part", "odata", "service", c.name, "err", why)
	if f.told != nil {
		f.told(why)
	}
}

// unkept is why a question that found nothing proves nothing; nil where it does. The error is of kind Unavailable while nobody can tell.
func (c *Client) unkept(ctx context.Context, t *target, d message.Delivery) (why *problem.Error, err error) {
	if t.cfg.ID == "" {
		return nil, nil
	}
	forgets, err := c.link.forgetting.kept.Forgets(ctx, c.name+"/"+t.name)
	if err != nil || !forgets {
		return nil, err
	}
	return c.forgets(t, "question after message "+d.Event.Message().ID+" in "+c.name+"/"+t.name), nil
}

func (c *Client) forgets(t *target, what string) *problem.Error {
	return &problem.Error{
		Kind: problem.Conflict, What: what, Why: fmt.Sprintf("the ERP has made documents whose %s is empty, though the message's ID was sent in it: what is not found by it may be there", t.cfg.ID),
		Hint: "have the ERP keep the field, or name another one as id of the target (kind sap: movement_id); look in the ERP whether it has the message, then mark it delivered or send it again",
	}
}
