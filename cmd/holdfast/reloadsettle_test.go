package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/store/storetest"
)

// TestAFolderThatIsBeingWrittenIsNotTaken: files that belong together are replaced one by one, as a checkout does, and a node looks between each two.
// Each state in between would compile. None is taken, nor is a file that is half written; the whole is, once it has stood still from one look to the next.
func TestAFolderThatIsBeingWrittenIsNotTaken(t *testing.T) {
	const files = 5
	m := &manyNodes{t: t, db: storetest.SQLite(t), cfg: Config{Mappings: t.TempDir()}}
	text := func(i, generation int) string {
		return fmt.Sprintf("# %d\nfrom: {kind: test.happened%d}\nto: {operation: post}\nfields: {generation: '\"%d\"'}\n", i, i, generation)
	}
	write := func(i int, text string) {
		t.Helper()
		file := filepath.Join(m.cfg.Mappings, fmt.Sprintf("m%d.yaml", i))
		if err := errors.Join(os.WriteFile(file+".tmp", []byte(text), 0o600), os.Rename(file+".tmp", file)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range files {
		write(i, text(i, 0))
	}
	r := m.node("n1")
	generations := func() string {
		out := map[string]bool{}
		for i := range files {
			look, _ := r.live.Set().Look(fmt.Sprintf("m%d", i))
			_, generation, _ := strings.Cut(string(look.Text), `generation: '"`)
			out[generation[:1]] = true
		}
		return fmt.Sprint(len(out), out["0"], out["1"], out["2"])
	}
	for generation := 1; generation <= 2; generation++ {
		was := generations()
		for i := range files {
			half := text(i, generation)
			write(i, half[:strings.Index(half, "fields")]) // as an editor that does not rename leaves it for a moment
			r.look(t.Context())
			write(i, half)
			r.look(t.Context())
			if got := generations(); got != was {
				t.Fatalf("after file %d of generation %d was written the set is %s, want %s", i, generation, got, was)
			}
		}
		r.look(t.Context())
		if got, want := generations(), fmt.Sprint(1, false, generation == 1, generation == 2); got != want {
			t.Errorf("generation %d is whole, and the set is %s, want %s", generation, got, want)
		}
	}
	if strings.Contains(m.log.String(), "level=ERROR") || r.node.Trouble != "" {
		t.Errorf("what was half written is told as a mistake: %s", m.log.String())
	}

	r.settle = time.Hour // two looks right after one another, as when the node is told of something, are not two
	write(0, text(0, 3))
	for range 3 {
		r.look(t.Context())
	}
	if got, want := generations(), fmt.Sprint(1, false, false, true); got != want {
		t.Errorf("the folder was taken at once: %s, want %s", got, want)
	}
}
