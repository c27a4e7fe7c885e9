package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"holdfast/adapters/amqp"
	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/adapters/sap"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/store"
)

// link is one connection to one ERP, of whatever kind.
type link interface {
	relay.Deliverer
	// Accepts tells whether a mapping may name this target.
	Accepts(target string) error
	// Check tries the connection and changes nothing.
	Check(ctx context.Context) error
	Close()
}

// What only some kinds of link offer.
type (
	// feed is one source of what an ERP has to say: it is asked for what has changed. Poll gives the same message the same ID however
	// often it is read, and next is stored with the batch.
	feed interface {
		Name() string
		Every() time.Duration
		Ended(place string) bool
		inbox.Source
	}
	// listener is told what its ERP has to say. What accept does not take is offered again.
	listener interface {
		Run(ctx context.Context, accept amqp.Accept) error
	}
	// warner knows what its contract asks for and the link cannot do.
	warner interface{ Warnings() []string }
	// fitter holds a delivery against the contract without sending it.
	fitter interface {
		Fits(d message.Delivery) error
	}
)

// linkKind is what the program knows of one kind of link.
type linkKind struct {
	check  func(k *checker, at string, l LinkConfig)
	open   func(l LinkConfig, secret func(ctx context.Context, reference string) (string, error), log *slog.Logger) (link, error)
	events bool // it takes the plant's events themselves, so that its routes need no mapping
}

// linkKinds are those that a configuration may name.
func linkKinds() map[string]linkKind {
	return map[string]linkKind{
		"rest":  {check: checkREST, open: openREST},
		"odata": {check: checkOData, open: openOData},
		"sap":   {check: checkSAP, open: openSAP},
		"amqp":  {check: checkAMQP, open: openAMQP, events: true},

		"sap-idoc": {check: checkIDoc, open: openIDoc},
	}
}

func openREST(l LinkConfig, secret func(context.Context, string) (string, error), log *slog.Logger) (link, error) {
	return rest.Open(l.REST, secret, log)
}

func openOData(l LinkConfig, secret func(context.Context, string) (string, error), log *slog.Logger) (link, error) {
	return odata.Open(l.OData, secret, log)
}

func openSAP(l LinkConfig, secret func(context.Context, string) (string, error), log *slog.Logger) (link, error) {
	return sap.Open(l.SAP, secret, log)
}

func openAMQP(l LinkConfig, secret func(context.Context, string) (string, error), log *slog.Logger) (link, error) {
	return amqp.Open(l.AMQP, secret, log)
}

// feeds are the sources of what comes in over a link that is asked for it.
func feeds(l link) []feed {
	switch l := l.(type) {
	case interface{ Polls() []*rest.Poll }:
		return asFeeds(l.Polls())
	case *sap.Link:
		return asFeeds(l.Polls())
	case interface{ Polls() []*odata.Poll }:
		return asFeeds(l.Polls())
	}
	return nil
}

func asFeeds[P feed](polls []P) []feed {
	out := make([]feed, 0, len(polls))
	for _, p := range polls {
		out = append(out, p)
	}
	return out
}

// warnings are those that a link has, if it knows any.
func warnings(l link) []string {
	if w, ok := l.(warner); ok {
		return w.Warnings()
	}
	return nil
}

// address is where the link leads to, for a person.
func (l LinkConfig) address() string {
	switch l.Kind {
	case "amqp":
		return strings.Join(l.AMQP.Addresses, ", ")
	case "odata", "sap":
		return l.odata().BaseURL
	case "sap-idoc":
		return l.IDoc.address()
	}
	return l.REST.BaseURL
}

// odata are the keys that links of kind odata and sap have in common.
func (l LinkConfig) odata() odata.Config {
	if l.Kind != "sap" {
		return l.OData
	}
	c, err := l.SAP.Complete()
	if err != nil { // opening the link tells it
		return l.SAP.Config
	}
	return c.Config
}

// makes tells whether the link makes what it needs at the other side where it is missing.
func (l LinkConfig) makes() bool {
	mq := l.AMQP
	if l.IDoc.AMQP != nil {
		mq = *l.IDoc.AMQP
	}
	return (l.Kind == "amqp" || l.IDoc.AMQP != nil) && (mq.Declare == nil || *mq.Declare)
}

// requests are how many one delivery may make, one after the other; 0 is the relay's default. With a write go, at the most, two for the $metadata, six for a token that has
// to be renewed, the entity that is changed and the write itself once more; SAP is asked besides for what it alone knows, and for what it has posted.
func (l LinkConfig) requests() int {
	switch l.Kind {
	case "odata":
		return 12
	case "sap":
		return 24
	}
	return 0
}

// timeout is how long one request may take; 0 is the relay's default.
func (l LinkConfig) timeout() time.Duration {
	switch l.Kind {
	case "amqp":
		return l.AMQP.ConfirmTimeout
	case "odata", "sap":
		return l.odata().Timeout
	case "sap-idoc":
		return l.idocTimeout()
	}
	return l.REST.Timeout
}

// patience is how long a call may take (0 is the adapter's default), and how long after it, or after the first question where nobody knows of one, "not found" is not
// believed. Asks is false for a link that cannot be asked what became of a message.
func (l LinkConfig) patience() (timeout, ask time.Duration, asks bool) {
	switch l.Kind {
	case "rest":
		return l.REST.Timeout, l.REST.Patience(), true
	case "odata", "sap":
		return l.odata().Timeout, l.odata().Patience(), true
	}
	return 0, 0, false
}

// together is how many messages of different lanes one delivery may take; 0 is the relay's default.
func (l LinkConfig) together() int { return l.odata().Batch }

// concurrency is how many deliveries may be under way, and how many to begin with; 0 is the relay's default. A broker's confirm takes
// as long as its disk needs, however many wait for it: only many at a time make it fast, and it minds none of them.
func (l LinkConfig) concurrency() (most, first int) {
	if b := l.odata().Batch; b > 1 && l.Concurrency == 0 {
		return 2 * b, 0 // one $batch is on its way while the next one gathers
	}
	p := l.AMQP.Publish
	if mq := l.IDoc.AMQP; mq != nil {
		p = mq.Publish
	}
	if l.Kind != "amqp" && (l.IDoc.AMQP == nil || p == nil) {
		return l.Concurrency, 0
	}
	most = l.Concurrency
	if p != nil {
		most = cmp.Or(most, p.Window)
	}
	most = cmp.Or(most, 500)
	return most, most
}

// inbound are the mappings that read what comes over the link, by the key that names each.
func (l LinkConfig) inbound() map[string]string {
	out := map[string]string{}
	for i, poll := range l.REST.Polls {
		out[fmt.Sprintf("polls[%d].mapping", i)] = poll.Mapping
	}
	for i, poll := range l.odata().Polls {
		out[fmt.Sprintf("polls[%d].mapping", i)] = poll.Mapping
	}
	for message, mapping := range l.IDoc.carried().Mappings() {
		out["receive.mappings."+message] = mapping
	}
	if r := l.AMQP.Receive; r != nil {
		for kind, mapping := range r.Mappings {
			out["receive.mappings."+kind] = mapping
		}
		if r.Mapping != "" {
			out["receive.mapping"] = r.Mapping
		}
	}
	return out
}

// onlyLooking is the configuration for a command that opens links beside serve: they make nothing at the other side.
func (c Config) onlyLooking() Config {
	links := make(map[string]LinkConfig, len(c.Links))
	for name, l := range c.Links {
		l.AMQP.Declare = new(bool)
		if l.IDoc.AMQP != nil {
			mq := *l.IDoc.AMQP
			mq.Declare = new(bool)
			l.IDoc.AMQP = &mq
		}
		links[name] = l
	}
	c.Links = links
	return c
}

// listeners are the links that are told what their ERPs have to say, each a part of the process.
func (f *floors) listeners() []part {
	var parts []part
	for name, l := range f.links {
		if in, ok := l.(interface {
			Run(ctx context.Context, accept idoc.Accept) error
		}); ok {
			parts = append(parts, part{"link " + name, func(ctx context.Context) error { return in.Run(ctx, f.accept(name)) }})
		} else if in, ok := l.(listener); ok {
			parts = append(parts, part{"link " + name, func(ctx context.Context) error { return in.Run(ctx, f.accept(name)) }})
		}
	}
	return parts
}

// accept gives a batch to the inbox, all of it in one transaction. A message that cannot be stored has the whole batch offered again,
// until its deliveries show that it is the one that holds up the rest, and the inbox puts it aside.
func (f *floors) accept(link string) amqp.Accept {
	return func(ctx context.Context, batch []message.Incoming) error {
		all, err := f.inbox.ReceiveAll(ctx, batch, link)
		if err != nil {
			return err
		}
		for _, t := range all {
			if t.Err != nil {
				return t.Err
			}
		}
		return nil
	}
}

// apply has the plant act on what an ERP says, and the outbox on what it says of a message that it was sent.
func (f *floors) apply(ctx context.Context, tx *store.Tx, m message.Message) (err error) {
	if m.Large == nil { // the mapping may have made an answer of it
		if m.Body, err = f.withoutValues(ctx, tx, m.Link, m.Kind, m.Body); err != nil {
			return err
		}
	}
	switch m.Kind {
	case outbox.ReceiptKind, outbox.RefusalKind:
		return f.outbox.Answer(ctx, tx, m)
	case idoc.StatusKind:
		return f.idocStatus(ctx, tx, m)
	default: // the mapping may have put a value into a field that is marked, out of one that is not
		body, err := f.tokens.Veil(ctx, tx, m.Body)
		if err != nil {
			return err
		}
		m.Body = body
		return f.plant.Apply(ctx, tx, m)
	}
}
