package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store/storetest"
)

func TestALargeBodyIsShownBySizeAndSavedByteForByte(t *testing.T) {
	db := storetest.SQLite(t)
	want := bytes.Repeat([]byte("1.25,"), 100_000)
	l, err := body.Keep(t.Context(), db, bytes.NewReader(want), "", message.MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	m := message.Message{ID: "m1", Large: l}
	file := filepath.Join(t.TempDir(), "series.json")
	if err := saveBody(t.Context(), m, file); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
	if err := saveBody(t.Context(), m, file); problem.KindOf(err) != problem.Conflict {
		t.Errorf("over a file that is there: got %v, want a problem of kind %s", err, problem.Conflict)
	}
	var shown struct{ Bytes int64 }
	v := messageViewOf(outbox.Detail{Message: m, History: []outbox.Happened{{What: "amended", Large: l}}}, true)
	text, err := json.Marshal(v)
	if err != nil || json.Unmarshal(v.Body, &shown) != nil || shown.Bytes != int64(len(want)) || len(text) > 10_000 {
		t.Errorf("shown as %.200s, %v", text, err)
	}
}
