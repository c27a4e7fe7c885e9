package console_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestTimesAgreeOverAChangeOfTheClocks: two messages of one order were made half an hour before and after the clocks of the plant went back, both at 02:30.
// A browser in Tokyo sees, filters and downloads them by the plant's time, by UTC and by its own, and the address means the same to everybody.
func TestTimesAgreeOverAChangeOfTheClocks(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	summer, winter := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)
	p.tx(func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE outbox_messages SET created_at = CASE WHEN id = ? THEN CAST(? AS BIGINT) ELSE CAST(? AS BIGINT) END`, p.stuck, store.Micros(summer), store.Micros(winter))
		return err
	})
	b := browse(t, p)
	if _, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"}); err != nil {
		t.Fatal(err)
	}
	const rows = `Array.from(document.querySelectorAll("tbody time")).map(t => t.getAttribute("datetime") + " " + t.textContent)`
	shown := func(zone string, want ...string) {
		t.Helper()
		b.run(chromedp.Click(chromedp.Search(`//summary[.="View"]`)), chromedp.WaitVisible(chromedp.CSS("#zone")), chromedp.SetValue(chromedp.CSS("#zone"), zone),
			chromedp.Click(chromedp.Search(`//button[.="Apply"]`)), chromedp.WaitReady(chromedp.CSS(`html[data-zone="`+zone+`"]`)))
		b.open("/console/messages?state=owed", "light") // remembered
		if got := ask(b, chromedp.Evaluate[[]string](rows)); !slices.Equal(got, want) {
			t.Errorf("in %s the page has %q, want %q", zone, got, want)
		}
	}
	b.open("/console/messages?state=owed", "light")
	// The plant's zone is the one of the first page: it comes second, since shown knows the next page by its zone.
	shown("utc", "2026-10-25T01:30:00Z 25 Oct 2026 01:30:00 UTC", "2026-10-25T00:30:00Z 25 Oct 2026 00:30:00 UTC")
	shown("plant", "2026-10-25T02:30:00+01:00 25 Oct 2026 02:30:00 CET", "2026-10-25T02:30:00+02:00 25 Oct 2026 02:30:00 CEST")
	shown("browser", "2026-10-25T02:30:00+01:00 25 Oct 2026 10:30:00 GMT+9", "2026-10-25T02:30:00+02:00 25 Oct 2026 09:30:00 GMT+9")
	b.clean("the list")

	for query, want := range map[string][]time.Time{
		"from=2026-10-25T02:15:00%2B02:00&to=2026-10-25T02:15:00%2B01:00": {summer},
		"from=2026-10-25T02:15:00%2B01:00":                                {winter},
		"from=2026-10-25&to=2026-10-26":                                   {winter, summer}, // a day of 25 hours
		"from=2026-10-25+03:00":                                           nil,
	} {
		var got []time.Time
		for _, row := range p.csv("state=owed&" + query) {
			at, err := time.Parse(time.RFC3339, row[8])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, at.UTC())
		}
		_, page := p.get("/console/messages?state=owed&" + query)
		if !slices.Equal(got, want) || strings.Count(page, `href="/console/messages/`) < len(want) {
			t.Errorf("%s: the file has %v, want %v, and the page %s", query, got, want, p.says(page))
		}
	}
	_, page := p.get("/console/messages?state=owed&from=2026-10-25&to=2026-10-26")
	if want := fmt.Sprintf("from=%s&amp;", "2026-10-25T00%3A00%3A00%2B02%3A00"); !strings.Contains(page, want) {
		t.Errorf("its addresses lack %s, so that they would mean another time elsewhere", want)
	}
}
