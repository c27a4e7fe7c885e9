package httpapi_test

import (
	"fmt"
	"log/slog"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/audit"
	"holdfast/internal/httpapi"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestTheRecordIsProvenByTheAPI: an auditor who has kept a checkpoint needs no more than the API to see that the record still begins with it.
func TestTheRecordIsProvenByTheAPI(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	tree := audit.NewTree(p.db, "holdfast/audit/1/urn:plant:1000", "a", audit.Config{}, slog.New(slog.DiscardHandler))
	newest := func() (c httpapi.AuditCheckpoint) {
		t.Helper()
		p.call("GET", "/v1/audit-checkpoint", nil).want(t, 200, &c)
		return c
	}
	record := func(n int) {
		t.Helper()
		err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
			for range n {
				if err := audit.Append(t.Context(), tx, audit.Entry{Actor: "local:anna", Action: "link.pause", Object: "link/erp"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seal := func() {
		t.Helper()
		if _, err := tree.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(path string, want int) {
		t.Helper()
		if a := p.call("GET", path, nil); a.status != want {
			t.Errorf("%s: got %d %s, want %d", path, a.status, a.body, want)
		}
	}
	refused("/v1/audit-checkpoint", 404)
	refused("/v1/audit-consistency?from=1", 404)
	record(5)
	refused("/v1/audit-entries/5/proof", 409)
	seal()
	first := newest()
	record(8)
	seal()
	last := newest()

	proof, err := audit.CheckProof(string(p.call("GET", "/v1/audit-entries/7/proof", nil).want(t, 200, nil).body))
	if err != nil || proof.Entry.Seq != 7 || proof.Checkpoint.Note != last.Note {
		t.Errorf("got %+v, %v, want entry 7 by the newest checkpoint", proof, err)
	}
	var c httpapi.AuditConsistency
	p.call("GET", fmt.Sprintf("/v1/audit-consistency?from=%d", first.Size), nil).want(t, 200, &c)
	if c.From != 5 || c.To != 13 || tlog.CheckTree(hashes(t, c.Hashes...), c.To, hashes(t, last.Root)[0], c.From, hashes(t, first.Root)[0]) != nil {
		t.Errorf("got %+v, want that the record of 13 entries begins with that of 5", c)
	}
	p.call("GET", "/v1/audit-consistency?from=5&to=5", nil).want(t, 200, nil)
	refused("/v1/audit-entries/99/proof", 404)
	refused("/v1/audit-consistency?from=6&to=5", 422)
	refused("/v1/audit-consistency?from=5&to=14", 404)
	refused("/v1/audit-consistency?from=0", 400)
}

func hashes(t *testing.T, texts ...string) []tlog.Hash {
	t.Helper()
	all := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		var err error
		if all[i], err = tlog.ParseHash(text); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
