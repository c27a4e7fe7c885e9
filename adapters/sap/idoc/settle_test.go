package idoc

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/message"
)

// TestAFlatFileThatIsStillWrittenIsNotTaken: SAP writes a flat IDoc in place and pauses at the end of a line. What is there then could be read, and lacks
// two of three operations. Files named .tmp are nobody's yet.
func TestAFlatFileThatIsStillWrittenIsNotTaken(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{
		Client: "100", Plant: Partner{Port: "HOLDFAST", System: "HFPLANT1"}, SAP: Partner{Port: "SAPS4H", System: "S4HCLNT100"}, Zone: "Europe/Berlin",
		Descriptions: Builtin, Receive: &Receive{Folder: dir, Settle: time.Minute},
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	of := Control{"MANDT": "100", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "S4HCLNT100"}
	doc, err := FromSAP(of, "LOIPRO02", "0000000000004711", time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC),
		[]byte(`{"E1AFKOL":{"AUFNR":"000001000042","WERKS":"1000","GAMNG":"5","E1AFFLL":[{"FLGAT":"0","E1AFVOL":[{"VORNR":"0010"},{"VORNR":"0020"},{"VORNR":"0030"}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := WriteFlat([]Document{doc}, "", l.types)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	part := bytes.Join(lines[:4], nil) // control record, order, sequence, one operation
	if _, err := l.Incoming(part); err != nil {
		t.Fatalf("what is cut off at the end of a line is refused by itself: %v", err)
	}
	at := time.Now()
	l.now = func() time.Time { return at }
	var got []message.Incoming
	seen := map[string]look{}
	looked := func(after time.Duration, want int) {
		t.Helper()
		at = at.Add(after)
		err := l.pickUpOnce(t.Context(), func(_ context.Context, batch []message.Incoming) error { got = append(got, batch...); return nil }, seen)
		if err != nil || len(got) != want {
			t.Fatalf("%d messages are taken, want %d: %v", len(got), want, err)
		}
	}
	put := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("order.txt", part)
	put("next.txt.tmp", whole)
	looked(0, 0)
	looked(2*time.Second, 0)
	looked(50*time.Second, 0)
	put("order.txt", whole)
	looked(time.Second, 0)
	looked(59*time.Second, 0)
	looked(time.Second, 1)
	var body struct{ All struct{ E1AFVOL []any } }
	if err := json.Unmarshal(got[0].Body, &body); err != nil || len(body.All.E1AFVOL) != 3 {
		t.Errorf("%d operations, want 3: %v", len(body.All.E1AFVOL), err)
	}
	looked(time.Hour, 1)
	if _, err := os.Stat(filepath.Join(dir, "next.txt.tmp")); err != nil {
		t.Error(err)
	}
}
