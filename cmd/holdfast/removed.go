package main

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// What is said of a link that owes messages and is not in the configuration any more.
const (
	removedWhy = "the configuration has no such link: nothing is sent"
	removedDo  = "put a link of this name back under links; what nobody wants any more can then be discarded"
)

// removed tells which links owe messages and are not in the configuration, with how many.
func (c Config) removed(ctx context.Context, db *store.DB, out *outbox.Outbox) ([]string, error) {
	var links []outbox.Link
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		links, err = out.Links(ctx, tx)
		return err
	})
	var names []string
	for _, l := range links {
		if _, ok := c.Links[l.Name]; !ok && l.Owed > 0 {
			names = append(names, fmt.Sprintf("%s owes %s", l.Name, count(l.Owed, "message", "messages")))
		}
	}
	return names, err
}

// warnOfRemoved says at the start what nobody will send.
func (f *floors) warnOfRemoved(ctx context.Context) error {
	names, err := f.cfg.removed(ctx, f.db, f.outbox)
	for _, n := range names {
		f.log.WarnContext(ctx, removedWhy, "part", "serve", "link", n, "do", removedDo)
	}
	return err
}

// examineRemoved is what doctor says of them.
func examineRemoved(ctx context.Context, cfg Config, db *store.DB) []finding {
	names, err := cfg.removed(ctx, db, outbox.New(nil, cfg.Plant.Source, outbox.Config{}))
	switch {
	case err != nil:
		return bad("links", err)
	case len(names) == 0:
		return nil
	default:
		return []finding{{Subject: "links", State: look, Says: strings.Join(names, ", ") + ": " + removedWhy, Do: removedDo}}
	}
}
