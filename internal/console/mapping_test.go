package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/internal/store/storetest"
)

const outConfirmation = "erp-out/operation.confirmed"

// rulesOf is the text of a shipped mapping.
func rulesOf(t *testing.T, name string) string {
	t.Helper()
	set, err := mapping.Load(mapping.Library())
	if err != nil {
		t.Fatal(err)
	}
	l, ok := set.Look(name)
	if !ok {
		t.Fatalf("there is no mapping %s", name)
	}
	return string(l.Text)
}

func TestAMappingIsSeenWithItsRulesAndResult(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for path, want := range map[string]string{
		"/console/mappings":                        outConfirmation,
		"/console/mapping?name=" + outConfirmation: "can be used",
		"/console/mapping?name=" + outConfirmation + "&sample=message:" + p.stuck: "can be used",
	} {
		status, body := p.get(path)
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %s; want 200 with %q", path, status, p.says(body), want)
		}
	}
}

func TestAMistakeIsToldWithItsPlaceAndHint(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	text := strings.Replace(rulesOf(t, outConfirmation), "src.confirmation.yield", "src.confirmation.yeld", 1)
	status, _, body := p.post("/console/mapping/preview", url.Values{"name": {outConfirmation}, "text": {text}, "sample": {"example:0"}})
	for _, want := range []string{outConfirmation + ".yaml:", "yeld", "yield", "cannot be used"} {
		if status != http.StatusOK || !strings.Contains(p.says(body), want) {
			t.Errorf("%d, %s; want 200 with %q", status, p.says(body), want)
		}
	}
}

func TestAMappingIsPublishedOnceAndOverWhatItWasReadFrom(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	base, err := shelf{}.Base(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"name": {outConfirmation}, "text": {rulesOf(t, outConfirmation) + "\n"}, "base": {base.Hash}, "reason": {"the first one"}, "key": {"k-1"}}
	for range 2 {
		if status, to, body := p.post("/console/mapping/publish", form); status != http.StatusSeeOther {
			t.Fatalf("%d to %s: %s", status, to, p.says(body))
		}
	}
	if got := len(p.record("mapping.publish")); got != 1 {
		t.Errorf("%d entries in the record, want 1", got)
	}
	form.Set("base", "another")
	form.Set("key", "k-2")
	if status, _, body := p.post("/console/mapping/publish", form); status != http.StatusConflict {
		t.Errorf("over another edition: %d, want 409: %s", status, p.says(body))
	}
}

func TestWhatIsTypedIsMappedAndPointsAtItsRule(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := browse(t, p)
	b.open("/console/mapping?name="+outConfirmation, "light")
	b.await(`window.htmx && document.querySelector(".made a[data-line]")`)
	b.await(`(() => { const a = document.querySelector(".made a[data-line]"); a.focus(); return document.querySelector(".gutter .at")?.textContent === a.dataset.line; })()`)
	b.await(`(() => { const r = document.getElementById("rules"); r.value = r.value.replace("src.confirmation.yield", "src.confirmation.yeld");
		r.dispatchEvent(new Event("input", { bubbles: true })); return true; })()`)
	b.await(`document.querySelector("#tried [data-bad]") && document.querySelector(".gutter .bad")`)
	b.clean("the mapping")
}
