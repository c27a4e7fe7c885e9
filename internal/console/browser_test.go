package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// patience is how long a browser may take for anything: it decides nothing, it ends a broken run.
const patience = 2 * time.Minute

// browser is a tab of a Chromium that the test has for itself.
type browser struct {
	t   *testing.T
	p   *plant
	ctx context.Context //nolint:containedctx // chromedp's tab is its context

	mu  sync.Mutex
	bad []string // what the browser complained of; guarded by mu
}

// browse opens a tab. Without Chromium the test is skipped, in CI it fails.
func browse(t *testing.T, p *plant) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no Chromium is installed: .ci/run prepare installs it")
		}
		t.Skip("no Chromium is installed (deploy/dev/services install chromium-headless-shell)")
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.WindowSize(1360, 900), chromedp.WSURLReadTimeout(patience))
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	b := &browser{t: t, p: p, ctx: start(t, alloc)}
	if err := chromedp.Listen(b.ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	return b
}

// start starts the program. Debian's Chromium ends with a segmentation fault before it has opened its socket once in some hundred starts, which says
// nothing of our pages: it is started again.
func start(t *testing.T, alloc context.Context) context.Context { //nolint:revive // the allocator is chromedp's context
	t.Helper()
	for tries := 1; ; tries++ {
		ctx, cancel := chromedp.NewContext(alloc)
		t.Cleanup(cancel)
		_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
		if err == nil {
			return ctx
		}
		if tries == 3 || !strings.Contains(err.Error(), "chrome failed to start") {
			t.Fatal(err)
		}
		t.Log("again: ", err)
	}
}

// hear keeps what the browser complains of.
func (b *browser) hear(ev any) {
	e, ok := ev.(*log.EventEntryAdded)
	if !ok || e.Entry.Source != log.EntrySourceSecurity && !strings.Contains(e.Entry.Text, "Content Security Policy") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, e.Entry.Text)
}

// run does things in the tab.
func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// ask is a value of the page.
func ask[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// open goes to a page in a theme.
func (b *browser) open(path, theme string) {
	b.t.Helper()
	b.choose(theme)
	b.run(chromedp.Navigate(b.p.url+path), chromedp.WaitReady(chromedp.CSS("#page")))
}

// choose has the server send pages in a theme.
func (b *browser) choose(theme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, network.SetCookie, network.SetCookieParams{Name: "holdfast_theme", Value: theme, URL: b.p.url + "/console/", Path: "/console/"})
	if err != nil {
		b.t.Fatal(err)
	}
}

// dress is a promise that the page has another theme: the stylesheet with which the server sends it in that.
const dress = `fetch(location.href).then(r => r.text()).then(t => new Promise(done => {
	const sent = new DOMParser().parseFromString(t, "text/html"), old = document.querySelector("link[rel=stylesheet]");
	const sheet = sent.querySelector("link[rel=stylesheet]").cloneNode();
	document.documentElement.dataset.theme = sent.documentElement.dataset.theme;
	sheet.onload = () => { old.remove(); for (const a of document.getAnimations()) a.finish(); done() };
	old.after(sheet);
}))`

// await waits until a condition of the page is true.
func (b *browser) await(js string) {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); b.run(chromedp.Sleep(50 * time.Millisecond)) {
		if ask(b, chromedp.Evaluate[bool]("Boolean("+js+")")) {
			return
		}
	}
	b.t.Fatalf("it never came to %s", js)
}

// clean fails if the browser complained of anything that the policy forbids.
func (b *browser) clean(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.bad {
		b.t.Errorf("%s: %s", what, s)
	}
	b.bad = nil
}

// axe is what the accessibility checker of .ci/node_modules finds on the page; "" where it is not installed.
func axe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", ".ci", "node_modules", "axe-core", "axe.min.js"))
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("axe-core is not installed: .ci/run prepare installs it")
	}
	if err != nil {
		t.Skip("axe-core is not installed (cd .ci && npm ci)")
	}
	return string(text)
}

// pagesOnce are the pages of the plant that open has made, each once.
func (p *plant) pagesOnce() []string {
	lane := "/console/lane?" + url.Values{"link": {"erp"}, "lane": {p.orders[0]}, "prove": {"now"}}.Encode()
	return []string{
		"/console/", "/console/messages", "/console/messages/" + p.stuck, "/console/lanes", lane, "/console/links", "/console/quarantine", "/console/quarantine/1",
		"/console/shopfloor", "/console/shopfloor/" + p.orders[0], "/console/audit", "/console/alerts", "/console/conflicts", "/console/keys", "/console/mappings",
		"/console/mapping?name=" + outConfirmation, "/console/jobs", "/console/jobs/" + p.replay, "/console/backups", "/console/reconcile",
	}
}

func TestAxeFindsNothingInAnyTheme(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.compare()
	held := p.doubts()
	b := browse(t, p)
	b.axe(append(p.pagesOnce(), "/console/nothing", "/console/messages?state=doubtful", "/console/messages/"+held)...)
}

// TestAxeFindsNothingOnTheWayIn: the forms by which people sign in, by each way there is, what a wrong password is told, and the account of one who is in.
func TestAxeFindsNothingOnTheWayIn(t *testing.T) {
	p := empty(t, storetest.SQLite(t))
	p.signingIn()
	b := browse(t, p)
	b.axe("/console/sign-in", "/console/floor")
	const password = "four words nobody guesses"
	shown := p.passkeys(password)
	b.axe("/console/sign-in")
	signIn := func(with, wait string) {
		t.Helper()
		b.run(chromedp.Navigate(p.url+"/console/sign-in?back=/console/account"), chromedp.WaitReady(chromedp.CSS("#password")), chromedp.SendKeys(chromedp.CSS("#name"), "anna"),
			chromedp.SendKeys(chromedp.CSS("#password"), with), chromedp.SendKeys(chromedp.CSS("#code"), shown.Recovery[0]+"\r"), chromedp.WaitReady(chromedp.CSS(wait)))
	}
	signIn("not her words", ".fd-message-strip")
	b.check("a refused sign-in")
	signIn(password, "#label")
	b.axe("/console/account", "/console/")
	if _, err := chromedp.Call(b.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("form[action='/console/preferences']").submit()`), chromedp.WaitReady(chromedp.Search(`//button[.="Send it now"]`)))
	b.check("what was typed by somebody who was signed out")
}

// axe has the accessibility checker look at pages in each theme.
func (b *browser) axe(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.open(path, "light")
		b.check(path)
	}
}

// check has it look at the page that is open. A theme is a stylesheet over the same markup: what looks at markup alone is asked once.
func (b *browser) check(what string) {
	b.t.Helper()
	const (
		all    = `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]`
		styles = `["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable", "css-orientation-lock", "avoid-inline-spacing"]`
	)
	if !ask(b, chromedp.Evaluate[bool]("Boolean(window.axe)")) {
		ask(b, chromedp.Evaluate[any](axe(b.t)+"; 0"))
	}
	ask(b, chromedp.Evaluate[any](`for (const d of document.querySelectorAll("details")) d.open = true`))
	for _, theme := range []string{"light", "dark", "black", "white"} {
		b.choose(theme)
		rules := styles
		if theme == "light" {
			rules = all
		}
		found := ask(b, chromedp.Evaluate[[]string](dress+`.then(() => axe.run({runOnly: `+rules+`, resultTypes: ["violations"]})).then(r => r.passes.length < 1 ?
			["axe looked at nothing"] : r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + " " + n.failureSummary)))`, chromedp.EvalAwaitPromise))
		if is := ask(b, chromedp.Evaluate[string](`document.documentElement.dataset.theme`)); is != theme {
			b.t.Fatalf("%s is in %s, want %s", what, is, theme)
		}
		for _, f := range found {
			b.t.Errorf("%s, %s: %s", what, theme, f)
		}
		b.clean(what)
	}
}

func TestAPageFollowsTheStoreAndKeepsWhatIsTyped(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := browse(t, p)
	b.open("/console/messages/"+p.stuck, "light")
	b.await(`window.htmx && document.querySelector(".word").textContent.trim() === "parked"`)
	b.run(chromedp.Click(chromedp.Search(`//summary[.="Give up"]`)), chromedp.SendKeys(chromedp.CSS("#discard-reason"), "half a sen"))
	p.tx(func(tx *store.Tx) error { return p.out.Retry(t.Context(), tx, p.stuck, "by somebody else") })
	b.await(`document.querySelector(".word").textContent.trim() === "queued"`)
	typed, focus := ask(b, chromedp.Value(chromedp.CSS("#discard-reason"))), ask(b, chromedp.Evaluate[string](`document.activeElement.id`))
	if typed != "half a sen" || focus != "discard-reason" {
		t.Errorf("the field holds %q and the focus is at %q; want what was typed, and where", typed, focus)
	}
	b.clean("the message")
}

func TestAPageSaysThatItIsStale(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := browse(t, p)
	b.open("/console/messages/"+p.stuck, "light")
	b.await(`window.htmx && document.getElementById("stale").hidden`)
	read := ask(b, chromedp.Evaluate[string](`document.getElementById("read").textContent`))
	p.stop()
	b.await(`!document.getElementById("stale").hidden && document.getElementById("stale-since").textContent !== ""`)
	if since := ask(b, chromedp.Evaluate[string](`document.getElementById("stale-since").textContent`)); !regexp.MustCompile(`^\d\d:\d\d CES?T$`).MatchString(since) {
		t.Errorf("it is stale since %q, want that by the plant's clock, which is Berlin's", since)
	}
	p.tx(func(tx *store.Tx) error { return p.out.Retry(t.Context(), tx, p.stuck, "while nobody could see it") })
	p.start(strings.TrimPrefix(p.url, "http://"))
	b.await(`document.getElementById("stale").hidden && document.querySelector(".word").textContent.trim() === "queued"`)
	b.await(`document.getElementById("read").textContent !== ` + strconv.Quote(read))
}

// TestTheChartSaysUntilWhenItIs: also once points were added to it behind an open page.
func TestTheChartSaysUntilWhenItIs(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.running()
	b := browse(t, p)
	b.open("/console/", "light")
	const chart = `document.querySelector("[data-figures]").chart`
	const until = `(c => { const l = c.axes[0].label; return typeof l === "function" ? l(c) : l })(` + chart + `)`
	b.await(chart + ` && ` + chart + `.data[0].length && ` + until)
	first := ask(b, chromedp.Evaluate[string](until))
	if !regexp.MustCompile(`^until \d+ \w{3} \d{4}, \d\d:\d\d:\d\d CES?T$`).MatchString(first) {
		t.Errorf("the chart says %q", first)
	}
	b.await(until + ` !== ` + strconv.Quote(first))
}

// deaf lets everybody in, and gives no hints while it is shut.
type deaf struct{ shut *atomic.Bool }

// Who implements console.Gate.
func (d deaf) Who(r *http.Request, action string) (access.Actor, error) {
	if d.shut.Load() && r.URL.Path == console.Root+"events" {
		return access.Actor{}, &problem.Error{Kind: problem.Unavailable, What: "give hints", Why: "the server ends"}
	}
	return console.Local{}.Who(r, action)
}

// TestAPageThatWasNeverConnectedConnects: the server stopped between the page and its hints, and is back.
func TestAPageThatWasNeverConnectedConnects(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	var shut atomic.Bool
	shut.Store(true)
	p.gate.Store(deaf{&shut})
	b := browse(t, p)
	b.open("/console/messages/"+p.stuck, "light")
	b.await(`!document.getElementById("stale").hidden`)
	p.tx(func(tx *store.Tx) error { return p.out.Retry(t.Context(), tx, p.stuck, "while nobody could see it") })
	shut.Store(false)
	b.await(`document.getElementById("stale").hidden && document.querySelector(".word").textContent.trim() === "queued"`)
}

func TestAMessageIsRepairedWithoutAScript(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := browse(t, p)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.open("/console/messages", "light")
	b.run(chromedp.Click(chromedp.CSS(`a[href="/console/messages/`+p.stuck+`"]`)), chromedp.WaitReady(chromedp.CSS("#retry-reason")),
		chromedp.Click(chromedp.Search(`//summary[.="Send now"]`)), chromedp.SendKeys(chromedp.CSS("#retry-reason"), "there is room now\r"),
		chromedp.WaitReady(chromedp.CSS(".fd-message-strip--success")))
	if got := p.detail(p.stuck).LaneState.State; got != "open" {
		t.Errorf("the lane is %s, want open", got)
	}
}

// TestEnterStartsNoJob: with the number and the reason typed in, only the button does.
func TestEnterStartsNoJob(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := browse(t, p)
	b.open("/console/jobs/"+p.replay, "light")
	b.run(chromedp.SendKeys(chromedp.CSS("#expect"), "1"), chromedp.SendKeys(chromedp.CSS("#start-reason"), "the order is there now\r"))
	if got := p.jobOf(p.replay).State; got != "planned" {
		t.Fatalf("Enter made the job %s", got)
	}
	b.run(chromedp.Click(chromedp.Search(`//button[.="Start in Weimar, test"]`)), chromedp.WaitReady(chromedp.CSS(".fd-message-strip--success")))
	if got := p.jobOf(p.replay).State; got != "running" {
		t.Errorf("the button made the job %s, want it to run", got)
	}
	b.clean("the job")
}

// TestScreenshots writes pictures of the pages into the folder that HOLDFAST_SCREENSHOTS names: make screenshots.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("HOLDFAST_SCREENSHOTS")
	if dir == "" {
		return
	}
	p := busy(t)
	p.compare()
	b := browse(t, p)
	for _, path := range p.pagesOnce() {
		for _, theme := range []string{"light", "dark"} {
			b.open(path, theme)
			b.await(`!document.querySelector("[data-figures]") || document.querySelector("canvas")`)
			picture := ask(b, chromedp.FullScreenshot(100))
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s.png", pictureOf(path), theme)), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// pictureOf is the name of a page's picture: that of its list in the singular, for one of it.
func pictureOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/console/"), "?")
	list, one, _ := strings.Cut(name, "/")
	switch {
	case name == "":
		return "overview"
	case one == "":
		return list
	case list == "shopfloor":
		return "order"
	case list == "quarantine":
		return "inbound"
	default:
		return strings.TrimSuffix(list, "s")
	}
}

// busy is a plant of which pictures show something: messages come and go while its figures are measured, then its ERP is away.
func busy(t *testing.T) *plant {
	t.Helper()
	p := empty(t, storetest.SQLite(t))
	p.reason = "the ERP refused it (RU 117): yield 4 PCE exceeds the open quantity of operation 0010"
	p.master()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.pages.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for i := range 12 {
		for range 1 + i%3 {
			p.order()
		}
		time.Sleep(400 * time.Millisecond) // so that the chart has something to show: a picture, and no test
		if i < 9 {
			p.deliver(outbox.Next{}, "1000042")
		}
	}
	p.fill()
	time.Sleep(1500 * time.Millisecond) // as above
	return p
}
