package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/mapping"
)

func TestChangedMappingsAreTakenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	first, err := mapping.Load(mapping.Library())
	if err != nil {
		t.Fatal(err)
	}
	live := mapping.NewLive(first)
	r := &reloader{cfg: Config{Mappings: dir}, live: live, log: slog.New(slog.NewTextHandler(&log, nil))}
	if r.seen, err = r.state(); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.look(t.Context())
	}
	const good = "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src.a}\n"
	write("good.yaml", good)
	if !live.Set().Covers("good", "test.happened") || !strings.Contains(log.String(), "a mapping was changed") {
		t.Errorf("the new mapping is not used: %s", log.String())
	}
	before := live.Set()
	write("bad.yaml", strings.Replace(good, "src.a", "scr.a", 1))
	write("other.yaml", good) // itself good, beside one that is not
	if live.Set() != before {
		t.Errorf("with a mistake in one file the others were taken: %q", live.Set().Names())
	}
	if !strings.Contains(log.String(), "bad.yaml:3:13") {
		t.Errorf("the log has no place: %s", log.String())
	}
	log.Reset()
	r.look(t.Context())
	if log.Len() > 0 {
		t.Errorf("it is told again: %s", log.String())
	}
	write("bad.yaml", good)
	if after := live.Set(); !after.Covers("bad", "test.happened") || !after.Covers("other", "test.happened") {
		t.Errorf("after it was mended: %q", after.Names())
	}
}
