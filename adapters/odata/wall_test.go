package odata

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
)

// TestAClockThatIsChangedHidesNothing: SAP's change times are those of its system's clock. Through the night in which it goes back an hour, and
// the one in which it goes forward, orders change to another state and back to the one before. Each change comes once and as the newest version,
// whether the poll runs through or the process was away in between; each poll is a new process.
func TestAClockThatIsChangedHidesNothing(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, begin := range map[string]time.Time{
		"back": time.Date(2026, 10, 24, 23, 25, 30, 0, time.UTC), "forward": time.Date(2026, 3, 28, 23, 25, 30, 0, time.UTC),
	} {
		for _, every := range []int{1, 2, 6, 7} {
			t.Run(fmt.Sprintf("%s, polled after %d changes", name, every), func(t *testing.T) {
				now := begin
				w := orders(t, 60, edmx.Config{Coarse: true, Zone: berlin, Now: func() time.Time { return now }}, PollConfig{Watermark: "LastChangeDateTime", Zone: "Europe/Berlin"})
				b := &inbox{seen: map[string]message.Incoming{}}
				if got := b.round(t, w.link.Polls()[0]); len(got) != 60 {
					t.Fatalf("the first round brought %d", len(got))
				}
				has, told, version, changed := map[string]string{}, map[string]string{}, map[string]string{}, map[string]bool{}
				for k := range 24 {
					now = now.Add(10 * time.Minute)
					order := fmt.Sprintf("%d", k%3)
					if has[order] = "M2"; (k/3)%2 == 1 {
						has[order] = "M1"
					}
					w.mock.Change(w.set, "ManufacturingOrder", order, map[string]any{"Material": has[order]})
					if changed[order] = true; (k+1)%every != 0 {
						continue
					}
					cfg := w.link.cfg
					cfg.AskAfter = 0
					w.link = open(t, cfg)
					for _, in := range b.round(t, w.link.Polls()[0]) {
						var doc struct{ Material string }
						if err := json.Unmarshal(in.Body, &doc); err != nil || !changed[in.Key] {
							t.Errorf("%s: order %s comes without a change: %v", now.In(berlin), in.Key, err)
						}
						if told[in.Key] = doc.Material; version[in.Key] != "" && !later(in.ObjectVersion, version[in.Key]) {
							t.Errorf("%s: version %s of order %s does not come after %s", now.In(berlin), in.ObjectVersion, in.Key, version[in.Key])
						}
						version[in.Key] = in.ObjectVersion
						delete(changed, in.Key)
					}
					for order := range has {
						if told[order] != has[order] {
							t.Errorf("%s: order %s has %s, and the plant knows %q", now.In(berlin), order, has[order], told[order])
						}
					}
					clear(changed)
					if again := b.round(t, w.link.Polls()[0]); len(again) != 0 {
						t.Errorf("%s: a round without a change brought %d", now.In(berlin), len(again))
					}
				}
				if at, err := readStand(b.cursor); err != nil || len(at.seen) > 3 {
					t.Errorf("hours later the cursor keeps %d objects, %v", len(at.seen), err)
				}
			})
		}
	}
}

// TestMoreThanAPageInTheHourThatRepeats: a reading that was interrupted in it, with more behind it than one call takes, comes to its end and
// has what changed after the clock went back.
func TestMoreThanAPageInTheHourThatRepeats(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 25, 0, 20, 0, 0, time.UTC) // 02:20, the first time
	next := func() time.Time { now = now.Add(time.Second); return now }
	w := orders(t, 1300, edmx.Config{Page: 200, Coarse: true, Zone: berlin, Now: next}, PollConfig{Watermark: "LastChangeDateTime", Zone: "Europe/Berlin"})
	b := &inbox{seen: map[string]message.Incoming{}}
	batch, cursor, err := w.link.Polls()[0].Poll(t.Context(), "")
	if err != nil || len(batch) < 500 || len(batch) >= 1300 {
		t.Fatalf("the first call brought %d, %v", len(batch), err)
	}
	for _, in := range batch {
		b.seen[in.ID] = in
	}
	b.cursor, now = cursor, time.Date(2026, 10, 25, 1, 5, 0, 0, time.UTC) // 02:05, the second time
	w.mock.Change(w.set, "ManufacturingOrder", "7", map[string]any{"Material": "M2"})
	now = time.Date(2026, 10, 25, 4, 0, 0, 0, time.UTC)
	w.mock.Change(w.set, "ManufacturingOrder", "1299", map[string]any{"Material": "M3"})
	b.round(t, w.link.Polls()[0])
	keys, found := map[string]bool{}, 0
	for _, in := range b.seen {
		var doc struct{ Material string }
		if err := json.Unmarshal(in.Body, &doc); err != nil {
			t.Fatal(err)
		}
		if keys[in.Key] = true; in.Key == "7" && doc.Material == "M2" || in.Key == "1299" && doc.Material == "M3" {
			found++
		}
	}
	if len(keys) != 1300 || found != 2 {
		t.Errorf("read %d orders of 1300, and %d of the two changes", len(keys), found)
	}
}

// TestABeginningIsTheLeastThatTheClockStillShows.
func TestABeginningIsTheLeastThatTheClockStillShows(t *testing.T) {
	tests := []struct{ name, zone, from, want string }{
		{"an hour before the clock goes back", "Europe/Berlin", "20261025015930", "20261025015730"},
		{"soon after the hour begins", "Europe/Berlin", "20261025020130", "20261025015930"},
		{"in the hour", "Europe/Berlin", "2026-10-25T02:50:00", "2026-10-25T02:00:00"},
		{"after the hour", "Europe/Berlin", "20261025030100.5", "20261025025900"},
		{"long after", "Europe/Berlin", "20261025040000", "20261025035800"},
		{"after the clock went forward", "Europe/Berlin", "20260329030100", "20260329015900"},
		{"a clock of another zone, in an hour that is left out", "Europe/Berlin", "20260329023000", "20260329022800"},
		{"a moment", "Europe/Berlin", "2026-10-25T02:50:00Z", "2026-10-25T02:48:00Z"},
		{"half an hour that repeats", "Australia/Lord_Howe", "20260405014500", "20260405013000"},
		{"south of the equator", "Pacific/Auckland", "20260405024500", "20260405020000"},
		{"a zone without changes", "UTC", "20261025025000", "20261025024800"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			if got := (&Poll{zone: zone}).earlier(tt.from, 2*time.Minute); got != tt.want {
				t.Errorf("a reading after %s begins at %s, want %s", tt.from, got, tt.want)
			}
		})
	}
}
