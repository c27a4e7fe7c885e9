package main

import (
	"context"
	"errors"
	"log/slog"

	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// sendable holds an amended message against what it was, and against the mapping and the contract that it will meet on its way, so that
// a correction which is about something else or cannot be sent is refused to the person who makes it, and does not park the lane later.
type sendable struct {
	out   *outbox.Outbox
	rules relay.Mapper
	links map[string]link
	units units
}

// units knows the plant's names of a unit that an ERP has by a code, as a mapping in reads it.
type units interface {
	PlantUnits(mapping, code string) []string
}

// Check compares m with the message as it was written, maps it and makes its request without sending it. A number that the ERP has not
// given yet ends the check: what depends on it shows when it comes.
func (c sendable) Check(ctx context.Context, tx *store.Tx, m outbox.Detail) error {
	if err := mes.Amends(ctx, m.Message, asWritten(m)); err != nil {
		return err
	}
	link, ok := c.links[m.Link]
	if !ok || m.Mapping == "" {
		return nil // nobody maps it, or the link has left the configuration
	}
	verified, err := message.Verify(ctx, seal.Chain(m.Digest), m.Message)
	if err != nil {
		return err
	}
	doc, err := c.rules.Apply(ctx, m.Mapping, verified, func(ctx context.Context, object string) (string, bool, error) {
		return c.out.Reference(ctx, tx, m.Link, object)
	})
	if _, waits := errors.AsType[*mapping.Waiting](err); waits {
		return nil
	}
	if fits, can := link.(fitter); can && err == nil {
		err = fits.Fits(message.Delivery{Event: verified, Doc: doc})
	}
	return cannotBeSent(m, err)
}

// asWritten is m as the plant wrote it, however often it was amended since.
func asWritten(m outbox.Detail) message.Message {
	was := m.Message
	for _, h := range m.History {
		if len(h.Body) > 0 || h.Large != nil {
			was.Body, was.Large = h.Body, h.Large
			break
		}
	}
	return was
}

// cannotBeSent says of a mapping's or a contract's problem that it is about the body that somebody gave.
func cannotBeSent(m outbox.Detail, err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return err
	}
	return &problem.Error{
		Kind: problem.Invalid, What: "amend message " + m.ID, Why: "the new body cannot be sent: " + p.Error(), Fields: p.Fields,
		Hint: "take the old body from holdfast msg show " + m.ID + " --body FILE, and change its values only",
	}
}

// sendable opens the mappings and links of the configuration for a command that works beside serve.
func (r *records) sendable(ctx context.Context) (c sendable, done func(), err error) {
	c.out = r.out
	rules, err := usedMappings(ctx, r.cfg, r.db)
	if err != nil {
		return c, nil, err
	}
	c.rules, c.units = r.cfg.mapper(rules, r.tokens, r.db), rules
	c.links, err = openLinks(r.cfg.onlyLooking(), slog.New(slog.DiscardHandler))
	return c, func() {
		for _, l := range c.links {
			l.Close()
		}
	}, err
}
