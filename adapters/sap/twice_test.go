package sap

import (
	"encoding/json"
	"io/fs"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
)

// TestAnOrdersVersionGrowsWhileItsChangeTimeGoesBack: in autumn the change time of an order is an hour less than the one before. The document says
// then which version it is, for the plant passes over what is older; at all other times its change time does.
func TestAnOrdersVersionGrowsWhileItsChangeTimeGoesBack(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(Metadata(), Orders+".xml")
	if err != nil {
		t.Fatal(err)
	}
	var clock atomic.Pointer[time.Time] // the mock's own goroutines look at it too
	now := time.Date(2026, 10, 25, 0, 10, 0, 0, time.UTC)
	clock.Store(&now)
	system, err := edmx.NewSystem(edmx.Config{Coarse: true, Zone: berlin, Now: func() time.Time { return *clock.Load() }}, edmx.Source{Metadata: text, Root: services()[Orders].Path})
	if err != nil {
		t.Fatal(err)
	}
	link := open(t, erpmock.Listen(t, system))
	if err := system.Seed("A_ProductionOrder_2", map[string]any{"ManufacturingOrder": "1", "ProductionPlant": "1000", "Material": "A"}); err != nil {
		t.Fatal(err)
	}
	cursor, last, raised := "", "", 0
	for i := range 8 { // from 02:10, the first time, to 03:20
		now := now.Add(time.Duration(i) * 20 * time.Minute)
		clock.Store(&now)
		system.Services()[0].Change("A_ProductionOrder_2", "ManufacturingOrder", "1", map[string]any{"Material": string(rune('B' + i%2))})
		batch, next, err := link.Polls()[0].Poll(t.Context(), cursor)
		if err != nil || len(batch) != 1 {
			t.Fatalf("%s: %d documents, %v", now.In(berlin), len(batch), err)
		}
		var doc struct{ Version, LastChangeDateTime string }
		if err := json.Unmarshal(batch[0].Body, &doc); err != nil {
			t.Fatal(err)
		}
		version := doc.LastChangeDateTime
		if doc.Version != "" {
			version = doc.Version
			raised++
		}
		if c, err := message.CompareVersions(version, last); last != "" && (err != nil || c <= 0) {
			t.Errorf("%s: version %s does not come after %s: %v", now.In(berlin), version, last, err)
		}
		last, cursor = version, next
	}
	if raised != 6 {
		t.Errorf("%d documents name a version, want those of the hour, both times", raised)
	}
}
