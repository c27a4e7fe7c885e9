package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"holdfast/internal/job"
	"holdfast/internal/store/storetest"
)

// tabTo presses Tab until something has the focus.
func (b *browser) tabTo(css string) {
	b.t.Helper()
	for range 150 {
		b.run(chromedp.KeyEvent(kb.Tab))
		if ask(b, chromedp.Evaluate[bool](`document.activeElement.matches('`+css+`')`)) {
			return
		}
	}
	b.t.Fatalf("Tab never comes to %s", css)
}

// press is a key for what has the focus, and waits for the page that it leads to.
func (b *browser) press(key, arrives string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(key))
	b.await(`document.readyState === "complete" && document.querySelector('` + arrives + `')`)
}

// TestAGroupIsReplayedByKeyboardAlone opens a group, reads one of its messages, looks at what a replay would send and starts it, by Tab, Enter, Space and
// what is typed.
func TestAGroupIsReplayedByKeyboardAlone(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.standStill(3)
	b := browse(t, p)
	b.open("/console/messages", "light")
	b.tabTo(`.groups a[href*="4711"], .groups a[href*="no+material"]`)
	b.press(kb.Enter, `form[action="/console/jobs/plan"]`)
	group := ask(b, chromedp.Evaluate[string](`location.pathname + location.search`))
	b.tabTo(`tbody a[href^="/console/messages/"]`)
	b.press(kb.Enter, `#retry-reason`)
	b.open(group, "light")
	b.tabTo(`form[action="/console/jobs/plan"] button`)
	b.press(kb.Enter, `#expect`)
	id := ask(b, chromedp.Evaluate[string](`location.pathname.split("/").pop()`))
	if got := p.jobOf(id); got.State != job.Planned || got.Counts.Total != 3 {
		t.Fatalf("the look made the job %s with %d messages, want it planned with 3", got.State, got.Counts.Total)
	}
	b.tabTo(`#expect`)
	b.run(chromedp.KeyEvent("3"))
	b.tabTo(`#start-reason`)
	b.run(chromedp.KeyEvent("the material is there"))
	b.tabTo(`form[action$="/start"] button:not([disabled])`)
	b.press(" ", `.fd-message-strip--success`)
	if got := p.jobOf(id).State; got != job.Running {
		t.Errorf("the job is %s, want it to run", got)
	}
	b.clean("the job")
}
