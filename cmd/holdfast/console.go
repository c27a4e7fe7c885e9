package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/backup"
	"holdfast/internal/console"
	"holdfast/internal/message"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// openConsole joins the web pages with what they show.
func (p *process) openConsole() *console.Console {
	var gate console.Gate = console.Local{}
	var door console.SignIn
	if p.sessions != nil {
		gate, door = p.sessions, p.sessions
	}
	var elsewhere console.Elsewhere
	if p.providers != nil {
		elsewhere = p.providers
	}
	cfg := console.Config{
		Plant: p.cfg.Plant.Number, Version: version(), Zone: p.cfg.zone(), Receipts: p.receipts, Space: p.cfg.space(),
		FourEyes: p.cfg.MappingsPolicy == fourEyes,
	}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Links)) {
		l := p.cfg.Links[name]
		cfg.Links = append(cfg.Links, console.Link{Name: name, Kind: l.Kind, Rate: l.Rate, Together: l.together()})
	}
	if b := p.cfg.Backup; b != nil && len(b.Places) > 0 {
		cfg.Copies, cfg.CopiesAlarm = func(ctx context.Context) ([]backup.Copy, error) {
			all, err := p.cfg.copies(ctx, nil)
			return all.copies, err
		}, cmp.Or(b.Alarm, 2*b.Every)
	}
	if p.ring != nil {
		cfg.Signing = p.signing
		cfg.Trust = func(ctx context.Context) (*seal.Trust, error) { return p.ring.Trust(ctx) }
	}
	watch := p.cfg.watch()
	return console.New(console.Parts{
		Doubts: watch,
		Accept: func(ctx context.Context, tx *store.Tx, event, by, reason string) (int, error) {
			return acceptDoubtful(ctx, tx, watch, p.outbox, event, by, reason)
		},
		DB: p.db, Plant: p.plant, Outbox: p.outbox, Inbox: p.inbox, Doer: p.doer, Gate: gate, SignIn: door, Elsewhere: elsewhere, Passkeys: p.passkeys, Badges: p.badges, Checker: sendable{p.outbox, p.cfg.mapper(p.live, p.tokens, p.db), p.links, p.live}, Rules: p.live, Jobs: p.jobs, Tokens: p.tokens,
		Workshop: mappingPage{p.floors},
	}, cfg, p.log.With("part", "console"))
}

// receipts checks the receipts of a link's ERP; nil for one that signs none.
func (p *process) receipts(link string) message.ReceiptVerifier {
	if r := p.guard.Receipts(link); r != nil {
		return r
	}
	return nil // an interface that holds nothing is not nil
}

// signing is of the node whose key ends first.
func (p *process) signing(ctx context.Context) (s console.Signing, err error) {
	err = p.db.View(ctx, func(tx *store.Tx) error {
		left, err := keysLeftOf(ctx, tx, p.cfg)
		for i, l := range left {
			if d := time.Duration(l.Left); i == 0 || d < s.Left {
				s = console.Signing{Node: l.Node, Left: d, Half: l.Half}
			}
		}
		return err
	})
	return s, err
}

// space measures the disk of a database that is a file; nil where it is elsewhere.
func (c Config) space() func(ctx context.Context) (console.Space, error) {
	file, ok := strings.CutPrefix(c.Database.URL, "sqlite:")
	if !ok {
		return nil
	}
	return func(context.Context) (console.Space, error) {
		var s console.Space
		for _, name := range []string{file, file + "-wal"} {
			if info, err := os.Stat(name); err == nil {
				s.Used += info.Size()
			}
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(filepath.Dir(file), &fs); err != nil {
			return s, fmt.Errorf("measure the disk of %s: %w", file, err)
		}
		s.Free = int64(fs.Bavail) * int64(fs.Bsize) //nolint:gosec // no disk has that many bytes
		return s, nil
	}
}

// web is what browsers and the MES call: the API, and the pages on the same listener. The pages end their streams as the API ends.
func (p *process) web() []part {
	pages, api := p.openConsole(), p.floors.api()
	api.Pages, api.Commands = pages.Handler(), p.command
	if p.sessions != nil {
		api.Pages = p.sessions.Wrap(api.Pages)
	}
	return []part{{"api", func(ctx context.Context) error { return api.Run(ctx, p.api) }}, {"console", pages.Run}}
}
