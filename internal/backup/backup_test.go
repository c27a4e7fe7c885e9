package backup_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

const (
	plant = "urn:holdfast:plant:1000"
	node  = "a"
)

// site is a plant with two places for its copies, and the keys that open them.
type site struct {
	t              *testing.T
	db             *store.DB
	url            string
	out            *outbox.Outbox
	src            backup.Source
	opt            backup.Options
	near, far      backup.Folder
	own, recovery  backup.Key
	signer         *signer
	scratch, files string
}

// signer is a node's key, and who trusts it.
type signer struct{ key ed25519.PrivateKey }

func (s *signer) Sign(p seal.Purpose, digest []byte) (message.Signature, error) {
	out := message.Signature{At: time.Unix(1, 0).UTC(), Key: seal.KeyID(base64.RawURLEncoding.EncodeToString(make([]byte, 32)))}
	copy(out.Value[:], ed25519.Sign(s.key, append([]byte(p), digest...)))
	return out, nil
}

func (s *signer) Verify(p seal.Purpose, digest []byte, g message.Signature) (string, error) {
	if !ed25519.Verify(s.key.Public().(ed25519.PublicKey), append([]byte(p), digest...), g.Value[:]) {
		return "", &problem.Error{Kind: problem.Integrity, What: "verify a signature"}
	}
	return node, nil
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func key(t *testing.T, name string) (backup.Key, string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k, err := backup.ParseKey(name, id.String())
	if err != nil {
		t.Fatal(err)
	}
	return k, id.Recipient().String()
}

// each runs test with a site on each database.
func each(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		test(t, newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db")))
	})
	t.Run("postgres", func(t *testing.T) { test(t, newSite(t, storetest.PostgresURL(t))) })
}

func newSite(t *testing.T, url string) *site {
	t.Helper()
	s := &site{t: t, url: url, near: backup.Folder(t.TempDir()), far: backup.Folder(t.TempDir()), scratch: t.TempDir(), files: t.TempDir()}
	var err error
	if s.db, err = store.Open(t.Context(), url, store.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	s.out = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, plant, outbox.Config{})
	var own, recovery string
	s.own, own = key(t, "site")
	s.recovery, recovery = key(t, "recovery")
	to, err := backup.Recipients([]backup.Listed{{Text: own}, {Text: recovery}})
	if err != nil {
		t.Fatal(err)
	}
	s.signer = &signer{newKey(t)}
	s.write("holdfast.yaml", "plant: {}\n")
	s.write("mappings/erp-out/a.yaml", "from: {}\n")
	s.src = backup.Source{
		DB: s.db, Origin: audit.Origin("test", plant), Plant: plant, Node: node, Program: "test", Work: s.scratch,
		Files: map[string]string{
			"holdfast.yaml": filepath.Join(s.files, "holdfast.yaml"), "mappings": filepath.Join(s.files, "mappings"), "keys": filepath.Join(s.files, "keys"),
		},
	}
	s.opt = backup.Options{Places: []backup.Place{s.near, s.far}, Recipients: to, Signer: s.signer}
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.files, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// owe puts n messages into a lane, each with an entry of the record.
func (s *site) owe(lane string, n int) {
	s.t.Helper()
	for range n {
		err := s.db.InTx(context.WithoutCancel(s.t.Context()), func(tx *store.Tx) error {
			id := fmt.Sprint(tx.Now.UnixNano())
			return errors.Join(
				s.out.Append(s.t.Context(), tx, message.Message{ID: id, Kind: "order.completed", Version: 1, Key: lane, Time: tx.Now, Body: []byte(`{}`)}),
				audit.Append(s.t.Context(), tx, audit.Entry{Actor: "local:test", Action: "order.complete", Object: "order/" + lane}),
			)
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) create() backup.Manifest {
	s.t.Helper()
	m, err := backup.Create(s.t.Context(), s.src, s.opt)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *site) trial(k backup.Key) backup.Trial {
	return backup.Trial{Key: k, Trust: s.signer, Signer: s.signer, Origin: s.src.Origin, Work: s.scratch, URL: s.url, Now: time.Now}
}

// TestACopyIsTakenWhileThePlantWorksAndProven from each place, once with the site's key and once with the one from the safe. What is written
// meanwhile is in the copy as a whole or not at all.
func TestACopyIsTakenWhileThePlantWorksAndProven(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.owe("o1", 20)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					s.owe("o2", 1)
				}
			}
		}()
		m := s.create()
		close(stop)
		<-stopped
		if m.Tables["outbox_messages"] < 20 || m.Tables["outbox_messages"] != m.Tables["audit_entries"] {
			t.Errorf("the copy has %d messages and %d entries, which are written together", m.Tables["outbox_messages"], m.Tables["audit_entries"])
		}
		if m.State.Entries+m.Tables["audit_pending"] != m.Tables["audit_entries"] || m.State.Root == "" || m.State.Owed != m.Tables["outbox_messages"] || m.State.Lanes == 0 {
			t.Errorf("of %v rows the manifest says %+v: they are not of one moment", m.Tables, m.State)
		}
		for p, k := range map[backup.Place]backup.Key{s.near: s.own, s.far: s.recovery} {
			proof, err := backup.Verify(t.Context(), p, "", s.trial(k))
			if err != nil {
				t.Fatal(err)
			}
			if proof.ID != m.ID || proof.Opened != k.Name || proof.Signer != node {
				t.Errorf("got the proof %+v", proof)
			}
			all, err := backup.List(t.Context(), p, s.signer)
			if err != nil || len(all) != 1 || all[0].Proven == nil || all[0].ID != m.ID {
				t.Errorf("got the list %+v, %v", all, err)
			}
		}
		if left, err := os.ReadDir(s.scratch); err != nil || len(left) > 0 {
			t.Errorf("%v was left in the folder for work, %v", left, err)
		}
	})
}

// TestWhatIsRestoredSendsNothingTwiceUnseen: what was owed is in doubt and asked for first, no lease of that time counts, and new messages begin
// an epoch of their own.
func TestWhatIsRestoredSendsNothingTwiceUnseen(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 3)
	if err := s.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := s.out.Claim(t.Context(), tx, node, "erp", 1, 1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	m := s.create()
	s.owe("o1", 5) // lost with the disk, and perhaps delivered before
	s.owe("o2", 2) // of a lane that the copy does not know
	folder := filepath.Join(t.TempDir(), "new")
	stranger := s.trial(s.recovery)
	stranger.Trust, stranger.TrustBy = nil, func(context.Context, *store.DB) (backup.Trust, error) { return &signer{newKey(t)}, nil }
	if _, err := backup.Restore(t.Context(), s.far, "", filepath.Join(t.TempDir(), "no"), "", stranger); problem.KindOf(err) != problem.Integrity {
		t.Errorf("a copy that somebody else has signed: got %v, want it refused", err)
	}
	by := s.trial(s.recovery)
	by.Trust, by.TrustBy = nil, func(context.Context, *store.DB) (backup.Trust, error) { return s.signer, nil }
	settled := errors.New("settled")
	by.Settle = func(context.Context, *store.Tx) error { return settled }
	if _, err := backup.Restore(t.Context(), s.far, "", folder, "", by); !errors.Is(err, settled) {
		t.Errorf("what must not come back cannot be ended: got %v, want that nothing is ready", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("a restore that failed has left %v, %v", left, err)
	}
	killed := filepath.Join(folder, ".restoring")
	if err := os.Mkdir(killed, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), s.far, "", folder, "", by); err == nil || !strings.Contains(fmt.Sprint(err), "did not end") {
		t.Errorf("where a restore was killed: got %v", err)
	}
	if err := os.Remove(killed); err != nil {
		t.Fatal(err)
	}
	ended := 0
	by.Settle = func(context.Context, *store.Tx) error { ended++; return nil }
	got, err := backup.Restore(t.Context(), s.far, "", folder, "", by)
	if err != nil {
		t.Fatal(err)
	}
	if ended == 0 {
		t.Error("what must not come back was not ended")
	}
	if got.ID != m.ID || got.Doubtful != 3 || got.Signer != node {
		t.Errorf("got %+v, want 3 in doubt", got)
	}
	for name, want := range map[string]string{"holdfast.yaml": "plant: {}\n", "mappings/erp-out/a.yaml": "from: {}\n"} {
		if b, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(b) != want {
			t.Errorf("%s: got %q, %v", name, b, err)
		}
	}
	s.db, err = store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "holdfast.db"), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.db.Close()
	s.owe("o1", 1)
	var claims []outbox.Claim
	if err := s.db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		claims, err = s.out.Claim(t.Context(), tx, "another", "erp", 10, 10)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.owe("o2", 1)
	if len(claims) != 1 || len(claims[0].Messages) != 3 || claims[0].SentTo < 3 {
		t.Fatalf("got the claims %+v, want the three of the copy, all perhaps sent", claims)
	}
	for _, q := range claims[0].Messages {
		if !q.Ask {
			t.Errorf("message %d would be sent without asking", q.Number)
		}
	}
	var page []outbox.Detail
	if err := s.db.View(t.Context(), func(tx *store.Tx) (err error) {
		page, _, err = s.out.Messages(t.Context(), tx, outbox.Filter{}, "")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var fresh int
	for _, d := range page {
		if d.Epoch >= m.Made.Unix() && d.Number == 1 {
			fresh++
		}
	}
	if fresh != 2 {
		t.Errorf("%d messages begin a new epoch, want those of both lanes that were made after the restore", fresh)
	}
	if _, err := backup.Restore(t.Context(), s.far, "", folder, "", s.trial(s.recovery)); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a second restore into the folder: got %v, want a conflict", err)
	}
}

// TestWhatIsWrongWithACopyIsFound: one thing at a time, in one of its places; the other place stays good.
func TestWhatIsWrongWithACopyIsFound(t *testing.T) { each(t, whatIsWrongIsFound) }

func whatIsWrongIsFound(t *testing.T, s *site) {
	s.owe("o1", 3)
	m := s.create()
	archive, sealed := m.ID+".tar.zst.age", m.ID+".json"
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(string(s.near), name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	stranger, _ := key(t, "stranger")
	whole, beside := read(archive), read(sealed)
	flip := func(b []byte, at int) []byte {
		c := bytes.Clone(b)
		c[at] ^= 1
		return c
	}
	tests := []struct {
		name     string
		archive  []byte
		sealed   []byte
		key      backup.Key
		want     problem.Kind
		whyParts string
	}{
		{"a bit of the body", flip(whole, len(whole)/2), beside, s.own, problem.Integrity, "some are not those that were written"},
		{"the last bit", flip(whole, len(whole)-1), beside, s.own, problem.Integrity, "some are not those that were written"},
		{"a bit of the head", flip(whole, 60), beside, s.own, problem.Integrity, "some are not those that were written"},
		{"the end is missing", whole[:len(whole)-100], beside, s.own, problem.Integrity, "it was cut off"},
		{"something follows", append(bytes.Clone(whole), 0), beside, s.own, problem.Integrity, "something was put behind it"},
		{"nothing is there", nil, beside, s.own, problem.Integrity, "has 0 bytes of"},
		{"another key", whole, beside, stranger, problem.Denied, "of none of its recipients"},
		{"other rows are claimed", whole, bytes.Replace(beside, []byte(`"outbox_messages": 3`), []byte(`"outbox_messages": 4`), 1), s.own, problem.Integrity, ".json: it was changed after it was signed"},
		{"another archive is claimed", whole, bytes.Replace(beside, []byte(`"sha256": "`), []byte(`"sha256": "0`), 1), s.own, problem.Integrity, "check who has signed the backup "},
		{"another copy is claimed", whole, bytes.ReplaceAll(beside, []byte(m.ID), []byte("20200101T000000Z-000000")), s.own, problem.Integrity, "check who has signed the backup "},
		{"nobody has signed it", whole, regexp.MustCompile(`(?m)^  "(key|signature)": .*\n`).ReplaceAll(beside, nil), s.own, problem.Integrity, "not signed"},
		{"the manifest was cut off", whole, beside[:len(beside)-9], s.own, problem.Integrity, sealed + " in " + s.near.String() + ": it was cut off"},
		{"the manifest is empty", whole, []byte{}, s.own, problem.Integrity, sealed + " in " + s.near.String() + ": it is empty"},
		{"the manifest has nothing", whole, []byte("{}"), s.own, problem.Integrity, "its manifest is not signed"},
		{"it is whole", whole, beside, s.own, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if bytes.Equal(tt.archive, whole) && bytes.Equal(tt.sealed, beside) && tt.want == problem.Integrity {
				t.Fatal("nothing was changed")
			}
			if err := errors.Join(
				os.WriteFile(filepath.Join(string(s.near), archive), tt.archive, 0o600), os.WriteFile(filepath.Join(string(s.near), sealed), tt.sealed, 0o600),
			); err != nil {
				t.Fatal(err)
			}
			_, err := backup.Verify(t.Context(), s.near, "", s.trial(tt.key))
			if p, ok := errors.AsType[*problem.Error](err); ok && !strings.Contains(p.Error(), m.ID) {
				t.Errorf("what a person reads does not name the copy: %v", p)
			}
			if got := problem.KindOf(err); err == nil && tt.want != "" || err != nil && (got != tt.want || !strings.Contains(err.Error(), tt.whyParts)) {
				t.Errorf("got %v, want the kind %q", err, tt.want)
			}
		})
	}
	if _, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil {
		t.Errorf("the other place: %v", err)
	}
}

// TestADamagedNewestCopyIsNotPassedOverInSilence: the one before it is proven, and what is wrong with the newest is told; only by its name is the one
// before it restored.
func TestADamagedNewestCopyIsNotPassedOverInSilence(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"a bit of the manifest": func(t *testing.T, file string) {
			b, err := os.ReadFile(file + ".json")
			if err == nil {
				err = os.WriteFile(file+".json", bytes.Replace(b, []byte(`"outbox_messages": 2`), []byte(`"outbox_messages": 3`), 1), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"no JSON": func(t *testing.T, file string) {
			if err := os.WriteFile(file+".json", []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"the manifest is gone": func(t *testing.T, file string) {
			if err := os.Remove(file + ".json"); err != nil {
				t.Fatal(err)
			}
		},
		"the manifest is gone, and an increment there": func(t *testing.T, file string) {
			if err := errors.Join(os.Remove(file+".json"), os.WriteFile(file+".000001.inc", nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
		"the archive is gone": func(t *testing.T, file string) {
			if err := os.Remove(file + ".tar.zst.age"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
			s.owe("o1", 1)
			first := s.create()
			s.owe("o1", 1)
			last := s.create()
			for last.ID <= first.ID { // made within one second
				last = s.create()
			}
			damage(t, filepath.Join(string(s.near), last.ID))
			if all, err := backup.List(t.Context(), s.near, s.signer); err != nil || !slices.ContainsFunc(all, func(c backup.Copy) bool {
				return c.ID == last.ID && c.Trouble != "" && c.Unfinished == (name == "the manifest is gone")
			}) {
				t.Errorf("the list is %+v, %v, want the newest with what is wrong with it", all, err)
			}
			if gone, err := backup.Prune(t.Context(), s.near, backup.Keep{Count: 1}, s.signer, func() int64 { return 0 }); err != nil || len(gone) > 0 {
				t.Errorf("pruned %v, %v, want that nothing goes before a copy is proven", gone, err)
			}
			if _, err := backup.Verify(t.Context(), s.near, last.ID, s.trial(s.own)); err == nil || !strings.Contains(err.Error(), last.ID) {
				t.Errorf("verified by its name: got %v, want what is wrong with it", err)
			}
			proof, err := backup.Verify(t.Context(), s.near, "", s.trial(s.own))
			if problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), last.ID) || proof.ID >= last.ID {
				t.Errorf("the proof is of %q, %v, want one of a copy before %s, and what is wrong with that", proof.ID, err, last.ID)
			}
			if _, err := backup.Restore(t.Context(), s.near, "", filepath.Join(t.TempDir(), "new"), "", s.trial(s.own)); problem.KindOf(err) != problem.Integrity {
				t.Errorf("restored without a name: got %v, want it refused", err)
			}
			if _, err := backup.Restore(t.Context(), s.near, first.ID, filepath.Join(t.TempDir(), "new"), "", s.trial(s.own)); err != nil {
				t.Errorf("restored by its name: %v", err)
			}
			if _, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil {
				t.Errorf("the other place: %v", err)
			}
		})
	}
}

// knows believes no key that it does not know, as a keyring does.
type knows struct{ *signer }

func (k knows) Verify(p seal.Purpose, digest []byte, g message.Signature) (string, error) {
	who, err := k.signer.Verify(p, digest, g)
	if err != nil {
		return "", &problem.Error{Kind: problem.Denied, What: "verify a signature", Why: "no such key is known here"}
	}
	return who, nil
}

// TestWhatAnotherPlantPutThereHidesNothing: a place may be shared by mistake.
func TestWhatAnotherPlantPutThereHidesNothing(t *testing.T) {
	s, other := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db")), newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "other.db"))
	s.owe("o1", 1)
	good := s.create()
	other.opt.Places = []backup.Place{s.near}
	other.opt.Signer = other.signer
	foreign := other.create()
	all, err := backup.List(t.Context(), s.near, knows{s.signer})
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v, %v, want both", all, err)
	}
	for _, c := range all {
		if (c.ID == foreign.ID) != (c.Trouble != "") {
			t.Errorf("%s: %q", c.ID, c.Trouble)
		}
	}
	if _, err := backup.Verify(t.Context(), s.near, good.ID, s.trial(s.own)); err != nil {
		t.Error(err)
	}
}

// TestALivePlantIsNeverRestoredOver, whatever schema the URL leads to.
func TestALivePlantIsNeverRestoredOver(t *testing.T) {
	s := newSite(t, storetest.PostgresURL(t))
	s.owe("o1", 1)
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "nowhere")
	u.RawQuery = q.Encode()
	for name, target := range map[string]string{"its own schema": s.url, "another schema of its database": u.String()} {
		if err := store.RestoreCopy(t.Context(), target, filepath.Join(t.TempDir(), "none")); problem.KindOf(err) != problem.Conflict {
			t.Errorf("%s: got %v, want a conflict", name, err)
		}
	}
}

// broken is a place that fails when it has got some of an archive.
type broken struct{ backup.Folder }

func (b broken) Put(_ context.Context, _ string, r io.Reader) error {
	_, err := io.CopyN(io.Discard, r, 10)
	return errors.Join(err, errors.New("the line broke"))
}

// TestAPlaceThatFailsKeepsItFromNoOther: two of three places are away, the copy is in the third, and the key from the safe alone restores it.
func TestAPlaceThatFailsKeepsItFromNoOther(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 3)
	away := backup.Folder(t.TempDir())
	s.opt.Places = []backup.Place{broken{s.near}, broken{away}, s.far}
	m, err := backup.Create(t.Context(), s.src, s.opt)
	if err == nil || strings.Count(err.Error(), "the line broke") != 2 {
		t.Errorf("got %v, want what failed in either place", err)
	}
	for _, k := range []backup.Key{s.own, s.recovery} {
		if proof, err := backup.Verify(t.Context(), s.far, m.ID, s.trial(k)); err != nil || proof.Opened != k.Name {
			t.Errorf("by the key %s: %+v, %v", k.Name, proof, err)
		}
	}
	for _, p := range []backup.Folder{s.near, away} {
		if all, err := backup.List(t.Context(), p, s.signer); err != nil || len(all) > 0 {
			t.Errorf("got %v, %v, want nothing that looks like a copy", all, err)
		}
	}
	got, err := backup.Restore(t.Context(), s.far, m.ID, filepath.Join(t.TempDir(), "new"), "", s.trial(s.recovery))
	if err != nil || got.Doubtful != 3 {
		t.Errorf("restored %+v, %v, want three messages in doubt", got, err)
	}
}

func TestPruneKeepsTheNewestThatWasProven(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	now := func() int64 { return time.Now().Unix() }
	var ids []string
	for range 4 {
		s.owe("o1", 1)
		ids = append(ids, s.create().ID)
	}
	if gone, err := backup.Prune(t.Context(), s.near, backup.Keep{Count: 1}, s.signer, now); err != nil || len(gone) > 0 {
		t.Errorf("got %v, %v, want nothing removed while none is proven", gone, err)
	}
	if _, err := backup.Verify(t.Context(), s.near, ids[1], s.trial(s.own)); err != nil {
		t.Fatal(err)
	}
	if gone, err := backup.Prune(t.Context(), s.near, backup.Keep{Count: 4, Days: 1}, s.signer, now); err != nil || len(gone) > 0 {
		t.Errorf("got %v, %v, want nothing removed", gone, err)
	}
	gone, err := backup.Prune(t.Context(), s.near, backup.Keep{Count: 1}, s.signer, now)
	if err != nil || len(gone) != 2 || gone[0] != ids[0] || gone[1] != ids[2] {
		t.Errorf("got %v, %v, want the first and the third of %v removed", gone, err, ids)
	}
}

// TestPruneKeepsWhatIsStillNeeded: the newest copy, which increments still follow though it is old, and every increment of a copy that stays, also behind a gap. What
// goes, goes with all of its own, and so do increments whose copy is gone.
func TestPruneKeepsWhatIsStillNeeded(t *testing.T) {
	t.Parallel()
	p := backup.Folder(t.TempDir())
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	put := func(name, text string) {
		t.Helper()
		if err := p.Put(t.Context(), name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	add := func(age time.Duration, proven bool, increments map[int]time.Duration) string {
		at := now.Add(-age)
		id := at.Format("20060102T150405Z") + "-000000"
		put(id+".tar.zst.age", "x")
		put(id+".json", fmt.Sprintf(`{"manifest":{"id":%q,"made":%q}}`, id, at.Format(time.RFC3339)))
		if proven {
			put(id+".proven.json", fmt.Sprintf(`{"manifest":{"id":%q}}`, id))
		}
		for n, age := range increments {
			put(fmt.Sprintf("%s.%06d.inc", id, n), fmt.Sprintf(`{"manifest":{"base":%q,"number":%d,"made":%q}}`+"\n", id, n, now.Add(-age).Format(time.RFC3339)))
		}
		return id
	}
	const day = 24 * time.Hour
	oldest := add(30*day, false, map[int]time.Duration{1: 29 * day, 2: 28 * day, 4: 26 * day, 5: 25 * day}) // 3 is missing
	proven := add(20*day, true, map[int]time.Duration{1: 19 * day, 3: 17 * day})
	followed := add(10*day, false, map[int]time.Duration{1: time.Hour})
	put("20250101T000000Z-000000.000007.inc", "its copy is gone")
	put("somebody's.inc", "is not ours")
	gone, err := backup.Prune(t.Context(), p, backup.Keep{Days: 5}, nil, func() int64 { return now.Unix() })
	if err != nil || !slices.Equal(gone, []string{oldest}) {
		t.Errorf("removed %v, %v, want %s alone", gone, err, oldest)
	}
	left, err := p.List(t.Context())
	want := []string{
		proven + ".000001.inc", proven + ".000003.inc", proven + ".json", proven + ".proven.json", proven + ".tar.zst.age",
		followed + ".000001.inc", followed + ".json", followed + ".tar.zst.age", "somebody's.inc",
	}
	if slices.Sort(left); err != nil || !slices.Equal(left, want) {
		t.Errorf("left %v, %v, want %v", left, err, want)
	}
	if _, err := backup.Prune(t.Context(), p, backup.Keep{Days: 5}, nil, func() int64 { return now.Add(365 * day).Unix() }); err != nil {
		t.Fatal(err)
	}
	if again, err := p.List(t.Context()); err != nil || len(again) != len(want) {
		t.Errorf("a year later %v are left, %v, want the newest and the newest that was proven", again, err)
	}
}

// TestWhatAKilledProcessLeftIsSweptAway, and nothing that another works in.
func TestWhatAKilledProcessLeftIsSweptAway(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	for _, name := range []string{"backup-dead", "backup-alive", "backup-else"} {
		folder := filepath.Join(s.scratch, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if name != "backup-else" {
			lock, err := os.Create(filepath.Join(folder, ".lock"))
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if name == "backup-alive" {
				if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
					t.Fatal(err)
				}
			}
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(folder, old, old); err != nil {
			t.Fatal(err)
		}
	}
	s.create()
	left, err := filepath.Glob(filepath.Join(s.scratch, "*"))
	if want := []string{filepath.Join(s.scratch, "backup-alive"), filepath.Join(s.scratch, "backup-else")}; err != nil || !slices.Equal(left, want) {
		t.Errorf("got %v, %v, want %v left", left, err, want)
	}
}

// fewer is a place that is gone after so many removals, as when the process is killed.
type fewer struct {
	backup.Folder
	left int
}

func (f *fewer) Remove(ctx context.Context, name string) error {
	if f.left--; f.left < 0 {
		return &problem.Error{Kind: problem.Unavailable, What: "remove " + name, Why: "the place is away"}
	}
	return f.Folder.Remove(ctx, name)
}

// TestARemovalThatIsCutShortGoesOn wherever that was: what is left is whole, or is known for what it is, and the next removal leaves nothing of it.
func TestARemovalThatIsCutShortGoesOn(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	now, keep := func() int64 { return time.Now().Unix() }, backup.Keep{Count: 1}
	s.owe("o1", 1)
	l := s.follow(t.TempDir())
	for range 2 {
		s.owe("o1", 1)
		s.ship(l)
	}
	goes, _ := l.Base()
	last := s.create()
	for last.ID <= goes { // made within one second
		last = s.create()
	}
	for _, id := range []string{goes, last.ID} {
		if _, err := backup.Verify(t.Context(), s.near, id, s.trial(s.own)); err != nil {
			t.Fatal(err)
		}
	}
	full := os.DirFS(string(s.near))
	for after := range 5 { // of two increments, proof, archive and manifest
		p := &fewer{backup.Folder(t.TempDir()), after}
		if err := os.CopyFS(string(p.Folder), full); err != nil {
			t.Fatal(err)
		}
		if gone, err := backup.Prune(t.Context(), p, keep, s.signer, now); problem.KindOf(err) != problem.Unavailable || slices.Contains(gone, goes) {
			t.Fatalf("after %d: removed %v, %v, want it cut short", after, gone, err)
		}
		all, err := backup.List(t.Context(), p, s.signer)
		if err != nil {
			t.Fatal(err)
		}
		keep.Mark(all, now())
		for _, c := range all {
			if c.Trouble != "" && !c.Removing {
				t.Errorf("after %d: %s is told as %s", after, c.ID, c.Trouble)
			}
		}
		if proof, err := backup.Verify(t.Context(), p, "", s.trial(s.own)); err != nil || proof.ID != last.ID {
			t.Errorf("after %d: proven is %s, %v, want %s", after, proof.ID, err, last.ID)
		}
		if gone, err := backup.Prune(t.Context(), p.Folder, keep, s.signer, now); err != nil || !slices.Contains(gone, goes) {
			t.Errorf("after %d: then removed %v, %v, want %s", after, gone, err, goes)
		}
		names, err := p.List(t.Context())
		if err != nil || slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, goes) }) {
			t.Errorf("after %d: %v are left, %v", after, names, err)
		}
	}
}
