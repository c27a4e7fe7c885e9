package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// standStill has n more orders whose first message was refused, all for the same reason but for a number.
func (p *plant) standStill(n int) {
	p.t.Helper()
	for range n {
		p.order()
	}
	for range n {
		p.parkNext()
	}
}

// parkNext has the ERP refuse what is due.
func (p *plant) parkNext() {
	p.t.Helper()
	p.deliver(outbox.Next{State: outbox.Parked, Reason: "the ERP refused it (M7 021): no material 4711"}, "")
}

const noMaterial = "the ERP refused it … … no material …"

// planned presses the button of a group, and is the job that it plans.
func (p *plant) planned(why string) job.Job {
	p.t.Helper()
	status, to, page := p.post("/console/jobs/plan", url.Values{"failed": {"yes"}, "link": {"erp"}, "why": {why}, "key": {"plan-" + why}})
	if status != http.StatusSeeOther {
		p.t.Fatalf("plan: status %d: %s", status, p.says(page))
	}
	return p.jobOf(strings.TrimPrefix(to, "/console/jobs/"))
}

func (p *plant) jobOf(id string) (b job.Job) {
	p.t.Helper()
	id, _, _ = strings.Cut(id, "?")
	err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) {
		b, err = p.jobs.Get(p.t.Context(), tx, id)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// TestAGroupIsReplayedAsItWasShown: what came after the look is not in it, and is said; nothing goes without the number typed in.
func TestAGroupIsReplayedAsItWasShown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.standStill(5)
		_, page := p.get("/console/messages?state=stuck&link=erp&reason=" + url.QueryEscape(noMaterial))
		if !strings.Contains(page, "Replay this group") {
			t.Errorf("the group offers no replay: %s", p.says(page))
		}
		b := p.planned(noMaterial)
		if b.State != job.Planned || b.Counts.Total != 5 {
			t.Fatalf("the job is %s with %d messages, want planned with 5", b.State, b.Counts.Total)
		}
		p.standStill(3)
		if _, page = p.get("/console/jobs/" + b.ID); !strings.Contains(page, "3 newer not included") || !strings.Contains(page, "Weimar, test") {
			t.Errorf("the page does not say what is not in it, or where it is: %s", p.says(page))
		}
		for _, typed := range []string{"", "8", "five"} {
			status, _, page := p.post("/console/jobs/"+b.ID+"/start", url.Values{"expect": {typed}, "reason": {"the material is there"}})
			if status < 400 || p.jobOf(b.ID).State != job.Planned {
				t.Errorf("typed %q: status %d and %s, want a refusal: %s", typed, status, p.jobOf(b.ID).State, p.says(page))
			}
		}
		status, to, page := p.post("/console/jobs/"+b.ID+"/start", url.Values{"expect": {"5"}, "reason": {"the material is there"}})
		if status != http.StatusSeeOther || p.jobOf(b.ID).State != job.Running {
			t.Fatalf("start: status %d, %s: %s", status, p.jobOf(b.ID).State, p.says(page))
		}
		if _, page = p.get(to); !strings.Contains(page, "The job is started.") {
			t.Errorf("after the start: %s", p.says(page))
		}
		if e := p.record("job.start"); len(e) != 4 || e[0].Outcome != "done" || e[3].Outcome != "refused" || e[0].Object != "job/"+b.ID || e[0].Reason != "the material is there" {
			t.Errorf("the audit record has %+v", e)
		}
	})
}

// TestTheFirstOfAGroupGoesAlone: the ERP refuses it, and the other four are not touched.
func TestTheFirstOfAGroupGoesAlone(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.standStill(5)
	b := p.planned(noMaterial)
	p.post("/console/jobs/"+b.ID+"/start", url.Values{"expect": {"5"}, "reason": {"the material is there"}})
	p.step()
	p.parkNext()
	p.step()
	b = p.jobOf(b.ID)
	if c := b.Counts; b.State != job.Paused || c.Failed != 1 || c.Waiting != 4 {
		t.Errorf("the job is %s with %+v, want paused with 1 failed and 4 not touched", b.State, c)
	}
	if _, page := p.get("/console/jobs/" + b.ID + "?state=failed"); !strings.Contains(page, "no material 4711") || strings.Count(page, "operation.confirmed")+strings.Count(page, "order.created") != 1 {
		t.Errorf("the page does not say why it stopped: %s", p.says(page))
	}
}

func (p *plant) step() {
	p.t.Helper()
	if _, err := p.jobs.Step(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// TestAJobIsSteeredByItsPage: each act by its form, with a reason, and refused where it does not fit.
func TestAJobIsSteeredByItsPage(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.standStill(3)
	b := p.planned(noMaterial)
	for i, tt := range []struct {
		act  string
		form url.Values
		want job.State
		ok   bool
	}{
		{"pause", nil, job.Planned, false},
		{"start", url.Values{"expect": {"3"}}, job.Running, true},
		{"rate", url.Values{"rate": {"7"}}, job.Running, true},
		{"rate", url.Values{"rate": {"fast"}}, job.Running, false},
		{"pause", nil, job.Paused, true},
		{"approve", nil, job.Paused, false},
		{"resume", nil, job.Running, true},
		{"cancel", nil, job.Cancelled, true},
		{"resume", nil, job.Cancelled, false},
		{"explode", nil, job.Cancelled, false},
	} {
		form := url.Values{"reason": {"as agreed with the shift"}, "key": {strconv.Itoa(i)}}
		for k, v := range tt.form {
			form[k] = v
		}
		status, _, page := p.post("/console/jobs/"+b.ID+"/"+tt.act, form)
		if got := p.jobOf(b.ID); (status == http.StatusSeeOther) != tt.ok || got.State != tt.want {
			t.Errorf("%s: status %d and %s, want %s: %s", tt.act, status, got.State, tt.want, p.says(page))
		}
	}
	if got := p.jobOf(b.ID).Rate; got != 7 {
		t.Errorf("the rate is %d, want 7", got)
	}
	status, _, _ := p.post("/console/jobs/"+b.ID+"/cancel", url.Values{"reason": {""}})
	if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity && status != http.StatusConflict {
		t.Errorf("without a reason: status %d", status)
	}
}

// TestAReplayOverTheLimitWaitsForAnother: who asked for it cannot approve it.
func TestAReplayOverTheLimitWaitsForAnother(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.standStill(3)
	p.jobs = job.New(p.db, p.out, job.Config{ReplayOver: 2}, nil)
	p.pages.Jobs = p.jobs
	b := p.planned(noMaterial)
	p.post("/console/jobs/"+b.ID+"/start", url.Values{"expect": {"3"}, "reason": {"the material is there"}})
	if got := p.jobOf(b.ID).State; got != job.Approval {
		t.Fatalf("the job is %s, want it to wait for approval", got)
	}
	status, _, page := p.post("/console/jobs/"+b.ID+"/approve", url.Values{"reason": {"it is my own"}})
	if status != http.StatusForbidden || p.jobOf(b.ID).State != job.Approval {
		t.Errorf("its author approves it: status %d, %s: %s", status, p.jobOf(b.ID).State, p.says(page))
	}
}

// TestAJobOfManyIsShownByPages: 250 messages on three pages.
func TestAJobOfManyIsShownByPages(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.standStill(250)
	b := p.planned(noMaterial)
	seen := map[string]bool{}
	pages := 0
	for path := "/console/jobs/" + b.ID; path != ""; pages++ {
		_, page := p.get(path)
		for _, wrong := range unsound(t, page) {
			t.Error(wrong)
		}
		for _, n := range nodes(t, page) {
			if id, ok := strings.CutPrefix(attr(n, "href"), "/console/messages/"); ok && n.Data == "a" {
				seen[id] = true
			}
		}
		path = after(t, page)
	}
	if got := fmt.Sprint(len(seen), " on ", pages); got != "250 on 3" {
		t.Errorf("messages on pages: %s, want 250 on 3", got)
	}
}

// TestButtonsFollowTheState: once a job has paused behind an open page, that page has the buttons of a paused job, and what was typed for an act that
// still fits stays.
func TestButtonsFollowTheState(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	job := p.planned("the ERP refused it: yield … PCE exceeds what is open <b>now</b>")
	p.post("/console/jobs/"+job.ID+"/start", url.Values{"expect": {"1"}, "reason": {"there is room now"}})
	b := browse(t, p)
	acts := func() string {
		return ask(b, chromedp.Evaluate[string](`Array.from(document.querySelectorAll("details.act > summary, details.act button:last-of-type")).map(e => e.textContent).join(", ")`))
	}
	b.open("/console/jobs/"+job.ID, "light")
	b.await(`window.htmx && document.querySelector(".word").textContent.trim() === "running"`)
	b.run(chromedp.Click(chromedp.Search(`//summary[.="Cancel"]`)), chromedp.SendKeys(chromedp.CSS("#cancel-reason"), "half a sen"))
	p.tx(func(tx *store.Tx) error {
		_, err := p.jobs.Pause(t.Context(), tx, job.ID, "ben", "to look at it")
		return err
	})
	b.await(`document.querySelector(".word").textContent.trim() === "paused"`)
	if got, want := acts(), "Let it go on, Let it go on, Change the rate, Change, Cancel, Give up the rest"; got != want {
		t.Errorf("the acts of a paused job are %q, want %q", got, want)
	}
	if typed := ask(b, chromedp.Value(chromedp.CSS("#cancel-reason"))); typed != "half a sen" {
		t.Errorf("the field holds %q, want what was typed", typed)
	}
	b.open("/console/links", "light")
	b.await(`window.htmx && document.querySelector("#act-pause-erp")`)
	p.tx(func(tx *store.Tx) error { return p.out.PauseLink(t.Context(), tx, "erp", "by the command") })
	b.await(`document.querySelector(".word").textContent.trim() === "paused"`)
	if got, want := acts(), "Let it go on, Let it go on, Change the rate, Change"; got != want {
		t.Errorf("the acts of a paused link are %q, want %q", got, want)
	}
}

// TestAJobNamesOrdersAsOtherListsDo: by their numbers, not by the lane.
func TestAJobNamesOrdersAsOtherListsDo(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	_, page := p.get("/console/jobs/" + p.replay)
	if strings.Contains(page, ">"+p.orders[0]+"<") || !regexp.MustCompile(`lane=`+p.orders[0]+`">order [^<]+</a>`).MatchString(page) {
		t.Errorf("its messages are named by their lanes: %s", p.says(page))
	}
}
