package idoc_test

import (
	"fmt"
	"testing"
	"time"

	"holdfast/adapters/sap/idoc"
	"holdfast/internal/message"
)

// TestALaterIDocIsNewerWhateverTheClockShows: SAP writes no zone to CREDAT and CRETIM. In autumn, what is made ten minutes after 02:55 is made at 02:05;
// a change of an order in that hour must not be passed over as older than the one before.
func TestALaterIDocIsNewerWhateverTheClockShows(t *testing.T) {
	for zone, begin := range map[string]time.Time{
		"Europe/Berlin":       time.Date(2026, 10, 24, 23, 30, 0, 0, time.UTC), // 01:30, and 90 minutes later the clock goes back to 02:00
		"Australia/Lord_Howe": time.Date(2026, 4, 4, 14, 0, 0, 0, time.UTC),    // the clock goes back by half an hour
		"America/New_York":    time.Date(2026, 3, 8, 5, 30, 0, 0, time.UTC),    // and here it goes forward
		"UTC":                 time.Date(2026, 10, 24, 23, 30, 0, 0, time.UTC),
	} {
		t.Run(zone, func(t *testing.T) {
			cfg := config()
			cfg.Zone, cfg.Receive = zone, &idoc.Receive{Folder: t.TempDir()}
			l, _ := open(t, cfg)
			clock, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			last := ""
			for i := range 40 { // three hours and a bit
				at := begin.Add(time.Duration(i) * 5 * time.Minute).In(clock)
				got, err := l.Incoming(orderMade(t, fmt.Sprintf("%016d", 1000+i), at, "000001000042"))
				if err != nil || len(got) != 1 {
					t.Fatal(len(got), err)
				}
				version := got[0].ObjectVersion
				if c, err := message.CompareVersions(version, last); last != "" && (err != nil || c <= 0) {
					t.Errorf("%s: version %s does not come after %s: %v", at, version, last, err)
				}
				last = version
			}
		})
	}
}
