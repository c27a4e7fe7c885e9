package console_test

import (
	"strings"
	"testing"

	"holdfast/internal/console"
	"holdfast/internal/store/storetest"
)

// TestBackupsSayHowOldTheNewestProvenCopyIs, however new one is that nobody has restored on trial, and which place cannot be read.
func TestBackupsSayHowOldTheNewestProvenCopyIs(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	_, page := p.get("/console/backups")
	for _, want := range []string{"restored on trial is 27 h 00 min old", "not proven yet", "damaged", "no route to host", "7.3 MB", "&lt;b&gt;its manifest is cut"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q: %s", want, p.says(page))
		}
	}
}

func TestAPlantWithoutPlacesForCopiesSaysSo(t *testing.T) {
	p := open(t, storetest.SQLite(t), func(c *console.Config) { c.Copies = nil })
	if _, page := p.get("/console/backups"); !strings.Contains(page, "names no places for copies") {
		t.Errorf("the page says %s", p.says(page))
	}
}
