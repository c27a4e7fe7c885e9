package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/store"
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

// TestWhatTheContractDoesNotTakeIsToldOnThePage, by the same check as holdfast mapping test.
func TestWhatTheContractDoesNotTakeIsToldOnThePage(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	text := strings.Replace(rulesOf(t, outConfirmation), "src.confirmation.unit", `'"QQ9"'`, 1)
	_, _, body := p.post("/console/mapping/preview", url.Values{"name": {outConfirmation}, "text": {text}, "sample": {"example:0"}})
	for _, want := range []string{"cannot be used", "The contract does not take this document: link erp: /unit: it is no unit"} {
		if !strings.Contains(p.says(body), want) {
			t.Errorf("%s; want %q", p.says(body), want)
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
	for _, act := range []string{"preview", "effect"} {
		if _, _, body := p.post("/console/mapping/"+act, form); !strings.Contains(body, `name="base" value="another"`) {
			t.Errorf("after %s the draft is laid over other mappings than it was read from", act)
		}
	}
	if status, _, body := p.post("/console/mapping/publish", form); status != http.StatusConflict {
		t.Errorf("over another edition: %d, want 409: %s", status, p.says(body))
	}
}

// called is whoever sits at this machine, under a name; blind, they may not read messages.
type called struct {
	name  string
	blind bool
}

func (n called) Who(r *http.Request, action string) (access.Actor, error) {
	a, err := console.Local{}.Who(r, action)
	if a.Name = n.name; n.blind && action == access.MsgRead {
		return access.Actor{}, access.NotPermitted(a, action, "")
	}
	return a, err
}

// TestFourEyesSeeAMappingBeforeItIsUsed, all of it by forms alone, as without scripts: anna proposes and cannot approve, bert looks at what would
// change and approves.
func TestFourEyesSeeAMappingBeforeItIsUsed(t *testing.T) {
	p := open(t, storetest.SQLite(t), func(c *console.Config) { c.FourEyes = true })
	base, err := shelf{}.Base(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.gate.Store(called{name: "local:anna"})
	text := strings.Replace(rulesOf(t, outConfirmation), "operation: src.confirmation.operation", `operation: '"0" + src.confirmation.operation'`, 1)
	if text == rulesOf(t, outConfirmation) {
		t.Fatal("the mapping has another rule for the operation now: write the test anew")
	}
	form := url.Values{"name": {outConfirmation}, "text": {text}, "base": {base.Hash}, "reason": {"five places"}, "key": {"k-1"}, "accept": {"yes"}}
	if status, to, body := p.post("/console/mapping/publish", form); status != http.StatusSeeOther {
		t.Fatalf("proposed: %d to %s: %s", status, to, p.says(body))
	}
	proposed := p.editions().Proposed.Edition
	if proposed == "" || p.editions().Used.Edition != "" {
		t.Fatalf("got %+v, want it proposed and not used", p.editions())
	}
	status, look := p.get("/console/mappings/effect?of=proposed")
	for _, want := range []string{"00010", outConfirmation + ".yaml", `+   operation: '"0" + src.confirmation.operation'`, "− operation: src.confirmation.operation", "Somebody else than its author approves it"} {
		if says := strings.Join(strings.Fields(p.says(look)), " "); status != http.StatusOK || !strings.Contains(says, strings.Join(strings.Fields(want), " ")) {
			t.Errorf("what would change: %d, %s; want %q in it", status, says, want)
		}
	}
	approve := func(key string) int {
		status, _, _ := p.post("/console/mappings/approve", url.Values{"edition": {proposed}, "reason": {"looked at"}, "key": {key}})
		return status
	}
	if status := approve("k-2"); status < 400 || p.editions().Used.Edition != "" {
		t.Errorf("approved by its author: %d, %+v", status, p.editions())
	}
	p.gate.Store(called{"local:bert", true})
	if status := approve("k-x"); status != http.StatusForbidden || p.editions().Used.Edition != "" {
		t.Errorf("approved by somebody who may not see what it changes: %d, %+v", status, p.editions())
	}
	p.gate.Store(called{name: "local:bert"})
	if status := approve("k-3"); status != http.StatusSeeOther || p.editions().Used.Edition != proposed {
		t.Errorf("approved by another: %d, %+v", status, p.editions())
	}
	if _, body := p.get("/console/mappings"); !strings.Contains(p.says(body), "approved by local:bert") {
		t.Errorf("the page does not say who has approved: %s", p.says(body))
	}
	for action, want := range map[string]int{"mapping.propose": 1, "mapping.approve": 2} { // what was refused is on record too
		if got := len(p.record(action)); got != want {
			t.Errorf("%s: %d entries in the record, want %d", action, got, want)
		}
	}
	if _, page := p.get("/console/mappings"); !strings.Contains(page, `action="/console/mappings/rollback"`) {
		t.Error("with an edition in use the page does not offer to go back")
	}
	status, _, body := p.post("/console/mappings/rollback", url.Values{"reason": {"four places after all"}, "key": {"k-4"}})
	if used := p.editions().Used.Edition; status != http.StatusConflict || used != proposed || !strings.Contains(p.says(body), "no others were used before") {
		t.Errorf("went back from the first: %d, %s in use: %s", status, used, p.says(body))
	}
}

// TestNobodyGoesBackToMappingsThatNoNodeTakes: all nodes would go on as they are, and start no more.
func TestNobodyGoesBackToMappingsThatNoNodeTakes(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	publish := func(file string) string {
		e, err := edition.Read(fstest.MapFS{file: {Data: []byte("from: {kind: a}\nto: {operation: b}\nfields: {c: {const: d}}\n")}})
		if err != nil {
			t.Fatal(err)
		}
		p.tx(func(tx *store.Tx) error {
			if err := edition.Keep(t.Context(), tx, e); err != nil {
				return err
			}
			_, err := edition.Publish(t.Context(), tx, e.Hash, false, edition.By{Actor: "local:anna"})
			return err
		})
		return e.Hash
	}
	good := publish("a.yaml")
	publish("gone.yaml")
	last := publish("b.yaml")
	back := func(key string) (int, string) {
		status, _, body := p.post("/console/mappings/rollback", url.Values{"reason": {"units"}, "key": {key}})
		return status, p.says(body)
	}
	if status, says := back("k-1"); status < 400 || p.editions().Used.Edition != last || !strings.Contains(says, "no node takes it any more") {
		t.Errorf("went back: %d, %s in use: %s", status, p.editions().Used.Edition, says)
	}
	publish("a.yaml")
	last = publish("c.yaml")
	if status, says := back("k-2"); status != http.StatusSeeOther || p.editions().Used.Edition != good {
		t.Errorf("did not go back from %s: %d, %s in use: %s", last, status, p.editions().Used.Edition, says)
	}
}

// editions are which ones are used, proposed and tried.
func (p *plant) editions() (s edition.State) {
	p.tx(func(tx *store.Tx) (err error) {
		s, err = edition.Current(p.t.Context(), tx)
		return err
	})
	return s
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

// TestTheEditorCompletesWhatIsTyped from the fields of the source, by the keyboard alone; without a script they stand on the page.
func TestTheEditorCompletesWhatIsTyped(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	if _, body := p.get("/console/mapping?name=" + outConfirmation); !strings.Contains(body, `data-word="src.confirmation.yield"`) || !strings.Contains(body, `data-word="lookup("`) {
		t.Error("the page does not say what can be written")
	}
	b := browse(t, p)
	b.open("/console/mapping?name="+outConfirmation, "light")
	b.await(`window.htmx && document.querySelector(".made a[data-line]")`)
	b.await(`(() => { const r = document.getElementById("rules"); const at = r.value.indexOf("decimal(src.confirmation.yield") + "decimal(src.confirmation.".length;
		r.focus(); r.setRangeText("yie", at, at + "yield".length, "end"); r.dispatchEvent(new Event("input", { bubbles: true }));
		return document.querySelector("#complete:not([hidden]) [aria-selected=true]")?.dataset.text === "src.confirmation.yield"; })()`)
	b.clean("words that fit")
	b.await(`(() => { const r = document.getElementById("rules");
		r.dispatchEvent(new KeyboardEvent("keydown", { key: "Tab", bubbles: true, cancelable: true }));
		return r.value.includes("decimal(src.confirmation.yield") && document.getElementById("complete").hidden; })()`)
	b.await(`document.activeElement.id === "rules"`)
}

// counting lets everybody in, and counts who asks for a preview.
type counting struct{ previews *atomic.Int32 }

// Who implements console.Gate.
func (c counting) Who(r *http.Request, action string) (access.Actor, error) {
	if action == access.MappingPreview {
		c.previews.Add(1)
	}
	return console.Local{}.Who(r, action)
}

// TestFastTypingAsksOnce: what is typed in one breath is sent once, and its end is what is answered.
func TestFastTypingAsksOnce(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	var previews atomic.Int32
	p.gate.Store(counting{&previews})
	b := browse(t, p)
	b.open("/console/mapping?name="+outConfirmation, "light")
	b.await(`window.htmx && document.querySelector(".made a[data-line]")`)
	b.await(`(() => { const r = document.getElementById("rules"); r.value = r.value.replace("src.confirmation.yield", "src.confirmation.");
		for (const letter of "yeld") { r.value = r.value.replace("decimal(src.confirmation." + ("yeld".split(letter)[0]), (was) => was + letter); r.dispatchEvent(new Event("input", { bubbles: true })); }
		return true; })()`)
	b.await(`document.querySelector("#tried [data-bad]")?.closest("li").textContent.includes("yeld")`)
	if n := previews.Load(); n != 1 {
		t.Errorf("four letters in a breath were sent %d times, want once", n)
	}
}

// TestWhatComesInIsComparedToo: another mapping of an ERP's documents is held against those that were recorded.
func TestWhatComesInIsComparedToo(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	const name = "erp-in/material"
	m := message.Message{
		ID: "in-2", Source: "urn:erp", Kind: "erp.material", Version: 1, Key: "BIKE", Time: p.db.Now(),
		Body: []byte(`{"number":"BIKE","description":"City bike","baseUnit":"PCE","version":1}`),
	}
	p.tx(func(tx *store.Tx) error {
		_, err := p.in.Receive(t.Context(), tx, message.Incoming{Message: m, Mapping: name}, "erp")
		return err
	})
	text := strings.Replace(rulesOf(t, name), "src.description", `src.description + " (new)"`, 1)
	if text == rulesOf(t, name) {
		t.Fatal("the mapping has another rule for the description now: write the test anew")
	}
	form := url.Values{"name": {name}, "text": {text}, "sample": {"inbound:2"}}
	status, _, body := p.post("/console/mapping/effect", form)
	for _, want := range []string{"1 of 1 recorded messages would be mapped differently", "City bike (new)"} {
		if says := p.says(body); status != http.StatusOK || !strings.Contains(says, want) {
			t.Errorf("%d, %s; want 200 with %q", status, says, want)
		}
	}
	if !strings.Contains(body, `href="/console/quarantine/2"`) {
		t.Error("the message that would be another one cannot be opened")
	}
}

func TestAMessageOfOnesOwnIsMapped(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	form := url.Values{"name": {"erp-in/material"}, "text": {rulesOf(t, "erp-in/material")}, "sample": {"pasted"}, "body": {`{"number":"M-77","description":"Bell","baseUnit":"PCE","version":3}`}}
	if status, _, body := p.post("/console/mapping/preview", form); status != http.StatusOK || !strings.Contains(p.says(body), "material.changed") || !strings.Contains(p.says(body), `"M-77"`) {
		t.Errorf("%d: %s", status, p.says(body))
	}
	form.Set("body", `{"number":`)
	if status, _, body := p.post("/console/mapping/preview", form); status != http.StatusOK || !strings.Contains(p.says(body), "its body is not JSON") {
		t.Errorf("%d: %s", status, p.says(body))
	}
}

// occupied is a workshop in which whoever tries another text than the one in use waits.
type occupied struct {
	shelf

	inUse *mapping.Set
	began chan struct{}
	goOn  chan struct{}
}

func (b occupied) Fit(set *mapping.Set, name string) map[string][]mapping.Finding {
	if set != b.inUse {
		b.began <- struct{}{}
		<-b.goOn
	}
	return b.shelf.Fit(set, name)
}

// TestWhoTriesMappingsHoldsUpNobodyElse: all places to try mappings are taken; a mapping is looked at, and one is published, all the same.
func TestWhoTriesMappingsHoldsUpNobodyElse(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := occupied{inUse: p.pages.Rules.Set(), began: make(chan struct{}), goOn: make(chan struct{})}
	p.pages.Workshop = b
	form := url.Values{"name": {outConfirmation}, "text": {rulesOf(t, outConfirmation) + "# another text\n"}, "sample": {"example:0"}}
	var trying sync.WaitGroup
	for range 2 {
		trying.Go(func() { p.post("/console/mapping/preview", form) })
		<-b.began
	}
	if status, body := p.get("/console/mapping?name=" + outConfirmation); status != http.StatusOK || !strings.Contains(body, "can be used") {
		t.Errorf("looked at: %d", status)
	}
	base, err := b.Base(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	form.Set("base", base.Hash)
	form.Set("reason", "a remark")
	form.Set("key", "k-1")
	if status, _, body := p.post("/console/mapping/publish", form); status != http.StatusSeeOther {
		t.Errorf("published: %d, %s", status, p.says(body))
	}
	close(b.goOn)
	trying.Wait()
}

// TestAnEditionThatDoesNotCompileIsTold at each look, and is compiled at the first alone.
func TestAnEditionThatDoesNotCompileIsTold(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	e, err := edition.Read(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: order.created}\nto: {operation: post}\nfields: {a: scr.a}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	p.tx(func(tx *store.Tx) error {
		if err := edition.Keep(t.Context(), tx, e); err != nil {
			return err
		}
		_, err := edition.Try(t.Context(), tx, e.Hash, edition.By{Actor: "local:anna", Reason: "look"})
		return err
	})
	for range 2 {
		if status, body := p.get("/console/mappings"); status != http.StatusOK || !strings.Contains(p.says(body), "there is no scr here") {
			t.Errorf("%d, %s", status, p.says(body))
		}
	}
}

// TestWithoutAnEditionNobodyGoesBack: there is nothing to go back to, and the page does not offer it.
func TestWithoutAnEditionNobodyGoesBack(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	if _, page := p.get("/console/mappings"); strings.Contains(page, "Go back") || !strings.Contains(page, "Each node takes its own folder of mappings") {
		t.Errorf("the page says %s", p.says(page))
	}
}
