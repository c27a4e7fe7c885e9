package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/edition"
	"holdfast/internal/store"
)

// ownFolder is a plant with a folder of mappings of its own that is started again and again.
type ownFolder struct {
	t   *testing.T
	dir string
	log bytes.Buffer
}

const ownMapping = "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src.a}\n"

// newOwnFolder has a good folder, by which a node has run.
func newOwnFolder(t *testing.T) *ownFolder {
	t.Helper()
	o := &ownFolder{t: t, dir: t.TempDir()}
	o.write("test.yaml", ownMapping)
	f, err := o.start("")
	if err != nil {
		t.Fatal(err)
	}
	o.runs(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *ownFolder) path(name string) string { return filepath.Join(o.dir, "mappings", name) }

func (o *ownFolder) write(name, text string) {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Dir(o.path(name)), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.path(name), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// start opens the plant as node a, with more in its configuration.
func (o *ownFolder) start(more string) (*floors, error) {
	o.t.Helper()
	o.log.Reset()
	f, err := openFloors(o.t.Context(), o.config(more), store.Config{}, slog.New(slog.NewTextHandler(&o.log, nil)))
	if err == nil {
		o.t.Cleanup(func() { _ = f.Close() })
	}
	return f, err
}

func (o *ownFolder) config(more string) Config {
	o.t.Helper()
	if !strings.Contains(more, "relay:") {
		more = "relay: {node: a}\n" + more
	}
	cfg, err := parseConfig(filepath.Join(o.dir, "holdfast.yaml"), []byte("plant: {number: \"1000\", zone: Europe/Berlin}\n"+more))
	if err != nil {
		o.t.Fatal(err)
	}
	return cfg
}

// runs has a node look once.
func (o *ownFolder) runs(f *floors) *reloader {
	r := f.newReloader()
	r.settle = 0
	r.begin(o.t.Context())
	r.look(o.t.Context())
	return r
}

// TestAFileThatIsNotReadChangesNothing: what no mapping is made of neither stops a start nor hides a change from a running node.
func TestAFileThatIsNotReadChangesNothing(t *testing.T) {
	o := newOwnFolder(t)
	if err := os.Symlink("/nonexistent/readme", o.path("README")); err != nil {
		t.Fatal(err)
	}
	f, err := o.start("")
	if err != nil || f.unfit != nil {
		t.Fatalf("a start beside it: %v, %v", err, f)
	}
	r := o.runs(f)
	o.write("more.yaml", ownMapping)
	r.look(t.Context())
	r.look(t.Context())
	if !f.live.Set().Covers("more", "test.happened") {
		t.Errorf("a change beside it is not seen: %+v", r.node)
	}
}

// TestAFolderThatCannotBeReadIsNotUsed: a start goes on by the mappings from before, a running node tells of it, and both take the folder once it can be read.
func TestAFolderThatCannotBeReadIsNotUsed(t *testing.T) {
	for name, spoil := range map[string]func(o *ownFolder) (file, says string){
		"a link to nothing": func(o *ownFolder) (string, string) {
			if err := os.Symlink("/nonexistent/more", o.path("more.yaml")); err != nil {
				t.Fatal(err)
			}
			return "more.yaml", "more.yaml"
		},
		"a table beyond all measure": func(o *ownFolder) (string, string) {
			o.write("unused.csv", "a,b\n"+strings.Repeat("1234567,7654321\n", 34<<16))
			return "unused.csv", "32 MiB"
		},
	} {
		o := newOwnFolder(t)
		f, err := o.start("")
		if err != nil {
			t.Fatal(err)
		}
		r := o.runs(f)
		used := r.node.Used
		file, says := spoil(o)
		for range 3 {
			r.look(t.Context())
		}
		if raised := raisedNotUsed(t, f.db); !strings.Contains(r.node.Trouble, says) || r.node.Used != used || len(raised) != 1 {
			t.Errorf("%s: the running node reports %+v and raises %+v", name, r.node, raised)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if f, err = o.start(""); err != nil {
			t.Errorf("%s: a start with it: %v", name, err)
			continue
		}
		r = o.runs(f)
		if r.look(t.Context()); r.node.Used != used || !strings.Contains(r.node.Trouble, says) || !f.live.Set().Covers("test", "test.happened") || strings.Count(o.log.String(), "ALARM") != 1 {
			t.Errorf("%s: the restarted node reports %+v, and says %s", name, r.node, o.log.String())
		}
		if err := os.Remove(o.path(file)); err != nil {
			t.Fatal(err)
		}
		r.look(t.Context())
		if r.look(t.Context()); r.node.Trouble != "" {
			t.Errorf("%s: once it is gone: %+v", name, r.node)
		}
	}
}

// TestTheFolderDoesNotCountOnceAnEditionIsPublished: not to a start either, whatever is wrong with it.
func TestTheFolderDoesNotCountOnceAnEditionIsPublished(t *testing.T) {
	o := newOwnFolder(t)
	f, err := o.start("")
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.cfg.folder()
	if err != nil {
		t.Fatal(err)
	}
	err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := edition.Publish(t.Context(), tx, e.Hash, false, edition.By{Actor: "test", Reason: "test"})
		return err
	})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nonexistent/more", o.path("more.yaml")); err != nil {
		t.Fatal(err)
	}
	if f, err = o.start(""); err != nil || f.unfit != nil || strings.Contains(o.log.String(), "ALARM") {
		t.Errorf("a start by the published edition: %v, %s", err, o.log.String())
	}
}

// TestALinkThatCannotEncryptStopsAStart, also of a plant that has mappings to go on by: what it sends would be read by others.
func TestALinkThatCannotEncryptStopsAStart(t *testing.T) {
	t.Setenv("P", "secret")
	o := newOwnFolder(t)
	_, err := o.start("links:\n  mq: {kind: amqp, addresses: [\"amqp://127.0.0.1:1\"], user: u, password: \"env:P\", publish: {exchange: e}, encrypt_to: nowhere.pem}\n")
	if err == nil || !strings.Contains(err.Error(), "links.mq.encrypt_to") {
		t.Errorf("got %v, want that links.mq.encrypt_to names no file", err)
	}
}

// TestAFolderThatIsGoneAtAStartIsNotTakenForNone: it goes on by the mappings from before and tells of it, however often it is started, until the folder is back, or somebody publishes
// that there are to be none.
func TestAFolderThatIsGoneAtAStartIsNotTakenForNone(t *testing.T) {
	for name, lose := range map[string]func(o *ownFolder) error{
		"gone": func(o *ownFolder) error {
			return os.Rename(filepath.Join(o.dir, "mappings"), filepath.Join(o.dir, "away"))
		},
		"empty": func(o *ownFolder) error { return os.Remove(o.path("test.yaml")) },
	} {
		o := newOwnFolder(t)
		if err := lose(o); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			f, err := o.start("")
			if err != nil {
				t.Fatalf("%s: a start without it: %v", name, err)
			}
			r := o.runs(f)
			if r.look(t.Context()); !f.live.Set().Covers("test", "test.happened") || !strings.Contains(r.node.Trouble, "it is gone or has no file any more") || strings.Count(o.log.String(), "ALARM") != 1 {
				t.Errorf("%s: the node reports %+v, and says %s", name, r.node, o.log.String())
			}
			if set, err := usedMappings(t.Context(), f.cfg, f.db); err != nil || !set.Covers("test", "test.happened") {
				t.Errorf("%s: a command beside it maps by others: %v", name, err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(filepath.Join(o.dir, "mappings")); err != nil {
			t.Fatal(err)
		}
		o.write("test.yaml", ownMapping)
		f, err := o.start("")
		if err != nil || f.unfit != nil || strings.Contains(o.log.String(), "ALARM") {
			t.Fatalf("%s: a start with the folder that is back: %v, %s", name, err, o.log.String())
		}
		none, err := edition.None()
		if err != nil {
			t.Fatal(err)
		}
		err = f.db.InTx(t.Context(), func(tx *store.Tx) error {
			if err := edition.Keep(t.Context(), tx, none); err != nil {
				return err
			}
			_, err := edition.Publish(t.Context(), tx, none.Hash, false, edition.By{Actor: "test", Reason: "test"})
			return err
		})
		if err = errors.Join(err, f.Close(), os.RemoveAll(filepath.Join(o.dir, "mappings"))); err != nil {
			t.Fatal(err)
		}
		if f, err = o.start(""); err != nil || f.live.Set().Covers("test", "test.happened") || strings.Contains(o.log.String(), "ALARM") {
			t.Errorf("%s: a start once none are published: %v, %s", name, err, o.log.String())
		}
	}
}

// TestANodeThatWasAwayGoesOnByWhatIsUsedSince: where its folder is refused, what came into use last counts, and not its own from before; so do commands beside it.
func TestANodeThatWasAwayGoesOnByWhatIsUsedSince(t *testing.T) {
	o := newOwnFolder(t)
	o.write("later.yaml", ownMapping)
	other, err := o.start("relay: {node: b}\n")
	if err != nil {
		t.Fatal(err)
	}
	later := o.runs(other).node.Used
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	o.write("later.yaml", "from: nothing\n")
	f, err := o.start("")
	if err != nil {
		t.Fatal(err)
	}
	if r := o.runs(f); r.node.Used != later || !f.live.Set().Covers("later", "test.happened") {
		t.Errorf("it goes on by %s, want %s of the other node", edition.Short(r.node.Used), edition.Short(later))
	}
	base, err := f.cfg.base(t.Context(), f.db)
	if set, errSet := usedMappings(t.Context(), f.cfg, f.db); err != nil || errSet != nil || base.Hash != later || !set.Covers("later", "test.happened") {
		t.Errorf("beside it edition %s is used, %v, %v, want %s", edition.Short(base.Hash), err, errSet, edition.Short(later))
	}
}
