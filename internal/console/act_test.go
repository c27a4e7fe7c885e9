package console_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/console"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestAFormSentTwiceActsOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		f := form("key", "0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a", "reason", "the ERP has room now")
		for range 2 {
			if status, to, body := p.post("/console/messages/"+p.stuck+"/retry", f); status != http.StatusSeeOther || to != "/console/messages/"+p.stuck+"?did=retry" {
				t.Fatalf("status %d to %q: %s", status, to, p.says(body))
			}
		}
		if got := p.detail(p.stuck).LaneState.State; got != outbox.Open {
			t.Errorf("the lane is %s, want open", got)
		}
		list := p.record(access.MsgRetry)
		if len(list) != 1 || list[0].Reason != "the ERP has room now" || list[0].Object != "message/"+p.stuck || list[0].Before == nil || list[0].After == nil {
			t.Errorf("the record has %+v, want one entry with the reason and what changed", list)
		}
		if _, page := p.get("/console/messages/" + p.stuck + "?did=retry"); !strings.Contains(page, "next to be sent") || !strings.Contains(page, "the ERP has room now") {
			t.Error("the page says neither what was done nor by whom and why")
		}
	})
}

func TestAFormThatIsRefusedIsShownAgain(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	lane := form("link", "erp", "lane", p.orders[0], "reason", "a reason", "from", "x", "to", "y")
	tests := []struct {
		name, path string
		form       url.Values
		header     []string
		want       int
		says       string
	}{
		{"without a reason", "/console/messages/" + p.stuck + "/discard", form("cause", "other", "reason", " "), nil, http.StatusUnprocessableEntity, "no reason is given"},
		{"a message that is not there", "/console/messages/none/retry", form("reason", "a reason"), nil, http.StatusNotFound, "never owed"},
		{"an act that is none", "/console/messages/" + p.stuck + "/eat", form("reason", "a reason"), nil, http.StatusNotFound, "no such act"},
		{"of another site", "/console/links/erp/pause", form("reason", "a reason"), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "another site"},
		{"by another name of this machine", "/console/links/erp/pause", form("reason", "a reason"), []string{"Origin", "http://evil.example"}, http.StatusForbidden, "another site"},
		{"a link that is not there", "/console/links/none/pause", form("reason", "a reason"), nil, http.StatusNotFound, "no such link"},
		{"numbers that are none", "/console/lane/replay", lane, nil, http.StatusUnprocessableEntity, "must be numbers"},
		{"a theme that is none", "/console/preferences", form("theme", "pink"), nil, http.StatusUnprocessableEntity, "no such theme"},
		{"too much confirmed", "/console/shopfloor/" + p.orders[0] + "/confirm", form("key", "0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5b", "operation", "0010", "yield", "4711"), nil, http.StatusConflict, `value="4711"`},
		{"a quantity that is none", "/console/shopfloor/" + p.orders[0] + "/confirm", form("key", "0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5c", "operation", "0010", "yield", "four"), nil, http.StatusUnprocessableEntity, "not a number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, _, body := p.post(tt.path, tt.form, tt.header...)
			if status != tt.want || !strings.Contains(body, tt.says) {
				t.Errorf("status %d, want %d and %q in: %s", status, tt.want, tt.says, p.says(body))
			}
			for _, wrong := range unsound(t, body) {
				t.Error(wrong)
			}
		})
	}
	if got := p.detail(p.stuck).LaneState.State; got != outbox.Parked {
		t.Errorf("the lane is %s, want parked: nothing was done", got)
	}
}

// TestTheRateOfALinkIsSet: the page says the rate that a person set in place of the configuration's, and the record who and why.
func TestTheRateOfALinkIsSet(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	if _, page := p.get("/console/links"); !strings.Contains(page, "<dd>50 a second</dd>") {
		t.Errorf("the page lacks the configuration's rate: %s", p.says(page))
	}
	if status, _, page := p.post("/console/links/erp/rate", form("rate", "many", "reason", "month end")); status != http.StatusUnprocessableEntity {
		t.Errorf("no number: status %d: %s", status, p.says(page))
	}
	if status, to, page := p.post("/console/links/erp/rate", form("rate", "5", "reason", "month end")); status != http.StatusSeeOther || to != "/console/links?did=rate-link" {
		t.Fatalf("status %d to %q: %s", status, to, p.says(page))
	}
	if _, page := p.get("/console/links?did=rate-link"); !strings.Contains(page, `5 a second <span class="note">set by a person</span>`) || !strings.Contains(page, "at another rate now") {
		t.Errorf("the page does not say what was done: %s", p.says(page))
	}
	if list := p.record(access.LinkRate); len(list) != 2 || list[1].Outcome != "refused" || list[0].Reason != "month end" || list[0].Object != "link/erp" || !strings.Contains(string(list[0].After), `"rate":5`) {
		t.Errorf("the record has %+v", list)
	}
}

func TestACorrectionIsTriedThenKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		before := p.detail(p.stuck)
		body := strings.Replace(string(before.Body), `"yield":"4"`, `"yield":"3"`, 1)
		f := form("key", "0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a", "reason", "one was scrap", "version", before.Digest, "body", body)
		p.refusal.Store(&problem.Error{Kind: problem.Invalid, What: "amend", Why: "yieldQuantity must not be 3"})
		if status, _, page := p.post("/console/messages/"+p.stuck+"/draft", f); status != http.StatusOK || !strings.Contains(page, "cannot be sent") || !strings.Contains(page, "must not be 3") {
			t.Errorf("tried: status %d: %s", status, p.says(page))
		}
		if status, _, page := p.post("/console/messages/"+p.stuck+"/amend", f); status != http.StatusUnprocessableEntity || !strings.Contains(page, "must not be 3") {
			t.Errorf("refused: status %d: %s", status, p.says(page))
		}
		p.refusal.Store(nil)
		if got := p.detail(p.stuck); got.Digest != before.Digest {
			t.Fatal("a try or a refusal changed the message")
		}
		if status, _, page := p.post("/console/messages/"+p.stuck+"/amend", f); status != http.StatusSeeOther {
			t.Fatalf("kept: status %d: %s", status, p.says(page))
		}
		after := p.detail(p.stuck)
		if after.Digest == before.Digest || after.LaneState.State != outbox.Open {
			t.Errorf("digest %s, lane %s: want another digest and an open lane", after.Digest, after.LaneState.State)
		}
		_, page := p.get("/console/messages/" + p.stuck)
		for _, want := range []string{"Version 1", "Version 2, the present one", "one was scrap", before.Digest, `<span class="sign">− </span>`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
	})
}

// asABrowserSends is a body as the field of a correction has it and a browser sends it: with one value a line, each of which ends with CR LF.
func asABrowserSends(t *testing.T, body string) string {
	t.Helper()
	var lines bytes.Buffer
	if err := json.Indent(&lines, []byte(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(lines.String(), "\n", "\r\n")
}

func TestTheSecondOfTwoCorrectionsSeesBothTexts(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	before := p.detail(p.stuck)
	first := strings.Replace(string(before.Body), `"yield":"4"`, `"yield":"3"`, 1)
	second := asABrowserSends(t, strings.Replace(string(before.Body), `"yield":"4"`, `"yield":"1"`, 1))
	p.post("/console/messages/"+p.stuck+"/amend", form("reason", "the first", "version", before.Digest, "body", first))
	status, _, page := p.post("/console/messages/"+p.stuck+"/amend", form("reason", "the second", "version", before.Digest, "body", second))
	if status != http.StatusConflict {
		t.Errorf("status %d, want %d", status, http.StatusConflict)
	}
	now := p.detail(p.stuck)
	for _, want := range []string{"somebody else has changed it", "Your text against what it is now", `&#34;yield&#34;: &#34;3&#34;`, `value="` + now.Digest + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if !strings.Contains(string(now.Body), `"yield":"3"`) {
		t.Errorf("the body is %s, want the first correction", now.Body)
	}
	_, against, _ := strings.Cut(page, "Your text against what it is now")
	against, _, _ = strings.Cut(against, "</pre>")
	if changed := strings.Count(against, `<span class="sign">`); changed != 2 {
		t.Errorf("%d lines differ, want the quantity of each: %s", changed, against)
	}
}

// TestACutCorrectionIsToldByItsLine: tried or kept, and the form stays open with it.
func TestACutCorrectionIsToldByItsLine(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	was := p.detail(p.stuck)
	for _, act := range []string{"draft", "amend"} {
		_, _, page := p.post("/console/messages/"+p.stuck+"/"+act, form("reason", "a try", "version", was.Digest, "body", "{\n  \"yield\":"))
		if says := p.says(page); !strings.Contains(says, "line 2, column") || !strings.Contains(page, `id="act-amend" class="act wide" hx-morph-skip open`) {
			t.Errorf("%s: it does not say where, or is shut: %s", act, says)
		}
	}
}

func TestALaneIsWholeUntilItIsTamperedWith(t *testing.T) {
	tests := []struct {
		name, sql, says string
	}{
		{"an attribute", `UPDATE outbox_messages SET kind = 'order.started' WHERE id = 'STUCK'`, "its digest is another"},
		{"the first", `DELETE FROM outbox_delivered WHERE number = 1`, "Number 1: it is missing"},
		{"the last", `DELETE FROM outbox_messages`, "it is missing: the lane ends at number"},
		{"all of them", `DELETE FROM outbox_delivered`, "it is missing"},
		{"signatures", `UPDATE outbox_delivered SET signature = NULL`, "it is not signed"},
		{"a number passed over", `UPDATE outbox_lanes SET head = head + 1 WHERE state = 'parked'`, "its lane was moved past it"},
		{"the lane's end", `UPDATE outbox_lanes SET next_number = next_number + 1`, "it is missing: the lane ends at number"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		lane := "/console/lane?" + url.Values{"link": {"erp"}, "lane": {p.orders[0]}, "prove": {"now"}}.Encode()
		if _, page := p.get(lane); !strings.Contains(page, "<strong>whole</strong>") || !strings.Contains(page, "signed") {
			t.Errorf("a lane that nobody touched: %s", p.says(page))
		}
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := open(t, storetest.SQLite(t))
			p.tx(func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), strings.Replace(tt.sql, "STUCK", p.stuck, 1))
				return err
			})
			lane := "/console/lane?" + url.Values{"link": {"erp"}, "lane": {p.orders[0]}, "prove": {"now"}}.Encode()
			if _, page := p.get(lane); !strings.Contains(page, "<strong>broken</strong>") || !strings.Contains(page, tt.says) {
				t.Errorf("the lane does not say %q: %s", tt.says, p.says(page))
			}
		})
	}
}

// TestADeliveryThatThePlantHasNotWrittenIsTold on the pages of its message and of its lane: in a plant of which each receipt has a MAC.
func TestADeliveryThatThePlantHasNotWrittenIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
		if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
			t.Fatal(err)
		}
		begin := func(context.Context, *store.Tx) (bool, bool, error) { return true, false, nil }
		rest, err := seal.OpenRest(t.Context(), db, seal.NewLocal(safe, seal.NodeURI("urn:plant:1000", "a"), time.Hour, time.Now), seal.RestConfig{Begin: begin}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		db.SealWith(rest)
		p.tx(func(tx *store.Tx) error {
			return audit.BeginMACs(t.Context(), tx, "node:a", func(context.Context, *store.Tx) (bool, error) { return false, nil })
		})
		const says = "the plant has not written that"
		lane := "/console/lane?" + url.Values{"link": {"erp"}, "lane": {p.orders[0]}, "prove": {"now"}}.Encode()
		if _, page := p.get(lane); !strings.Contains(page, "<strong>broken</strong>") || !strings.Contains(page, says) {
			t.Errorf("the lane: %s", p.says(page))
		}
		var id string
		p.tx(func(tx *store.Tx) error {
			return tx.Get(t.Context(), &id, `SELECT id FROM outbox_delivered WHERE lane = ? AND number = 1`, p.orders[0])
		})
		if _, page := p.get("/console/messages/" + id); !strings.Contains(page, says) {
			t.Errorf("the message: %s", p.says(page))
		}
	})
}

func TestAListFindsWhatItsWordsMean(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		var number string
		err := db.View(t.Context(), func(tx *store.Tx) error {
			o, err := p.mes.Order(t.Context(), tx, p.orders[0])
			number = o.Number
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		document := ""
		for _, line := range p.csv("state=delivered") {
			if line[5] == "order.started" {
				document = line[7]
			}
		}
		tests := []struct {
			query string
			want  int
		}{
			{"state=all", 5},
			{"state=delivered", 3},
			{"state=owed", 2},
			{"state=stuck", 1},
			{"state=stuck&q=exceeds", 1},
			{"state=stuck&q=what+nobody+says", 0},
			{"state=stuck&reason=" + url.QueryEscape(outbox.Alike(p.detail(p.stuck).LaneState.Reason)), 1},
			{"state=all&q=" + number, 4},
			{"state=all&q=" + p.stuck, 1},
			{"state=all&q=" + p.detail(p.stuck).Event, 1},
			{"state=all&q=BIKE", 5},
			{"state=all&q=nothing", 0},
			{"state=all&kind=order.started", 1},
			{"state=all&link=none", 0},
			{"state=all&from=2020-01-01&to=2020-01-02", 0},
			{"state=stuck&from=2020-01-01&to=2020-01-02", 0},
			{"state=stuck&q=exceeds&from=2020-01-01&to=2020-01-02", 0},
			{"state=stuck&from=2020-01-01", 1},
			{"state=stuck&to=2020-01-01", 0},
			{"state=all&q=BIKE+AND+" + number, 4},
			{"state=all&q=BIKE+NOT+" + number, 1},
			{"state=all&q=NOT+BIKE", 0},
			{"state=all&q=NOT+nothing", 5},
			{"state=all&q=" + number + "+NOT+" + p.stuck, 3},
			{"state=stuck&q=exceeds+AND+refused", 1},
			{"state=stuck&q=exceeds+NOT+refused", 0},
			{"state=stuck&q=exceeds+NOT+locked", 1},
			{"state=stuck&q=exceeds+AND+" + number, 1},
			{"state=stuck&q=exceeds+NOT+" + p.stuck, 0},
		}
		for _, tt := range tests {
			rows := p.csv(tt.query)
			if len(rows) != tt.want {
				t.Errorf("%s: %d rows, want %d", tt.query, len(rows), tt.want)
			}
			var ids, want []string
			if err := p.pages.Listed(t.Context(), p.url+"/console/messages?"+tt.query, func(id string) error { ids = append(ids, id); return nil }); err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				want = append(want, row[0])
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%s: the address lists %v, the file %v", tt.query, ids, want)
			}
			if _, page := p.get("/console/messages?" + tt.query); strings.Count(page, `href="/console/messages/`) < len(rows) {
				t.Errorf("%s: the page shows fewer than the %d rows of the file", tt.query, len(rows))
			}
		}
		if document == "" {
			t.Log("no message brought a document that it created")
		}
	})
}

// TestTheConsoleKeepsApartWhoCorrectsAndWhoReleases: what was corrected by another way has the same name here, and the other way round.
func TestTheConsoleKeepsApartWhoCorrectsAndWhoReleases(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.pages.Doer = access.New(p.db).Under(policy)
	all := access.Rights{Own: []access.Grant{{May: []string{"*"}}}}
	p.gate.Store(console.Gate(allowed{Name: "user:anna", Rights: all}))
	elsewhere := func(who, action string) error {
		act := access.Act{Action: action, Object: access.InboundObject(1), Reason: "checked", Actor: access.Actor{Name: who, Rights: all}}
		_, err := p.pages.Doer.Do(t.Context(), act, func(context.Context, *store.Tx) (access.Result, error) { return access.Result{}, nil })
		return err
	}
	if err := elsewhere("user:anna", access.QuarantineAmend); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := p.post("/console/quarantine/1/replay", form("reason", "checked")); status != http.StatusForbidden {
		t.Errorf("who has corrected it by the API releases it here: %d", status)
	}
	_, page := p.get("/console/quarantine/1")
	version := regexp.MustCompile(`name="version" value="([^"]*)"`).FindStringSubmatch(page)
	if version == nil {
		t.Fatal("the page has no form to correct the message")
	}
	p.gate.Store(console.Gate(allowed{Name: "user:ben", Rights: all}))
	if status, _, said := p.post("/console/quarantine/1/amend", form("reason", "counted", "version", version[1], "body", `{"a":1}`)); status != http.StatusSeeOther {
		t.Fatalf("corrected: %d %s", status, p.says(said))
	}
	if err := elsewhere("user:ben", access.QuarantineReplay); problem.KindOf(err) != problem.Denied {
		t.Errorf("who has corrected it here releases it by the API: %v", err)
	}
	if err := elsewhere("user:anna", access.QuarantineReplay); err != nil {
		t.Errorf("somebody else does not release it: %v", err)
	}
}

// TestADownloadIsOnRecord has the entry of a list that is taken out: by whom, which, how many.
func TestADownloadIsOnRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		rows := p.csv("state=all&kind=order.started&after=")
		list := p.record(access.MsgExport)
		if len(list) != 1 || list[0].Object != "messages" || list[0].Actor == "" {
			t.Fatalf("the record has %+v, want one entry", list)
		}
		got := map[string]any{}
		if err := json.Unmarshal(list[0].After, &got); err != nil {
			t.Fatal(err)
		}
		if want := map[string]any{"messages": float64(len(rows)), "filter": "/console/messages?kind=order.started&state=all"}; len(rows) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("the record has %v, want %v", got, want)
		}
		if p.get("/console/messages?state=all"); len(p.record(access.MsgExport)) != 1 {
			t.Error("a look at the list is recorded as a download")
		}
	})
}

// csv reads the list of messages as a file, without its head.
func (p *plant) csv(query string) [][]string {
	p.t.Helper()
	_, text := p.get("/console/messages.csv?" + query)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 {
		p.t.Fatalf("%v: %q", err, text)
	}
	return rows[1:]
}

func TestTheShopFloorWorksWhileTheERPIsAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		order := p.orders[1]
		steps := []struct {
			act  string
			form url.Values
		}{
			{"start", form("key", "0198c2f4-7d7f-7c3a-9a59-000000000001")},
			{"confirm", form("key", "0198c2f4-7d7f-7c3a-9a59-000000000002", "operation", "0010", "yield", "2,5")},
			{"confirm", form("key", "0198c2f4-7d7f-7c3a-9a59-000000000002", "operation", "0010", "yield", "2,5")},
			{"receive", form("key", "0198c2f4-7d7f-7c3a-9a59-000000000003", "quantity", "2.5")},
		}
		for _, s := range steps {
			if status, _, body := p.post("/console/shopfloor/"+order+"/"+s.act, s.form); status != http.StatusSeeOther {
				t.Fatalf("%s: status %d: %s", s.act, status, p.says(body))
			}
		}
		if all := p.record(access.ConfirmationCreate); all[0].Object != "confirmation/0198c2f4-7d7f-7c3a-9a59-000000000002" {
			t.Errorf("the record has the confirmation as %s, and not as the API calls it", all[0].Object)
		}
		if all := p.record(access.MovementCreate); all[0].Object != "movement/0198c2f4-7d7f-7c3a-9a59-000000000003" {
			t.Errorf("the record has the receipt of goods as %s, and not as the API calls it", all[0].Object)
		}
		_, page := p.get("/console/shopfloor/" + order)
		for _, want := range []string{"ERP is away: your work is kept", "2.5 of 12 PCE", "1 delivered, 3 kept"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		if status, to, _ := p.scan("PL1000-1"); status != http.StatusSeeOther || !strings.HasPrefix(to, "/console/shopfloor/") {
			t.Logf("scan: %d %s", status, to)
		}
	})
}

// scan types an order's number where a scanner would.
func (p *plant) scan(number string) (status int, to, body string) {
	p.t.Helper()
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := stay.Get(p.url + "/console/shopfloor?scan=" + url.QueryEscape(number))
	if err != nil {
		p.t.Fatal(err)
	}
	to = res.Header.Get("Location")
	status, body = p.read(res)
	return status, to, body
}

// closed lets nobody in, and remembers what was asked for.
type closed struct{ asked map[string]string }

// Who implements console.Gate.
func (g closed) Who(r *http.Request, action string) (access.Actor, error) {
	g.asked[r.Method+" "+r.URL.Path] = action
	return access.Actor{}, &problem.Error{Kind: problem.Denied, What: "open the console", Why: "the door is closed", Hint: "knock"}
}

func TestNobodyIsServedWhomTheGateHasNotLetIn(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	paths := append(p.paths(), "/console/messages.csv", "/console/figures.json", "/console/events", "/console/messages/"+p.stuck+"/body")
	gate := closed{map[string]string{}}
	p.gate.Store(gate)
	for _, path := range paths {
		status, body := p.get(path)
		if path != "/console/nothing" && (status != http.StatusForbidden || !strings.Contains(body, "the door is closed") || strings.Contains(body, "City bike")) {
			t.Errorf("%s: status %d: %s", path, status, p.says(body))
		}
		if at, _, _ := strings.Cut(path, "?"); path != "/console/nothing" && gate.asked["GET "+at] == "" {
			t.Errorf("%s is shown to whoever is let in: it names no action", path)
		}
	}
	for _, path := range []string{
		"/console/messages/" + p.stuck + "/retry", "/console/lane/pause", "/console/links/erp/pause", "/console/quarantine/1/replay", "/console/inbound-gaps/skip",
		"/console/shopfloor/" + p.orders[0] + "/start", "/console/conflicts/dismiss", "/console/preferences",
	} {
		if status, _, _ := p.post(path, form("reason", "a reason", "link", "erp", "lane", p.orders[0])); status != http.StatusForbidden {
			t.Errorf("%s: status %d, want %d", path, status, http.StatusForbidden)
		}
	}
	if got := p.detail(p.stuck).LaneState; got.State != outbox.Parked || got.Paused {
		t.Errorf("the lane is %s, paused %t: somebody acted", got.State, got.Paused)
	}
}

// as is a gate that lets in somebody with these rights, as far as a policy permits the page.
type as struct {
	policy *access.Policy
	rights access.Rights
	factor time.Time // when they showed a second one
}

// Who implements console.Gate.
func (g as) Who(_ *http.Request, action string) (access.Actor, error) {
	by := access.Actor{Name: "user:anna", Rights: g.rights, Factor: g.factor}
	if action != "" && !g.policy.MayOnSome(g.rights, action) {
		return by, access.NotPermitted(by, action, "")
	}
	return by, nil
}

// TestAnActNeedsItsPageAndItsLink: who may act on one link does so on that one alone, and an act shows nobody a page that they may not read.
func TestAnActNeedsItsPageAndItsLink(t *testing.T) {
	policy, err := access.NewPolicy("1000", access.DefaultRoles(), nil)
	if err != nil {
		t.Fatal(err)
	}
	see := access.Grant{May: []string{access.ReadStatus}}
	tests := []struct {
		name, path string
		own        []access.Grant
		want       int
		never      string
	}{
		{"on the link", "/console/links/erp/pause", []access.Grant{see, {May: []string{access.Operate}, Links: []string{"erp"}}}, http.StatusSeeOther, ""},
		{"on another link", "/console/links/erp/pause", []access.Grant{see, {May: []string{access.Operate}, Links: []string{"hub"}}}, http.StatusForbidden, ""},
		{"without the page", "/console/links/erp/pause", []access.Grant{{May: []string{access.Operate}}}, http.StatusForbidden, "erp-out"},
		{"a message that may not be read", "/console/messages/STUCK/retry", []access.Grant{{May: []string{access.RepairOut}}}, http.StatusForbidden, "City bike"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := open(t, storetest.SQLite(t))
			p.pages.Doer = access.New(p.db).Under(policy)
			p.gate.Store(as{policy: policy, rights: access.Rights{Own: tt.own}})
			status, body, _ := p.post(strings.Replace(tt.path, "STUCK", p.stuck, 1), form("reason", "a reason"))
			if status != tt.want || tt.never != "" && strings.Contains(body, tt.never) {
				t.Errorf("got %d, want %d: %s", status, tt.want, p.says(body))
			}
		})
	}
}

// TestThePagesOfferedAreThoseThatMayBeOpened: and where nobody is known, none is.
func TestThePagesOfferedAreThoseThatMayBeOpened(t *testing.T) {
	policy, err := access.NewPolicy("1000", access.DefaultRoles(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, storetest.SQLite(t))
	p.pages.Doer = access.New(p.db).Under(policy)
	for _, tt := range []struct {
		name, path, want string
		own              []access.Grant
	}{
		{"who sees how the plant stands", "/console/", "Overview Links Mappings Backups", []access.Grant{{May: []string{access.ReadStatus}}}},
		{"who works on the floor", "/console/shopfloor", "Shop floor Conflicts", []access.Grant{{May: []string{access.ReadPlant}}}},
		{"who may nothing", "/console/", "", nil},
	} {
		p.gate.Store(as{policy: policy, rights: access.Rights{Own: tt.own}})
		_, page := p.get(tt.path)
		var got []string
		for _, n := range nodes(t, page) {
			if n.Data == "a" && n.Parent.Data == "li" && n.Parent.Parent.Parent.Data == "nav" && attr(n.Parent.Parent.Parent, "aria-label") == "Pages" {
				got = append(got, text(n))
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s is offered %v, want %s", tt.name, got, tt.want)
		}
	}
}
