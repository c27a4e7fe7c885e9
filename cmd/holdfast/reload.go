package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"holdfast/internal/mapping"
)

// reloadEvery is how often the folder of own mappings is looked at while a plant runs.
const reloadEvery = 2 * time.Second

// reloader takes changed mappings into use while the plant runs: all of them or, if one has a mistake or does not fit what it is for, none.
type reloader struct {
	cfg   Config
	live  *mapping.Live
	links map[string]link
	log   *slog.Logger

	seen string // the folder as it was when it was last read
}

// newReloader begins with the folder as it is now.
func (f *floors) newReloader() *reloader {
	r := &reloader{cfg: f.cfg, live: f.live, links: f.links, log: f.log.With("part", "mapping")}
	r.seen, _ = r.state()
	return r
}

// Run looks again and again until ctx ends.
func (r *reloader) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.look(ctx)
		}
	}
}

// look reads the folder if it has changed, and says once what came of it.
func (r *reloader) look(ctx context.Context) {
	now, err := r.state()
	if err != nil || now == r.seen {
		return // a folder that cannot be read says nothing; the mappings in use stay
	}
	r.seen = now
	sources := []fs.FS{mapping.Library()}
	if r.cfg.hasMappings() {
		sources = append(sources, os.DirFS(r.cfg.Mappings))
	}
	changes, err := r.live.Reload(func(next *mapping.Set) error {
		if err := r.cfg.checkAgainst(next, r.links); err != nil {
			return err
		}
		return r.cfg.refuseUnfit(next, r.links)
	}, sources...)
	if err != nil {
		r.log.ErrorContext(ctx, "the changed mappings are not used: those from before stay", "err", err)
		return
	}
	for _, c := range changes {
		r.log.InfoContext(ctx, "a mapping was changed", "message", fmt.Sprintf("%s: %s → %s", c.Name, hashOf(c.Before), hashOf(c.After)))
	}
}

// state is a sum over names, sizes and times of the files in the folder.
func (r *reloader) state() (string, error) {
	h := fnv.New64a()
	if !r.cfg.hasMappings() {
		return "", nil
	}
	err := filepath.WalkDir(r.cfg.Mappings, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(h, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return fmt.Sprint(h.Sum64()), err
}
