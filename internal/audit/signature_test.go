package audit_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// signed is an entry of anna with her signature on it.
func signed(t *testing.T, object string) audit.Entry {
	t.Helper()
	e, err := audit.Entry{
		At: time.Date(2026, 11, 28, 5, 0, 0, 1000, time.UTC), Actor: "user:anna", From: "192.0.2.7", Action: "msg.discard", Object: object, Reason: "booked by hand",
		Before: []byte(`{"state":"parked"}`), After: []byte(`{"state":"void"}`),
	}.Sign("approval", "password and code")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestASignatureIsOfOneEntry moves a signature to every entry that differs in one thing.
func TestASignatureIsOfOneEntry(t *testing.T) {
	e := signed(t, "message/1")
	s, err := e.Signed()
	if err != nil || s == nil {
		t.Fatalf("got %v, %v", s, err)
	}
	s.Digest = ""
	if diff := cmp.Diff(audit.Signature{Signer: "user:anna", Meaning: "approval", At: e.At, Shown: "password and code"}, *s); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string]func(e *audit.Entry){
		"when": func(e *audit.Entry) { e.At = e.At.Add(time.Microsecond) }, "who": func(e *audit.Entry) { e.Actor = "user:ben" },
		"from where": func(e *audit.Entry) { e.From = "" }, "what": func(e *audit.Entry) { e.Action = "msg.retry" },
		"to what": func(e *audit.Entry) { e.Object = "message/2" }, "why": func(e *audit.Entry) { e.Reason = "" },
		"before": func(e *audit.Entry) { e.Before = nil }, "after": func(e *audit.Entry) { e.After = []byte(`{}`) },
		"how it ended": func(e *audit.Entry) { e.Outcome = audit.Refused },
		"the meaning": func(e *audit.Entry) {
			e.Signature = []byte(`{"signer":"user:anna","meaning":"review","at":"2026-11-28T05:00:00.000001Z","shown":"password and code","digest":"` + digestOf(t, e) + `"}`)
		},
		"no signature that is one": func(e *audit.Entry) { e.Signature = []byte(`{}`) },
	} {
		other := e
		change(&other)
		if _, err := other.Signed(); problem.KindOf(err) != problem.Integrity {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	bare := e
	bare.Signature = nil
	if s, err := bare.Signed(); s != nil || err != nil {
		t.Errorf("without: %v, %v", s, err)
	}
}

func digestOf(t *testing.T, e *audit.Entry) string {
	t.Helper()
	s, err := e.Signed()
	if err != nil {
		t.Fatal(err)
	}
	return s.Digest
}

// TestASignatureHoldsOverWhatIsEmpty: no database makes another entry of it.
func TestASignatureHoldsOverWhatIsEmpty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		e, err := audit.Entry{At: time.Unix(5, 0), Actor: "user:anna", Action: "msg.discard", Before: []byte{}, After: []byte{}}.Sign("approval", "password")
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, e)
		if s, err := list(t, db, audit.Filter{})[0].Signed(); err != nil || s == nil {
			t.Errorf("got %v, %v", s, err)
		}
	})
}

// TestASignatureThatWasMovedIsFoundOut also where whoever did it has the keys: in a record that is sealed with the moved signature in it.
func TestASignatureThatWasMovedIsFoundOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		first, second := signed(t, "message/1"), signed(t, "message/2")
		write(t, db, first)
		write(t, db, second)
		forged := second
		forged.Object, forged.Signature = "message/3", first.Signature
		write(t, db, forged)
		got := list(t, db, audit.Filter{})
		if diff := cmp.Diff([]string{string(first.Signature), string(second.Signature), string(first.Signature)},
			[]string{string(got[0].Signature), string(got[1].Signature), string(got[2].Signature)}); diff != "" {
			t.Error(diff)
		}
		sign, by := signer(t, db)
		sealed(t, audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet()))
		var file bytes.Buffer
		if err := audit.Export(t.Context(), db, origin, &file); err != nil {
			t.Fatal(err)
		}
		exported, err := audit.VerifyExport(&file, origin, nil, by)
		if err != nil {
			t.Fatal(err)
		}
		for where, r := range map[string]audit.Report{"database": verify(t, db, by), "export": exported} {
			if len(r.Wrong) != 1 || r.Wrong[0].Entry != 3 || !strings.Contains(r.Wrong[0].What, "signature of entry 3") {
				t.Errorf("%s: got %+v, want the signature of the third entry", where, r.Wrong)
			}
		}
		var proof string
		err = db.View(t.Context(), func(tx *store.Tx) (err error) {
			proof, err = audit.Prove(t.Context(), tx, 2)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := audit.CheckProof(proof)
		if s, wrong := p.Entry.Signed(); err != nil || wrong != nil || s == nil || s.Meaning != "approval" {
			t.Errorf("the proof: %v, %v, %v, want the signature in it", s, err, wrong)
		}
	})
}
