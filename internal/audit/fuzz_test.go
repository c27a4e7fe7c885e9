package audit_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// doctored is text with put in place of cut bytes from at on; anything that is asked for can be done to it.
func doctored(text string, at, cut uint, put string) string {
	from := min(at, uint(len(text)))
	return text[:from] + put + text[min(from+cut, uint(len(text))):]
}

// record is a plant's, signed, in the forms in which it leaves the plant.
func record(f *testing.F) (by audit.Signatures, export, copies string, points map[int64]audit.Checkpoint) {
	f.Helper()
	db, folder := storetest.SQLite(f), f.TempDir()
	sign, by := signer(f, db)
	tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
	points = map[int64]audit.Checkpoint{}
	for range 2 {
		entries(f, db, 1)
		e, err := (audit.Entry{At: time.Unix(5, 0), Actor: "local:eve", Action: "message.release", After: []byte{}}).Sign("approval", "password")
		if err != nil {
			f.Fatal(err)
		}
		write(f, db, e)
		c := sealed(f, tree)
		points[c.Size] = c
	}
	var file bytes.Buffer
	if err := audit.Export(f.Context(), db, origin, &file); err != nil {
		f.Fatal(err)
	}
	if said := ran(f, db, audit.Config{Sign: sign, Folder: folder}); said != "" {
		f.Fatal(said)
	}
	names, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil || len(names) == 0 {
		f.Fatalf("copies of checkpoints: %v, %v", names, err)
	}
	text, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		f.Fatal(err)
	}
	return by, file.String(), string(text), points
}

// changes are what is done to a text: nothing, a byte here and there, its end gone, and another text in its place.
func changes(f *testing.F, others ...string) {
	f.Helper()
	f.Add(uint(0), uint(0), "")
	f.Add(uint(90), uint(1), "x")
	f.Add(uint(300), uint(1), "")
	f.Add(uint(200), ^uint(0), "")
	for _, o := range others {
		f.Add(uint(0), ^uint(0), o)
	}
}

// FuzzVerifyExport: whatever is done to an exported record, what passes as covered by a signed checkpoint is what was sealed.
func FuzzVerifyExport(f *testing.F) {
	by, export, _, points := record(f)
	changes(f, "{}", `{"format":"holdfast/audit-export/1","origin":"o"}`+"\n"+`{"place":0,"entry":{"seq":1},"hash":"AAAA"}`+"\n"+`{"checkpoint":"o\n1\n"}`)
	f.Fuzz(func(t *testing.T, at, cut uint, put string) {
		text := doctored(export, at, cut, put)
		r, err := audit.VerifyExport(strings.NewReader(text), origin, nil, by)
		if text == export && (err != nil || r.Err() != nil || r.Covered != r.Entries) {
			t.Errorf("as it was written: %+v, %v", r, err)
		}
		if said, no := audit.ExportOrigin(strings.NewReader(text)); err == nil && no != nil {
			t.Errorf("%q is verified, and of no plant: %v", text, no)
		} else if err == nil && r.Err() == nil && said != origin {
			t.Errorf("%q passes for a record of %q", text, said)
		}
		if err != nil || r.Err() != nil || r.Covered == 0 {
			return
		}
		if c, is := points[r.Covered]; !is || r.Covered == r.Entries && r.Root != hex.EncodeToString(c.Root[:]) {
			t.Errorf("%q passes as %+v", text, r)
		}
	})
}

// FuzzCopies: whatever is done to the checkpoints outside, each that is read is read the same from its note alone, and one that the plant's key
// vouches for says what the plant has said.
func FuzzCopies(f *testing.F) {
	by, _, copies, points := record(f)
	changes(f, `{"size":1,"note":"o\n1\nAAAA\n\n"}`, `{"size":1`)
	name := filepath.Join(f.TempDir(), "a-2026-11.jsonl")
	f.Fuzz(func(t *testing.T, at, cut uint, put string) {
		text := doctored(copies, at, cut, put)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, lost, err := audit.ReadCopies(name)
		if err != nil || text == copies && (len(all) != len(points) || len(lost) != 0) {
			t.Fatalf("%q: %d checkpoints, %v without, %v", text, len(all), lost, err)
		}
		for _, c := range all {
			if again, err := audit.ParseCheckpoint(c.Note); err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%+v is read again as %+v, %v", c, again, err)
			}
			signers, wrong, err := c.Check(by)
			if err != nil || len(signers) == 0 {
				if text == copies {
					t.Errorf("%q: %v, %v", c.Note, wrong, err)
				}
				continue
			}
			if said := points[c.Size]; c.Origin != said.Origin || c.Root != said.Root || !c.At.Equal(said.At) {
				t.Errorf("%q passes as signed by %v", c.Note, signers)
			}
		}
	})
}

// FuzzSigned: a person's signature is of the entry that it was made for, whatever stands in its place.
func FuzzSigned(f *testing.F) {
	e, err := (audit.Entry{Seq: 3, At: time.Unix(5, 7000), Actor: "local:eve", Action: "message.release", Before: []byte("x")}).Sign("approval", "password")
	if err != nil {
		f.Fatal(err)
	}
	changes(f, "", "{}", `{"signer":"local:eve","at":"1970-01-01T00:00:05.000007Z","digest":""}`)
	f.Fuzz(func(t *testing.T, at, cut uint, put string) {
		other := e
		other.Signature = []byte(doctored(string(e.Signature), at, cut, put))
		s, err := other.Signed()
		if err != nil {
			if bytes.Equal(other.Signature, e.Signature) {
				t.Error(err)
			}
			return
		}
		if s == nil || s.Signer != e.Actor || s.Meaning != "approval" || s.Shown != "password" || store.Micros(s.At) != store.Micros(e.At) {
			t.Errorf("%q passes as %+v", other.Signature, s)
		}
	})
}
