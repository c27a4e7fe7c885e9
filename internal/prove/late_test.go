package prove_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// aged is a plant whose certificates last an hour, by a clock of its own.
type aged struct {
	plant
	clock  *atomic.Int64 // seconds
	stolen *seal.Ring    // its first key, in whose hands ever
	thief  *atomic.Int64 // the clock of who has that
	origin string
}

const signedAt = 1_800_000_000

func clockOf(at *atomic.Int64) func() time.Time {
	return func() time.Time { return time.Unix(at.Load(), 0).UTC() }
}

func newAged(t *testing.T) *aged {
	t.Helper()
	a := &aged{clock: &atomic.Int64{}, thief: &atomic.Int64{}, origin: audit.Origin(string(seal.ForCheckpoint), "urn:plant:1000")}
	a.t = t
	a.clock.Store(signedAt)
	a.thief.Store(signedAt)
	a.db = storetest.SQLite(t, storetest.WithClock(clockOf(a.clock)))
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", a.db.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	a.from = seal.NewLocal(safe, seal.NodeURI("urn:plant:1000", "a"), time.Hour, clockOf(a.clock))
	a.stolen = a.newKey(a.thief)
	a.ring = a.stolen
	return a
}

// newKey is a key of node a's, by that clock.
func (a *aged) newKey(clock *atomic.Int64) *seal.Ring {
	a.t.Helper()
	r, err := seal.OpenRing(a.t.Context(), a.db, a.from, nil, seal.NodeURI("urn:plant:1000", "a"), seal.RingConfig{Now: clockOf(clock)}, slog.New(slog.DiscardHandler))
	if err != nil {
		a.t.Fatal(err)
	}
	return r
}

// hold has the audit record of db hold messages as what their lanes have, in a checkpoint that the ring signs.
func (a *aged) hold(db *store.DB, ring *seal.Ring, ms ...message.Message) {
	a.t.Helper()
	var heads []audit.Head
	for _, m := range ms {
		heads = append(heads, audit.Head{Link: m.Link, Lane: m.Lane, Epoch: m.Epoch, Number: m.Number, Digest: m.Digest()})
	}
	if c, err := a.tree(db, ring, heads).Seal(a.t.Context()); c == nil || err != nil {
		a.t.Fatalf("got %v, %v", c, err)
	}
}

// tree is the audit record of db, whose checkpoints the ring signs.
func (a *aged) tree(db *store.DB, ring *seal.Ring, heads []audit.Head) *audit.Tree {
	return audit.NewTree(db, a.origin, "a", audit.Config{
		Sign:  func(_ context.Context, name, text string) (string, error) { return ring.SignCheckpoint(name, text) },
		Check: func(context.Context) (*seal.Notes, error) { return a.keys(a.t).Trust.Notes(a.origin, nil), nil },
		Lanes: func(context.Context, *store.Tx, time.Time) ([]audit.Head, error) { return heads, nil },
	}, slog.New(slog.DiscardHandler))
}

// vouchers are the proofs of what vouches for messages that were signed by the first key.
func (a *aged) vouchers(db *store.DB, ms ...message.Message) string {
	a.t.Helper()
	var v prove.Voucher
	for _, m := range ms {
		v.Want(m, a.stolen.State().Until)
	}
	var b bytes.Buffer
	if err := db.View(a.t.Context(), func(tx *store.Tx) error { return v.Write(a.t.Context(), tx, &b) }); err != nil {
		a.t.Fatal(err)
	}
	return b.String()
}

// amended is a message with another body under its number.
func (a *aged) amended(m message.Message) message.Message {
	a.t.Helper()
	m.Role, m.Refers, m.Body = message.Amendment, m.Digest(), []byte(`{"yield":"5"}`)
	return a.sign(m)
}

// TestWhatAStolenKeySaysOfEarlierIsNotBelieved: the key's certificate has ended, and nobody has revoked it. Who has stolen it writes an earlier
// time into what he signs. What the plant did sign with it is believed, because its audit record held it then.
func TestWhatAStolenKeySaysOfEarlierIsNotBelieved(t *testing.T) {
	a := newAged(t)
	lane := a.lane("o1", 4)
	last := a.amended(lane[3])
	a.hold(a.db, a.stolen, lane[2])
	a.hold(a.db, a.stolen, lane[3], last)
	a.clock.Store(signedAt + 2*3600) // the certificate has ended
	honest := a.newKey(a.clock)
	a.hold(a.db, honest, a.lane("o2", 1)...)
	proofs := a.vouchers(a.db, lane[0], lane[1], lane[2], last)

	a.thief.Store(signedAt + 60)
	longer := a.lane("o1", 5)
	for i := range lane {
		if longer[i].Digest() != lane[i].Digest() {
			t.Fatalf("number %d is another", i+1)
		}
	}
	other := slices.Clone(lane)
	other[1].Body = []byte(`{"yield":"9"}`)
	other[1] = a.sign(other[1])
	other[2].Prev = other[1].Digest()
	other[2] = a.sign(other[2])
	third := lane[2]
	third.Prev = other[1].Digest() // an amendment says of itself what it follows
	third.Role, third.Refers, third.Body = message.Amendment, lane[2].Digest(), []byte(`{}`)
	third = a.sign(third)
	forged := storetest.SQLite(t, storetest.WithClock(clockOf(a.thief)))
	a.hold(forged, a.stolen, longer[4])
	a.hold(forged, a.stolen, lane[0]) // after which the record remembers that it was sealed

	tests := []struct {
		name, text string
		want       problem.Kind
		why        string
	}{
		{"what the record held", proof(t, lane[0], lane[1], lane[2], last) + proofs, "", ""},
		{"the proofs first", proofs + proof(t, lane[0], lane[1], lane[2], last), "", ""},
		{"without its proofs", proof(t, lane[0], lane[1]), problem.Denied, "number 1 of lane o1: "},
		{"without what is between it and what the record held", proof(t, lane[0]) + proofs, problem.Denied, "nothing vouches"},
		{"one more at the end", proof(t, longer...) + proofs, problem.Denied, "number 5 of lane o1: "},
		{"another in its place, and what follows", proof(t, lane[0], other[1], other[2]) + proofs, problem.Denied, "nothing vouches"},
		{"an amendment", proof(t, lane[0], lane[1], a.amended(lane[2]), last) + proofs, problem.Denied, "nothing vouches"},
		{"another with an amendment behind it", proof(t, lane[0], other[1], third) + proofs, problem.Denied, "nothing vouches"},
		{"a record of his own", proof(t, longer...) + proofs + a.vouchers(forged, longer[4]), problem.Denied, "nobody whose key counts has signed its checkpoint"},
		{"a proof that was altered", proof(t, lane[0]) + strings.Replace(proofs, "index ", "index 1", 1), problem.Integrity, "is not in the tree"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := prove.Read(strings.NewReader(tt.text), a.keys(t))
			if problem.KindOf(err) != tt.want || tt.want != "" && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %q: %q", err, tt.want, tt.why)
			}
			then := a.keys(t)
			then.At = time.Unix(signedAt+1800, 0)
			if _, err := prove.Read(strings.NewReader(proof(t, lane[0], lane[1])), then); err != nil {
				t.Errorf("while the key counts: %v", err)
			}
		})
	}
	if n := strings.Count(proofs, "\n"); n != 2 {
		t.Errorf("%d proofs, want the one that is enough and that of when it was sealed", n)
	}
}

// write writes an entry into the audit record behind Holdfast, as of a time of the writer's own.
func (a *aged) write(e audit.Entry) {
	a.t.Helper()
	e.Actor, e.Action, e.Object = "node:a", audit.LanesMoved, "lanes"
	if err := a.db.InTx(a.t.Context(), func(tx *store.Tx) error { return audit.Append(a.t.Context(), tx, e) }); err != nil {
		a.t.Fatal(err)
	}
}

// TestTheRecordItselfTellsWhenItHeldWhat: the thief of a key that has ended can write the database too. He signs one message more with a time when
// the key counted, has the record hold it in an entry of that time, and makes a checkpoint of that time over it. The plant goes on with the record.
func TestTheRecordItselfTellsWhenItHeldWhat(t *testing.T) {
	a := newAged(t)
	lane := a.lane("o1", 4)
	a.hold(a.db, a.stolen, lane[3])
	a.hold(a.db, a.stolen, a.lane("o2", 1)...)
	a.clock.Store(signedAt + 2*3600) // the certificate has ended
	honest := a.newKey(a.clock)
	a.hold(a.db, honest, a.lane("o3", 1)...)
	a.thief.Store(signedAt + 60)
	longer := a.lane("o1", 5)
	old := time.Unix(signedAt+60, 0).UTC()
	heads, err := json.Marshal([]audit.Head{{Link: longer[4].Link, Lane: "o1", Epoch: longer[4].Epoch, Number: 5, Digest: longer[4].Digest()}})
	if err != nil {
		t.Fatal(err)
	}
	a.write(audit.Entry{At: old, After: heads})
	a.hold(a.db, honest, a.lane("o4", 1)...)
	a.hold(a.db, honest, a.lane("o5", 1)...)
	refused := func(name, why string) {
		t.Helper()
		text := proof(t, longer...) + a.vouchers(a.db, longer...)
		if _, err := prove.Read(strings.NewReader(text), a.keys(t)); problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "number 5 of lane o1: ") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want that number 5 is refused: %s", name, err, why)
		}
	}
	refused("an entry of an earlier time", "nothing vouches")

	var size int64
	var root audit.Checkpoint
	if err := a.db.View(t.Context(), func(tx *store.Tx) (err error) {
		if size, err = audit.Size(t.Context(), tx); err == nil {
			root, err = audit.Newest(t.Context(), tx)
		}
		return err
	}); err != nil || size != root.Size {
		t.Fatal(size, root.Size, err)
	}
	a.forge(root, old)
	if _, err := prove.Read(strings.NewReader(proof(t, lane...)+a.vouchers(a.db, lane...)), a.keys(t)); err != nil {
		t.Errorf("what the plant did sign: %v", err)
	}
	refused("a checkpoint of an earlier time", "nothing vouches")
}

// TestAClockThatIsSetRightIsNoForgery: it was ten minutes ahead while checkpoints were made. What is written then and later has its place.
func TestAClockThatIsSetRightIsNoForgery(t *testing.T) {
	a := newAged(t)
	honest := a.newKey(a.clock)
	lanes := []string{"o1", "o2", "o3", "o4", "o5"}
	for i, at := range []int64{600, 10, 20, 700, 720} {
		a.clock.Store(signedAt + at)
		a.hold(a.db, honest, a.lane(lanes[i], 1)...)
	}
	ending, cancel := context.WithCancel(t.Context())
	cancel()
	tree := a.tree(a.db, honest, nil)
	if err := tree.Run(ending); err != nil || tree.Trouble() != nil {
		t.Errorf("the plant sees %v, %v, want nothing wrong", tree.Trouble(), err)
	}
	if err := a.db.View(t.Context(), func(tx *store.Tx) error {
		var waits int64
		err := tx.Get(t.Context(), &waits, `SELECT COUNT(*) FROM audit_pending`)
		if waits > 0 {
			t.Errorf("%d entries have no place", waits)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// forge has the database hold a checkpoint with the time of long ago over what is in the record now, and the record remember it.
func (a *aged) forge(newest audit.Checkpoint, old time.Time) {
	a.t.Helper()
	a.write(audit.Entry{At: old, After: []byte("[]")})
	now := a.clock.Swap(old.Unix())
	c, err := audit.NewTree(a.db, a.origin, "a", audit.Config{Sign: func(_ context.Context, name, text string) (string, error) {
		return a.stolen.SignCheckpoint(name, text)
	}}, slog.New(slog.DiscardHandler)).Seal(a.t.Context())
	a.clock.Store(now)
	if err != nil || c == nil || !c.At.Equal(old) || c.Size != newest.Size+1 {
		a.t.Fatalf("forged %+v, %v", c, err)
	}
	mark, err := json.Marshal(audit.Mark{Size: c.Size, Root: c.Root, At: c.At})
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(audit.Entry{At: old, Before: mark, After: []byte("[]")})
	honest := a.newKey(a.clock)
	a.hold(a.db, honest, a.lane("o6", 1)...)
	a.hold(a.db, honest, a.lane("o7", 1)...)
	ending, cancel := context.WithCancel(a.t.Context())
	cancel()
	tree := a.tree(a.db, honest, nil)
	if err := tree.Run(ending); err != nil || problem.KindOf(tree.Trouble()) != problem.Integrity {
		a.t.Errorf("the plant sees %v, %v, want an alarm", tree.Trouble(), err)
	}
}

// TestAReceiverBelievesWhatIsVouchedFor: the messages come to him one by one, without proofs.
func TestAReceiverBelievesWhatIsVouchedFor(t *testing.T) {
	a := newAged(t)
	lane := a.lane("o1", 3)
	a.hold(a.db, a.stolen, lane[2])
	a.clock.Store(signedAt + 2*3600)
	a.hold(a.db, a.newKey(a.clock), a.lane("o2", 1)...)
	text := proof(t, lane...) + a.vouchers(a.db, lane...)
	a.thief.Store(signedAt + 60)
	backdated := a.lane("o1", 4)[3]
	keys := a.keys(t)
	by, err := prove.Vouched([]byte(text), keys)
	if got := slices.Sorted(maps.Keys(by)); err != nil || len(got) != len(lane) {
		t.Fatalf("vouched for %v, %v", got, err)
	}
	trust := keys.Trust.Vouch(by)
	for i, m := range lane {
		if _, err := trust.VerifyAt(m, keys.At); err != nil || !trust.Settles(m, keys.At) {
			t.Errorf("number %d: %v", i+1, err)
		}
		if _, err := keys.Trust.VerifyAt(m, keys.At); problem.KindOf(err) != problem.Denied || keys.Trust.Settles(m, keys.At) {
			t.Errorf("number %d, by who was told nothing: %v", i+1, err)
		}
	}
	if _, err := trust.VerifyAt(backdated, keys.At); problem.KindOf(err) != problem.Denied {
		t.Errorf("backdated: %v", err)
	}
}

// TestWhatARevokedKeySignedBeforeIsVouchedFor and what the record held only later is not.
func TestWhatARevokedKeySignedBeforeIsVouchedFor(t *testing.T) {
	a := newAged(t)
	lane := a.lane("o1", 2)
	a.hold(a.db, a.stolen, lane[0])
	a.hold(a.db, a.stolen, a.lane("o3", 1)...) // the record remembers that it held it
	a.clock.Store(signedAt + 600)
	if err := a.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := seal.Revoke(t.Context(), tx, a.stolen.State().Key, "stolen")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a.clock.Store(signedAt + 900)
	honest := a.newKey(a.clock)
	a.hold(a.db, honest, lane[1])
	a.hold(a.db, honest, a.lane("o2", 1)...)
	var all bytes.Buffer
	if err := a.db.View(t.Context(), func(tx *store.Tx) error {
		var v prove.Voucher
		v.Want(lane[0], time.Unix(signedAt+600, 0))
		v.Want(lane[1], time.Unix(signedAt+3600, 0)) // who asks for more than there is gets it, and is not believed
		return v.Write(t.Context(), tx, &all)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := prove.Read(strings.NewReader(proof(t, lane[0])+all.String()), a.keys(t)); err != nil {
		t.Errorf("what the record held before: %v", err)
	}
	_, err := prove.Read(strings.NewReader(proof(t, lane...)+all.String()), a.keys(t))
	if problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "number 2 of lane o1: ") || !strings.Contains(err.Error(), "vouched for since") {
		t.Errorf("what it held after: %v", err)
	}
	if _, err := prove.Read(strings.NewReader(proof(t, lane[0])), a.keys(t)); problem.KindOf(err) != problem.Denied {
		t.Errorf("without a proof: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	proof, err := json.Marshal("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\nholdfast/audit/1/urn:plant:1000\n1\n" + strings.Repeat("A", 43) + "=\ntime 2026-11-27T00:00:00Z\n\n")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(proof) + "\n", `"` + "\n", "e30\n" + string(proof), strings.Repeat("A", 100)} {
		f.Add(text)
	}
	nobody := prove.Keys{Trust: (seal.Bundle{}).Trust(), At: time.Unix(signedAt, 0)}
	f.Fuzz(func(t *testing.T, text string) {
		if lanes, err := prove.Read(strings.NewReader(text), nobody); err == nil && len(lanes) > 0 {
			t.Errorf("nobody's key proves %+v", lanes)
		}
		if by, err := prove.Vouched([]byte(text), nobody); err == nil && len(by) > 0 {
			t.Errorf("nobody's key vouches for %v", by)
		}
	})
}

// TestWhatNothingVouchesForIsNamed: what was signed after the audit record held the lane last, and before the key counted no more, is told by the plant as it
// is refused by whoever reads what it writes.
func TestWhatNothingVouchesForIsNamed(t *testing.T) {
	a := newAged(t)
	lane, other := a.lane("o1", 4), a.lane("o2", 2)
	voided := a.amended(other[1])
	a.hold(a.db, a.stolen, lane[2])
	a.hold(a.db, a.stolen, other[1])
	until := a.stolen.State().Until
	a.clock.Store(signedAt + 2*3600)
	honest := a.newKey(a.clock)
	a.hold(a.db, honest, lane[3], voided) // too late
	a.hold(a.db, honest, a.lane("o3", 1)...)
	var v prove.Voucher
	for _, m := range append(slices.Clone(lane), other[0], voided) {
		v.Want(m, until)
	}
	err := a.db.View(t.Context(), func(tx *store.Tx) error {
		got, err := v.Unvouched(t.Context(), tx)
		if want := map[[2]string][]int64{{"erp", "o1"}: {4}, {"erp", "o2"}: {2}}; !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("got %v, want %v", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]problem.Kind{
		proof(t, lane[:3]...) + a.vouchers(a.db, lane[:3]...): "",
		proof(t, lane...) + a.vouchers(a.db, lane...):         problem.Denied,
	} {
		if _, err := prove.Read(strings.NewReader(text), a.keys(t)); problem.KindOf(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
