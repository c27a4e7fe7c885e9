package idoc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/message"
)

// TestNoTwoTicketsOfALaneHaveOneSecond: PP-PDC takes tickets of one second in any order, so that each has its own, in the order of the lane, also
// where the clock goes back between two. A ticket keeps it at each attempt; another lane's has nothing to do with it.
func TestNoTwoTicketsOfALaneHaveOneSecond(t *testing.T) {
	dir := t.TempDir()
	cfg := config()
	cfg.Send = &idoc.Send{Folder: dir}
	l, _ := open(t, cfg)
	of := func(lane, id, at string) message.Delivery {
		m := message.Message{
			ID: id, Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: lane, Time: time.Unix(0, 0).UTC(), Body: []byte(`{}`),
			Place: message.Place{Link: "sap", Lane: lane, Epoch: 1, Number: 1, Role: message.Event},
		}
		return adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: "PPCC2PRETTICKET01", Body: []byte(
			`{"E1BP_PP_TIMETICKET":[{"ORDERID":"1","OPERATION":"0010","YIELD":"1","LOGDATE":"2026-10-25","LOGTIME":"` + at + `"}]}`)})
	}
	tickets := []message.Delivery{
		of("o1", "m1", "02:59:59"), of("o1", "m2", "02:59:59"), of("o2", "m3", "02:59:59"), of("o1", "m4", "02:00:00"), // the clock has gone back
	}
	l.Deliver(t.Context(), tickets)
	l.Deliver(t.Context(), []message.Delivery{tickets[1], of("o1", "m5", "03:00:02"), of("o1", "m6", "04:00:00")}) // one is sent once more
	got := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := idoc.ReadXML(text, idoc.Shipped(), idoc.Usual())
		if err != nil || len(ds) != 1 {
			t.Fatal(len(ds), err)
		}
		id, s := ds[0].Control["ARCKEY"], ds[0].Segments[0]
		got[id] = append(got[id], s.Get("LOGDATE")+" "+s.Get("LOGTIME"))
	}
	want := map[string][]string{
		"m1": {"20261025 025959"}, "m2": {"20261025 030000"}, "m3": {"20261025 025959"}, "m4": {"20261025 030001"}, "m5": {"20261025 030002"}, "m6": {"20261025 040000"},
	}
	for id := range want {
		if !slices.Equal(slices.Compact(got[id]), want[id]) {
			t.Errorf("%s has %v, want %v", id, got[id], want[id])
		}
	}
	if len(got) != len(want) {
		t.Error(fmt.Sprint(got))
	}
}
