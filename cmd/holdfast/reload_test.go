package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func TestChangedMappingsAreTakenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	first, err := mapping.Load(mapping.Library())
	if err != nil {
		t.Fatal(err)
	}
	live := mapping.NewLive(first)
	db := storetest.SQLite(t)
	f := &floors{cfg: Config{Mappings: dir}, live: live, db: db, doer: access.New(db), log: slog.New(slog.NewTextHandler(&log, nil)), alerts: alert.New(slog.New(slog.DiscardHandler))}
	f.mapsBy = f.cfg.mapsBy(edition.State{})
	r := f.newReloader()
	r.settle = 0
	r.begin(t.Context())
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.look(t.Context())
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
	if got := raisedNotUsed(t, db); len(got) != 1 || !strings.Contains(got[0].Reason, "bad.yaml:3:13") || got[0].Object != "mapping/"+edition.Short(r.node.Used) || !strings.Contains(log.String(), "ALARM") {
		t.Errorf("the alert says %+v, the log %s", got, log.String())
	}
	log.Reset()
	r.look(t.Context())
	if log.Len() > 0 || len(raisedNotUsed(t, db)) != 1 {
		t.Errorf("it is told again: %s", log.String())
	}
	write("bad.yaml", good)
	if after := live.Set(); !after.Covers("bad", "test.happened") || !after.Covers("other", "test.happened") {
		t.Errorf("after it was mended: %q", after.Names())
	}
}

// raisedNotUsed are the entries of the alert that the folder is not what the plant maps by.
func raisedNotUsed(t *testing.T, db *store.DB) (raised []audit.Entry) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		raised, err = audit.List(t.Context(), tx, audit.Filter{Action: notUsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return raised
}

// TestAFolderThatIsLostIsNotAnEmptyOne: a mount that is lost, or a folder that is moved, does not put the shipped mappings in the place of the
// plant's, and is told once; what comes back is taken.
func TestAFolderThatIsLostIsNotAnEmptyOne(t *testing.T) {
	m := &manyNodes{t: t, db: storetest.SQLite(t), cfg: Config{Mappings: filepath.Join(t.TempDir(), "mappings")}}
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(m.cfg.Mappings, 0o700); err != nil {
		t.Fatal(err)
	}
	m.write(mapsTo("a"))
	r := m.node("n1")
	away := m.cfg.Mappings + ".away"
	for _, lost := range []struct {
		what       string
		goes, back func()
	}{
		{"the folder is gone", func() { move(m.cfg.Mappings, away) }, func() { move(away, m.cfg.Mappings) }},
		{"the folder is empty", func() { move(m.cfg.Mappings+"/m.yaml", away) }, func() { move(away, m.cfg.Mappings+"/m.yaml") }},
	} {
		lost.goes()
		m.log.Reset()
		r.look(t.Context())
		r.look(t.Context())
		if got := m.made(); got != `{"a":1}` || !strings.Contains(r.node.Trouble, "it is gone or has no file any more") || strings.Count(m.log.String(), "level=ERROR") != 1 {
			t.Errorf("%s: it makes %s and says %q, %s", lost.what, got, r.node.Trouble, m.log.String())
		}
		lost.back()
		r.look(t.Context())
		if r.look(t.Context()); r.node.Trouble != "" {
			t.Errorf("%s no longer: it says %q", lost.what, r.node.Trouble)
		}
	}
	m.write(mapsTo("b"))
	r.look(t.Context())
	if r.look(t.Context()); m.made() != `{"a":2}` {
		t.Errorf("after a change it makes %s", m.made())
	}
}

// TestAMountedFolderIsReadByItsLinks: Kubernetes mounts a ConfigMap as links into a folder that it exchanges as a whole. What is read is each
// file once, and an exchange is seen though no link in the folder of mappings has changed.
func TestAMountedFolderIsReadByItsLinks(t *testing.T) {
	const good = "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src.a}\n"
	mount := t.TempDir()
	edit := func(version, text string) {
		t.Helper()
		if err := errors.Join(
			os.Mkdir(filepath.Join(mount, version), 0o700), os.WriteFile(filepath.Join(mount, version, "m.yaml"), []byte(text), 0o600),
			os.Symlink(version, filepath.Join(mount, "..tmp")), os.Rename(filepath.Join(mount, "..tmp"), filepath.Join(mount, "..data")),
		); err != nil {
			t.Fatal(err)
		}
	}
	edit("..first", good)
	dir := filepath.Join(t.TempDir(), "mappings")
	if err := errors.Join(os.Symlink(filepath.Join("..data", "m.yaml"), filepath.Join(mount, "m.yaml")), os.Symlink(mount, dir)); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Mappings: dir}
	read := func() string {
		t.Helper()
		e, err := cfg.folder()
		if err != nil {
			t.Fatal(err)
		}
		set, err := compileEdition(e)
		if err != nil {
			t.Fatal(err)
		}
		own := slices.DeleteFunc(set.Versions(), func(v string) bool { return strings.Contains(v, "/") })
		if folder, err := mapping.Load(os.DirFS(dir)); err != nil || !slices.Equal(folder.Versions(), own) {
			t.Errorf("the folder has %q, %v; the edition made of it %q", folder.Versions(), err, own)
		}
		return strings.Join(own, " ")
	}
	state := cfg.folderState
	first, was := read(), state()
	if !strings.HasPrefix(first, "m@") || strings.Contains(first, " ") {
		t.Errorf("it has %q, want m alone", first)
	}
	if state() != was {
		t.Error("it changes by itself")
	}
	edit("..second", strings.Replace(good, "src.a", "src.b", 1))
	if read() == first || state() == was {
		t.Error("what the links lead to now is not seen")
	}
}

// manyNodes are nodes of one plant, each with what it logs.
type manyNodes struct {
	t   *testing.T
	db  *store.DB
	cfg Config
	erp map[string]link // the links of a node that is started
	all []*reloader
	log bytes.Buffer
}

// node starts one more on the plant's folder, as serve does.
func (m *manyNodes) node(name string) *reloader {
	m.t.Helper()
	cfg := m.cfg
	cfg.Relay.Node = name
	rules, err := loadMappings(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	f := &floors{cfg: cfg, rules: rules, live: mapping.NewLive(rules), links: m.erp, db: m.db, doer: access.New(m.db), log: slog.New(slog.NewTextHandler(&m.log, nil)), alerts: alert.New(slog.New(slog.DiscardHandler))}
	f.mapsBy = cfg.mapsBy(edition.State{})
	r := f.newReloader()
	r.settle = 0
	r.begin(m.t.Context())
	m.all = append(m.all, r)
	return r
}

func (m *manyNodes) write(text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.cfg.Mappings, "m.yaml"), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// act does what a command does with the folder as it is, and has every node look.
func (m *manyNodes) act(do func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error)) error {
	m.t.Helper()
	e, err := m.cfg.folder()
	if err != nil {
		m.t.Fatal(err)
	}
	err = m.db.InTx(m.t.Context(), func(tx *store.Tx) error {
		if err := edition.Keep(m.t.Context(), tx, e); err != nil {
			return err
		}
		before, err := edition.Current(m.t.Context(), tx)
		if err != nil {
			return err
		}
		s, err := do(m.t.Context(), tx, e.Hash)
		if err != nil {
			return err
		}
		last, err := edition.Steps(m.t.Context(), tx, 1)
		if err != nil {
			return err
		}
		return audit.Append(m.t.Context(), tx, audit.Entry{Actor: last[0].Actor, Action: "mapping." + last[0].Step, Object: "mapping/" + edition.Short(s.About(before)), After: stateJSON(s)})
	})
	for _, r := range m.all {
		r.look(m.t.Context())
	}
	return err
}

// made is what each node makes of a message.
func (m *manyNodes) made() string {
	m.t.Helper()
	v, err := message.Verify(m.t.Context(), allVerified{}, message.Message{ID: "m-1", Kind: "test.happened", Version: 1, Body: []byte(`{"a":1,"b":2}`)})
	if err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, r := range m.all {
		doc, err := r.live.Apply(m.t.Context(), "m", v, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		out = append(out, string(doc.Body))
	}
	return strings.Join(out, " ")
}

type allVerified struct{}

// Verify implements message.Verifier.
func (allVerified) Verify(context.Context, message.Message) error { return nil }

func mapsTo(field string) string {
	return "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src." + field + "}\n"
}

func TestEveryNodeTakesTheEditionThatWasPublished(t *testing.T) {
	m := &manyNodes{t: t, db: storetest.SQLite(t), cfg: Config{Mappings: t.TempDir()}}
	m.write(mapsTo("a"))
	m.node("n1")
	m.node("n2")
	anna := edition.By{Actor: "anna", Reason: "b is better"}
	publish := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, false, anna)
	}
	expect := func(when, want string) {
		t.Helper()
		if got := m.made(); got != want {
			t.Errorf("%s: got %s, want %s; the nodes say %s", when, got, want, m.log.String())
		}
	}
	m.write(mapsTo("b"))
	if err := m.act(publish); err != nil {
		t.Fatal(err)
	}
	expect("published", `{"a":2} {"a":2}`)
	m.write(mapsTo("a"))
	for _, r := range m.all {
		r.look(t.Context())
	}
	expect("the folder changes", `{"a":2} {"a":2}`)
	m.write("no mapping at all")
	if err := m.act(publish); err != nil { // the command would have refused it
		t.Fatal(err)
	}
	expect("a bad one was published", `{"a":2} {"a":2}`)
	back := func(ctx context.Context, tx *store.Tx, _ string) (edition.State, error) {
		return edition.RollBack(ctx, tx, "", false, anna)
	}
	if err := m.act(back); err != nil {
		t.Fatal(err)
	}
	expect("back", `{"a":2} {"a":2}`)
	if err := m.act(back); err != nil {
		t.Fatal(err)
	}
	expect("back to the folder that they began with", `{"a":1} {"a":1}`)
	err := m.db.View(t.Context(), func(tx *store.Tx) error {
		nodes, err := edition.Nodes(t.Context(), tx)
		for _, n := range nodes {
			if n.Trouble != "" || n.Used != m.all[0].node.Used {
				t.Errorf("node %+v", n)
			}
		}
		if len(nodes) != 2 {
			t.Errorf("%d nodes", len(nodes))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAPublishedEditionThatThisReleaseRefusesIsNamedAtStart: the release before took a quotient that may not end, with which the plant goes on, and
// doctor tells it; and a function that there is not any more. With that the plant does not start, says where the mistake stands and that the folder is not
// what counts, and starts once the mended folder is published. Nobody goes back to it.
func TestAPublishedEditionThatThisReleaseRefusesIsNamedAtStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("holdfast.yaml", "plant: {number: \"1000\"}\n")
	const before = "from: {kind: test.happened}\nto: {operation: post}\nfields:\n  hours: ratio(decimal(src.minutes), decimal(\"1\"), decimal(\"60\"))\n"
	if err := os.Mkdir(filepath.Join(dir, "mappings"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("mappings/m.yaml", strings.Replace(before, `"60"))`, `"60"), 3, "half-up")`, 1))
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	start := func() error {
		f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		return f.Close()
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	r, err := openRecords(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.db.Close()
	publish := func(text string) (e edition.Edition) {
		t.Helper()
		e, err := edition.Read(fstest.MapFS{"m.yaml": {Data: []byte(text)}})
		if err == nil {
			err = r.publish(t.Context(), io.Discard, e, "", "as the release before did")
		}
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	publish(before)
	if err := start(); err != nil {
		t.Errorf("for newer advice the plant does not start: %v", err)
	}
	e := publish(strings.Replace(before, "ratio(", "perHour(", 1))
	err = start()
	for _, want := range []string{"m.yaml:4:10: fields.hours: there is no perHour here", edition.Short(e.Hash)} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if found := examineDatabase(t.Context(), cfg, nil); !slices.ContainsFunc(found, func(f finding) bool {
		return f.State == isBad && strings.Contains(f.Says, "there is no perHour here")
	}) {
		t.Errorf("doctor finds only %+v", found)
	}
	bad := edition.Short(e.Hash)
	if e, err = r.candidate(t.Context(), nil); err == nil {
		err = errors.Join(r.ready(t.Context(), io.Discard, e), r.publish(t.Context(), io.Discard, e, "", "three places"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		t.Errorf("with the mended edition: %v", err)
	}
	if found := examineDatabase(t.Context(), cfg, nil); slices.ContainsFunc(found, func(f finding) bool { return f.State == isBad }) {
		t.Errorf("doctor finds %+v", found)
	}
	if err := r.backIsUsable(t.Context()); err == nil || !strings.Contains(err.Error(), "go back to edition "+bad) || !strings.Contains(err.Error(), "there is no perHour here") {
		t.Errorf("somebody can go back to it: %v", err)
	}
}

// TestDoctorTellsNewerAdviceOnWhatWasPublished: it is looked at, and stops nothing.
func TestDoctorTellsNewerAdviceOnWhatWasPublished(t *testing.T) {
	advice := mapping.Mistake{File: "m.yaml", Line: 4, Col: 10, What: "fields.a", Why: "it may be too long", Hint: "add maxLength: 4"}
	found := []misfit{{mapping.Finding{Mistake: advice, Newer: true}, "m", "erp"}, {mapping.Finding{Mistake: advice}, "m", "erp"}}
	got := examineNewer(Config{}, "4f9a1c2b7d3e", found)
	if len(got) != 1 || got[0].State != look || !strings.Contains(got[0].Says, "edition 4f9a1c2b7d3e goes on with it") || !strings.Contains(got[0].Says, "m.yaml:4:10") || got[0].Do != advice.Hint {
		t.Errorf("got %+v", got)
	}
	var said strings.Builder
	if newer(t.Context(), slog.New(slog.NewTextHandler(&said, nil)), found); strings.Count(said.String(), "level=WARN") != 1 {
		t.Errorf("the log says %s", said.String())
	}
	if err := (Config{}).refused(found); err != nil {
		t.Errorf("it is refused: %v", err)
	}
}

func TestANodeLooksForItselfWhoHasApproved(t *testing.T) {
	m := &manyNodes{t: t, db: storetest.SQLite(t), cfg: Config{Mappings: t.TempDir(), MappingsPolicy: fourEyes}}
	m.write(mapsTo("a"))
	m.node("n1")
	m.write(mapsTo("b"))
	r := m.all[0]
	r.look(t.Context())
	if r.look(t.Context()); !strings.Contains(r.node.Trouble, "nobody has approved them") {
		t.Errorf("the changed folder is taken: %q", r.node.Trouble)
	}
	alone := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, false, edition.By{Actor: "anna"}) // past the command, which knows the policy
	}
	if err := m.act(alone); err != nil {
		t.Fatal(err)
	}
	if got := m.made(); got != `{"a":1}` || !strings.Contains(r.node.Trouble, "nobody who is certainly not anna has looked at it") {
		t.Errorf("got %s, %q", got, r.node.Trouble)
	}
	if _, err := r.cfg.edition(t.Context(), m.db, mustCurrent(t, m.db)); problem.KindOf(err) != problem.Denied {
		t.Errorf("a start with it: %v", err)
	}
	propose := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, true, edition.By{Actor: "user:anna"})
	}
	if err := m.act(propose); err != nil {
		t.Fatal(err)
	}
	err := m.db.InTx(t.Context(), func(tx *store.Tx) error { // as who can write the database says that another has approved it
		_, err := tx.Exec(t.Context(), "UPDATE mapping_steps SET author = 'user:anna', approver = 'user:ben'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.look(t.Context())
	if got := m.made(); got != `{"a":1}` || !strings.Contains(r.node.Trouble, "the audit record has no such act") {
		t.Errorf("an approval that is not on record: got %s, %q", got, r.node.Trouble)
	}
	f := &floors{cfg: r.cfg, db: m.db, log: r.log}
	if err := f.vouched(t.Context()); problem.KindOf(err) != problem.Integrity {
		t.Errorf("a start with it: %v", err)
	}
	approve := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Approve(ctx, tx, hash, edition.By{Actor: "user:ben"})
	}
	if err := m.act(approve); err != nil {
		t.Fatal(err)
	}
	if err := f.vouched(t.Context()); err != nil {
		t.Errorf("a start with what was approved: %v", err)
	}
	if got := m.made(); got != `{"a":2}` || r.node.Trouble != "" {
		t.Errorf("once somebody else has approved the same edition: got %s, %q", got, r.node.Trouble)
	}
}

func mustCurrent(t *testing.T, db *store.DB) edition.State {
	t.Helper()
	s, err := currentEdition(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATrialIsKept(t *testing.T) {
	m := &manyNodes{t: t, db: storetest.SQLite(t), cfg: Config{Mappings: t.TempDir()}}
	m.write(mapsTo("a"))
	r := m.node("n1")
	m.write(mapsTo("b"))
	err := m.act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Try(ctx, tx, hash, edition.By{Actor: "anna"})
	})
	if err != nil {
		t.Fatal(err)
	}
	// The folder as it is now is used as well, since none was published: what is tried differs from what was used before.
	m.write(mapsTo("a"))
	r.look(t.Context())
	if got := m.made(); got != `{"a":1}` {
		t.Errorf("what is tried is used: %s", got)
	}
	r.look(t.Context())
	err = m.db.View(t.Context(), func(tx *store.Tx) error {
		tallies, differing, err := edition.Trials(t.Context(), tx, r.node.Tried, 10, anyLink)
		if len(tallies) != 1 || tallies[0] != (edition.Tally{Mapping: "m", Mapped: 1, Differed: 1}) || len(differing) != 1 || differing[0].Places[0] != "body/a" {
			t.Errorf("got %+v, %+v", tallies, differing)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestANodeCatchesUpAfterItsDatabaseWasAway fails each statement of a look in turn, once, of one node of two.
func TestANodeCatchesUpAfterItsDatabaseWasAway(t *testing.T) {
	anna := edition.By{Actor: "anna", Reason: "b is better"}
	publish := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, false, anna)
	}
	try := func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Try(ctx, tx, hash, anna)
	}
	asked, fails := 0, 1
	away := func(context.Context, string) error {
		if asked--; asked == 0 {
			return errors.New("connection refused")
		}
		return nil
	}
	m := &manyNodes{t: t, db: storetest.SQLite(t, storetest.WithBefore(away)), cfg: Config{Mappings: t.TempDir()}}
	m.write(mapsTo("a"))
	late := m.node("n1")
	for failed := true; failed; fails++ {
		m.all = nil // no node looks while this is done
		for _, step := range []struct {
			text string
			do   func(context.Context, *store.Tx, string) (edition.State, error)
		}{{strings.Replace(mapsTo("a"), "src.a", fmt.Sprintf("'\"%d\"'", fails), 1), publish}, {mapsTo("a") + strings.Repeat("#", fails), try}} {
			m.write(step.text)
			if err := m.act(step.do); err != nil {
				t.Fatal(err)
			}
		}
		m.all = []*reloader{late}
		asked = fails
		late.look(t.Context())
		failed, asked = asked <= 0, 0
		late.look(t.Context())
		if got, want := m.made(), fmt.Sprintf(`{"a":"%d"}`, fails); got != want {
			t.Fatalf("statement %d failed once: the node makes %s for ever; it says %s", fails, got, m.log.String())
		}
		s := mustCurrent(t, m.db)
		if n := lastReport(t, m.db); n.Used != s.Used.Edition || n.Tried != s.Tried.Edition || n.Trouble != "" {
			t.Errorf("statement %d failed once: the node is said to be %+v", fails, n)
		}
	}
	if fails < 10 {
		t.Errorf("a look has %d statements alone", fails)
	}
}

func lastReport(t *testing.T, db *store.DB) (n edition.Node) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		nodes, err := edition.Nodes(t.Context(), tx)
		if len(nodes) == 1 {
			n = nodes[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// learningERP is a link whose contract has post and, once it is learnt anew, put.
type learningERP struct {
	link

	learnt *bool
}

// Accepts implements link.
func (l learningERP) Accepts(target string) error {
	if target == "post" || *l.learnt {
		return nil
	}
	return &problem.Error{Kind: problem.Invalid, What: "target " + target, Why: "the contract has none of this name"}
}

func TestAnEditionIsTakenOnceTheContractIsLearnt(t *testing.T) {
	now, learnt := time.Date(2026, 11, 28, 1, 0, 0, 0, time.UTC), false
	m := &manyNodes{
		t: t, db: storetest.SQLite(t, storetest.WithClock(func() time.Time { return now })),
		cfg: Config{Mappings: t.TempDir(), Routes: []RouteConfig{{Kinds: []string{mes.OrderCompletedKind}, Link: "erp", Mapping: "m"}}},
		erp: map[string]link{"erp": learningERP{learnt: &learnt}},
	}
	of := func(target string) string {
		return "from: {kind: " + mes.OrderCompletedKind + "}\nto: {operation: " + target + "}\nfields: {a: event.id}\n"
	}
	m.write(of("post"))
	r := m.node("n1")
	m.write(of("put"))
	err := m.act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, false, edition.By{Actor: "anna"})
	})
	if err != nil {
		t.Fatal(err)
	}
	target := func() string { return r.live.Set().Target("m", mes.OrderCompletedKind) }
	if target() != "post" || !strings.Contains(r.node.Trouble, "the contract has none of this name") {
		t.Fatalf("it maps to %s, and says %q", target(), r.node.Trouble)
	}
	m.log.Reset()
	now = now.Add(refitEvery)
	if r.look(t.Context()); target() != "post" || m.log.Len() > 0 {
		t.Errorf("while it does not fit: it maps to %s, and tells again %s", target(), m.log.String())
	}
	learnt, now = true, now.Add(refitEvery)
	if r.look(t.Context()); target() != "put" || r.node.Trouble != "" {
		t.Errorf("once it fits: it maps to %s, and says %q", target(), r.node.Trouble)
	}
}

// TestEveryTrialCounts: more results than are remembered one by one, while the database takes none.
func TestEveryTrialCounts(t *testing.T) {
	away := true
	db := storetest.SQLite(t, storetest.WithBefore(func(context.Context, string) error {
		if away {
			return errors.New("connection refused")
		}
		return nil
	}))
	const many = 6000
	var all trials
	tell := all.of("e")
	for i := range many {
		one := mapping.Trial{Mapping: "m", Link: "erp"}
		if one.Message = fmt.Sprint("m-", i); i == many-1 {
			one.Differences = []mapping.Difference{{At: "body/a"}}
		}
		if tell(one); i%1000 != 0 {
			continue
		}
		if left, err := all.keep(t.Context(), db); err == nil || left != int64(i+1) {
			t.Fatalf("%d left, %v", left, err)
		}
	}
	away = false
	for range 2 { // what was kept is not kept again
		if left, err := all.keep(t.Context(), db); err != nil || left != 0 {
			t.Fatalf("%d left, %v", left, err)
		}
	}
	err := db.View(t.Context(), func(tx *store.Tx) error {
		tallies, differing, err := edition.Trials(t.Context(), tx, "e", 10, anyLink)
		if len(tallies) != 1 || tallies[0] != (edition.Tally{Mapping: "m", Mapped: many, Differed: 1}) || len(differing) != 1 {
			t.Errorf("got %+v, %+v", tallies, differing)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
