package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestAStartWithABadFolderGoesOnByWhatWasUsedBefore: bad mappings never replace good ones, whatever restarts the plant. One that never ran has none, and what
// nobody has approved is not used where policy asks for four eyes.
func TestAStartWithABadFolderGoesOnByWhatWasUsedBefore(t *testing.T) {
	dir := t.TempDir()
	const good = "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src.a}\n"
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "mappings", "mine"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "mappings", "mine", "test.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(policy string) (f *floors, said string, err error) {
		t.Helper()
		cfg, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte("plant: {number: \"1000\", zone: Europe/Berlin}\nrelay: {node: a}\n"+policy))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		f, err = openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			t.Cleanup(func() { _ = f.Close() })
		}
		return f, log.String(), err
	}
	runs := func(f *floors) *reloader {
		r := f.newReloader()
		r.settle = 0
		r.begin(t.Context())
		r.look(t.Context())
		return r
	}
	bad := strings.Replace(good, "src.a", "scr.a", 1)
	write(bad)
	if _, _, err := start(""); problem.KindOf(err) != problem.Invalid {
		t.Fatalf("the first start with it: %v", err)
	}
	write(good)
	f, _, err := start("")
	if err != nil {
		t.Fatal(err)
	}
	used := runs(f).node.Used
	if err := f.Close(); err != nil || used == "" {
		t.Fatalf("the folder is not kept: %q, %v", used, err)
	}
	write(bad)
	if _, _, err := start("mappings_policy: four_eyes\n"); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a start with it where four eyes are asked for: %v", err)
	}
	f, said, err := start("")
	if err != nil {
		t.Fatalf("a start with it later: %v", err)
	}
	if !f.live.Set().Covers("mine/test", "test.happened") || !strings.Contains(said, "ALARM") || !strings.Contains(said, "test.yaml:3:13") {
		t.Errorf("it does not go on by what was used, or says nothing: %s", said)
	}
	r := runs(f)
	if r.node.Used != used || !strings.Contains(r.node.Trouble, "test.yaml:3:13") {
		t.Errorf("the node reports %+v, want that it goes on by %s", r.node, used)
	}
	if found := examineNodes(t.Context(), f.db); len(found) != 1 || !strings.Contains(found[0].Says, "test.yaml:3:13") {
		t.Errorf("the doctor says %+v", found)
	}
	if raised := raisedNotUsed(t, f.db); len(raised) != 1 {
		t.Errorf("%d alerts were raised, want one", len(raised))
	}
	write(strings.Replace(good, "{a: src.a}", "{a: src.a, more: src.a}", 1))
	r.look(t.Context())
	r.look(t.Context())
	if r.node.Used == used || r.node.Trouble != "" || len(examineNodes(t.Context(), f.db)) != 0 {
		t.Errorf("once the folder is mended: %+v", r.node)
	}
}
