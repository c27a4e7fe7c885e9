package odata

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
)

// odd is a service that answers as a test says, save for $metadata and tokens.
func odd(t *testing.T, metadata string, answer http.HandlerFunc, change ...func(*Config)) *Link {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/$metadata"):
			_, _ = io.WriteString(rw, metadata) // the client has left if it fails
		case r.Header.Get("X-Csrf-Token") == "Fetch":
			rw.Header().Set("X-Csrf-Token", "t")
		default:
			rw.Header().Set("Content-Type", "application/json")
			answer(rw, r)
		}
	}))
	t.Cleanup(srv.Close)
	c := Config{BaseURL: srv.URL, Services: map[string]Service{"conf": {Path: "/srv"}}, Timeout: patient, Writes: map[string]Write{"conf/Orders": {ID: "Reference"}}}
	for _, f := range change {
		f(&c)
	}
	return open(t, c)
}

// smallV2 and smallV4 are orders with steps, and an operation that gives nothing.
const (
	smallV2 = `<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">
<edmx:DataServices m:DataServiceVersion="2.0"><Schema Namespace="S" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">
<EntityType Name="Order"><Key><PropertyRef Name="ID"/></Key><Property Name="ID" Type="Edm.String" Nullable="false" MaxLength="12"/>
<Property Name="Reference" Type="Edm.String" MaxLength="40"/><NavigationProperty Name="Steps" Relationship="S.Has" FromRole="A" ToRole="B"/></EntityType>
<EntityType Name="Step"><Key><PropertyRef Name="No"/></Key><Property Name="No" Type="Edm.String" Nullable="false" MaxLength="4"/></EntityType>
<Association Name="Has"><End Type="S.Order" Multiplicity="1" Role="A"/><End Type="S.Step" Multiplicity="*" Role="B"/></Association>
<EntityContainer Name="C" m:IsDefaultEntityContainer="true"><EntitySet Name="Orders" EntityType="S.Order"/><EntitySet Name="Steps" EntityType="S.Step"/>
<AssociationSet Name="HasSet" Association="S.Has"><End EntitySet="Orders" Role="A"/><End EntitySet="Steps" Role="B"/></AssociationSet>
<FunctionImport Name="Close" m:HttpMethod="POST"><Parameter Name="ID" Type="Edm.String" Mode="In" MaxLength="12"/></FunctionImport>
</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`
	smallV4 = `<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices><Schema Namespace="S" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="Order"><Key><PropertyRef Name="ID"/></Key><Property Name="ID" Type="Edm.String" Nullable="false" MaxLength="12"/>
<Property Name="Reference" Type="Edm.String" MaxLength="40"/><NavigationProperty Name="Steps" Type="Collection(S.Step)"/></EntityType>
<EntityType Name="Step"><Key><PropertyRef Name="No"/></Key><Property Name="No" Type="Edm.String" Nullable="false" MaxLength="4"/></EntityType>
<EntityContainer Name="C"><EntitySet Name="Orders" EntityType="S.Order"><NavigationPropertyBinding Path="Steps" Target="Steps"/></EntitySet><EntitySet Name="Steps" EntityType="S.Step"/></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>`
)

func (l *Link) post(t *testing.T, ids ...string) []message.Outcome {
	t.Helper()
	var ds []message.Delivery
	for _, id := range ids {
		d := capDelivery(t, id, "", "")
		d.Doc.Target, d.Doc.Body = "conf/Orders", []byte(`{}`)
		ds = append(ds, d)
	}
	return l.Deliver(t.Context(), ds)
}

// TestAnOrderIsNotReadInPart: a service may page what is expanded as well. An order without its last steps would be another order.
func TestAnOrderIsNotReadInPart(t *testing.T) {
	pages := map[string][3]string{
		smallV2: {
			`{"d":{"results":[{"ID":"1","Steps":{"results":[{"No":"1"}],"__next":"Orders('1')/Steps?$skiptoken=1"}}]}}`,
			`{"d":{"results":[{"No":"2"}],"__next":"http://127.0.0.1/srv/Orders('1')/Steps?$skiptoken=2"}}`, `{"d":{"results":[{"No":"3"}]}}`,
		},
		smallV4: {
			`{"value":[{"ID":"1","Steps":[{"No":"1"}],"Steps@odata.nextLink":"Orders('1')/Steps?$skiptoken=1"}]}`,
			`{"value":[{"No":"2"}],"@odata.nextLink":"Orders('1')/Steps?$skiptoken=2"}`, `{"value":[{"No":"3"}]}`,
		},
	}
	for metadata, p := range pages {
		broken := false
		l := odd(t, metadata, func(rw http.ResponseWriter, r *http.Request) {
			n := 0
			_, _ = fmt.Sscan(r.URL.Query().Get("$skiptoken"), &n) // the first has none
			if n == 2 && broken {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(rw, strings.Replace(p[n], "127.0.0.1", r.Host, 1)) // as above
		})
		c, err := l.Service("conf")
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		read := func() error {
			_, err := c.All(t.Context(), Query{Set: "Orders", Expand: []string{"Steps"}}, func(e Entity) error {
				list, _ := e.Values["Steps"].([]Entity)
				for _, s := range list {
					steps = append(steps, str(s.Values["No"]))
				}
				return nil
			})
			return err
		}
		if err := read(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"1", "2", "3"}, steps); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if broken = true; read() == nil {
			t.Error("an order was read although one of its pages was not")
		}
	}
}

// TestAGoodAnswerThatProvesNothingIsUnknown, whatever the target gives back.
func TestAGoodAnswerThatProvesNothingIsUnknown(t *testing.T) {
	tests := []struct {
		name, target, media, body string
		want                      message.Verdict
	}{
		{"a logon page to a call that gives nothing", "conf/Close", "text/html", "<html>Log on</html>", message.Unsure},
		{"nothing to a call that gives nothing", "conf/Close", "", "", message.Delivered},
		{"a logon page to a change", "conf/Orders/change", "text/html; charset=utf-8", "<html>Log on</html>", message.Unsure},
		{"nothing to a change", "conf/Orders/change", "", "", message.Delivered},
		{"the document of another message", "conf/Orders", "application/json", `{"d":{"ID":"1","Reference":"m2"}}`, message.Unsure},
		{"the document in capitals", "conf/Orders", "application/json", `{"d":{"ID":"1","Reference":"M1"}}`, message.Delivered}, // TestAnERPThatKeepsCapitalsIsFoundByThem
		{"a document that does not show the ID", "conf/Orders", "application/json", `{"d":{"ID":"1"}}`, message.Delivered},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := odd(t, smallV2, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", tt.media)
				_, _ = io.WriteString(rw, tt.body) // the client has left if it fails
			})
			d := capDelivery(t, "m1", "", "")
			d.Doc.Target, d.Doc.Body, d.Doc.Params = tt.target, []byte(`{}`), nil
			switch tt.target {
			case "conf/Orders/change":
				d.Doc.Params = map[string]string{"ID": "1"}
			case "conf/Close":
				d.Doc.Body = []byte(`{"ID":"1"}`)
			}
			if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != tt.want {
				t.Errorf("got %v, want %v", out, tt.want)
			}
		})
	}
}

// TestABatchThatIsRefusedAsAWholeIsSentMessageByMessage: nothing of it was done, and one of it may be the reason, or a service that takes
// none. What is wrong with one message parks its own lane.
func TestABatchThatIsRefusedAsAWholeIsSentMessageByMessage(t *testing.T) {
	for _, status := range []int{400, 404, 405, 413, 415, 501} {
		l := odd(t, smallV2, func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch {
			case strings.HasSuffix(r.URL.Path, "/$batch"):
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, coded("/IWFND/CM_MGW/096", "Malformed")) // the client has left if it fails
			case strings.Contains(string(body), `"m2"`):
				rw.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(rw, coded("X/001", "No")) // as above
			default:
				rw.WriteHeader(http.StatusCreated)
				_, _ = fmt.Fprintf(rw, `{"d":{"ID":"7",%s}`, strings.TrimPrefix(string(body), "{")) // as above
			}
		}, func(c *Config) { c.Batch = 10 })
		out := l.post(t, "m1", "m2", "m3")
		for i, want := range []message.Verdict{message.Delivered, message.Refused, message.Delivered} {
			if out[i].Verdict != want {
				t.Errorf("%d: message %d: got %v, want %v", status, i+1, out[i], want)
			}
		}
	}
}

// TestARefusalOfAWholeBatchProvesLittle: what may be the fate of one part, after others were done, has all of them asked for.
func TestARefusalOfAWholeBatchProvesLittle(t *testing.T) {
	for _, tt := range []struct {
		status     int
		code, text string
	}{
		{400, "M7/021", "Deficit of stock"},
		{400, "", ""},
		{400, "RU/505", "Order is already being processed by MEYER"},
		{404, "CO/100", "Order does not exist"},
		{409, "", ""},
		{412, "", ""},
		{422, "", ""},
		{423, "", ""},
		{499, "", ""},
	} {
		l := odd(t, smallV2, func(rw http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/$batch") {
				t.Errorf("%d: %s %s after the batch", tt.status, r.Method, r.URL.Path)
			}
			rw.WriteHeader(tt.status)
			_, _ = io.WriteString(rw, coded(tt.code, tt.text)) // the client has left if it fails
		}, func(c *Config) { c.Batch = 10 })
		for i, o := range l.post(t, "m1", "m2", "m3") {
			if o.Verdict != message.Unsure || o.Err == nil {
				t.Errorf("%d %s: message %d: %+v, want unknown", tt.status, tt.code, i+1, o)
			}
		}
	}
}

// TestSAPMayWorkLongerThanWeWait: a request that we gave up can be booked for as long as SAP lets a step work. Until then the ERP is asked
// again and again, and nothing is sent a second time.
func TestSAPMayWorkLongerThanWeWait(t *testing.T) {
	d := dialects()[0]
	w := d.start(t, edmx.Config{}, func(c *Config) { c.Client = "100" })
	w.link.cfg.AskAfter = 0
	w.link.cfg = w.link.cfg.withDefaults()
	now := time.Now()
	w.link.now = func() time.Time { return now }
	late := w.delivery(t, "late")
	w.link.note("late", message.Outcome{Verdict: message.Unsure})
	w.link.note("never", message.Outcome{Verdict: message.Unsure})
	for range 22 { // 11 minutes: the limit, and the minute in which SAP ends a step by force
		o, err := w.link.Ask(t.Context(), late)
		if err == nil || o.Verdict != message.Unsure || o.After <= 0 || o.After > askEvery {
			t.Fatalf("%v %+v, want a question half a minute later", err, o)
		}
		now = now.Add(o.After)
	}
	if o := w.link.Deliver(t.Context(), []message.Delivery{late})[0]; o.Verdict != message.Delivered { // it is booked at last
		t.Fatal(o.Err)
	}
	w.link.note("late", message.Outcome{Verdict: message.Unsure})
	if o, err := w.link.Ask(t.Context(), late); err != nil || o.Verdict != message.Delivered {
		t.Errorf("what was booked late: %v, %v", o.Verdict, err)
	}
	now = now.Add(5 * time.Minute)
	if o, err := w.link.Ask(t.Context(), w.delivery(t, "never")); err != nil || o.Verdict != message.Again {
		t.Errorf("what never came: %v, %v", o.Verdict, err)
	}
}

// TestAskAfterOutlastsWhatSAPWorks: by default, by refusal of what contradicts itself, and by a warning of what only the system can tell.
func TestAskAfterOutlastsWhatSAPWorks(t *testing.T) {
	base := Config{BaseURL: "http://127.0.0.1:1", Services: map[string]Service{"conf": {Path: "/srv"}}}
	for name, tt := range map[string]struct {
		client           string
		limit, ask, want time.Duration
		refused, warned  bool
	}{
		"not SAP": {want: time.Minute}, "SAP": {client: "100", want: 15 * time.Minute}, "a limit of its own": {limit: time.Hour, want: 90 * time.Minute},
		"too early for what was said": {limit: time.Hour, ask: time.Minute, refused: true}, "too early for SAP as it is installed": {client: "100", ask: time.Minute, want: time.Minute, warned: true},
		"a system that is quicker": {client: "100", limit: 30 * time.Second, ask: time.Minute, want: time.Minute},
	} {
		c := base
		c.Client, c.WorkLimit, c.AskAfter = tt.client, tt.limit, tt.ask
		l, err := Open(c, secret, slog.New(slog.DiscardHandler))
		if tt.refused != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if warned := strings.Contains(strings.Join(l.Warnings(), "\n"), "ask_after"); l.cfg.AskAfter != tt.want || warned != tt.warned {
			t.Errorf("%s: %s, warned: %t; want %s, %t", name, l.cfg.AskAfter, warned, tt.want, tt.warned)
		}
		l.Close()
	}
}

func coded(code, text string) string {
	return `{"error":{"code":"` + code + `","message":{"lang":"en","value":"` + text + `"}}}`
}

// TestPartsThatNameAnotherRequestProveNothing: a service that leaves out a part must not shift the answers of those behind it.
func TestPartsThatNameAnotherRequestProveNothing(t *testing.T) {
	named := func(id string, status int) string {
		return strings.Replace(http1(status), "\n", "\nContent-ID: "+id+"\n", 1)
	}
	parts, err := multipartAnswers([]byte(whole(set("c1", named("2", 201)), set("c2", named("2", 201)), set("c3", named("3", 400)))), "multipart/mixed; boundary=b", []int{1, 1, 1})
	if diff := cmp.Diff([][]int{{-1}, {201}, {400}}, answered(parts)); diff != "" {
		t.Errorf("(-want +got), %v:\n%s", err, diff)
	}
}

// TestAServiceWhoseMetadataIsBrokenIsNotAskedForEachWrite: the one that is known serves on, and is asked about again after a while.
func TestAServiceWhoseMetadataIsBrokenIsNotAskedForEachWrite(t *testing.T) {
	var asked atomic.Int64
	broken := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		rw.WriteHeader(http.StatusInternalServerError)
	}))
	defer broken.Close()
	file := filepath.Join(t.TempDir(), "small.xml")
	if err := os.WriteFile(file, []byte(smallV2), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{BaseURL: broken.URL, Services: map[string]Service{"conf": {Path: "/srv", Metadata: file}}, Timeout: patient})
	c, err := l.Service("conf")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l.now = func() time.Time { return now }
	for hour := range 3 {
		for range 5 {
			if m, err := c.Model(t.Context()); err != nil || m == nil {
				t.Fatal(err)
			}
		}
		if n := asked.Load(); n != int64(hour+1) {
			t.Errorf("it was asked %d times in %d hours", n, hour+1)
		}
		now = now.Add(2 * time.Hour)
	}
}

// TestABatchThatTookEffectInPartIsAskedForPartByPart: the answer to a batch is lost after two of its five parts were refused, for somebody works on
// their orders. A new process asks for each: three are there, two are not, and are sent again alone.
func TestABatchThatTookEffectInPartIsAskedForPartByPart(t *testing.T) {
	for _, d := range dialects()[2:] {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			var ds []message.Delivery
			for i := range 5 {
				ds = append(ds, w.of(t, fmt.Sprintf("m%d", i), d.set, fmt.Sprintf(`{"OrderID":"00000000000%d","ConfirmationYieldQuantity":"1.000"}`, i)))
			}
			var rules []edmx.Rule
			for _, locked := range []string{"000000000001", "000000000003"} {
				rules = append(rules, edmx.Rule{Field: "OrderID", Value: locked, Code: "CO/469", Text: "Order is already being processed by MILLER", Count: 1})
			}
			w.mock.SetRules(rules...)
			if _, err := w.link.services["conf"].token(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Method: "POST", Count: 1})
			for i, o := range w.link.Deliver(t.Context(), ds) {
				if o.Verdict != message.Unsure {
					t.Fatalf("m%d: %v, %v", i, o, o.Err)
				}
			}
			w.link = open(t, w.config(w.server.URL)) // a new process knows nothing of the attempts
			w.link.cfg.AskAfter = 1
			out := make([]message.Outcome, len(ds))
			var again []message.Delivery
			for i, one := range ds {
				asked, err := w.link.Ask(t.Context(), one)
				if asked.Verdict == message.Unsure && err == nil { // what is not there is not believed at once
					asked, err = w.link.Ask(t.Context(), one)
				}
				want := message.Delivered
				if i == 1 || i == 3 {
					want, again = message.Again, append(again, one)
				}
				if out[i] = asked; err != nil || asked.Verdict != want {
					t.Fatalf("m%d is asked for: %v, %v, want %v", i, asked, err, want)
				}
			}
			late := w.link.Deliver(t.Context(), again)
			out[1], out[3] = late[0], late[1]
			w.mustBeOnce(t, out)
		})
	}
}

// TestWhatDoesNotKeepTheIDIsNotTakenToBeWithoutTheMessage: a new document shows the field empty in which the message's ID was sent. Somebody is told once; from then on that nothing is
// found by it proves nothing, until a document shows it.
func TestWhatDoesNotKeepTheIDIsNotTakenToBeWithoutTheMessage(t *testing.T) {
	for name, empty := range map[string]string{"empty": `""`, "null": "null"} {
		t.Run(name, func(t *testing.T) {
			shown := empty
			l := odd(t, smallV2, func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					rw.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(rw, `{"d":{"ID":"1","Reference":`+shown+`}}`) // the client has left if it fails
					return
				}
				_, _ = io.WriteString(rw, `{"d":{"results":[]}}`) // as above
			})
			var told []error
			l.WhenForgotten(func(why error) { told = append(told, why) })
			d := capDelivery(t, "lost", "", "")
			d.Doc.Target, d.Doc.Body, d.Doc.Params, d.Quiet = "conf/Orders", []byte(`{}`), nil, true
			ask := func(want message.Verdict) {
				t.Helper()
				if out, err := l.Ask(t.Context(), d); err != nil || out.Verdict != want || want == message.Unsure && !strings.Contains(out.Err.Error(), "Reference is empty") {
					t.Errorf("asked: %v, %v, %v; want %v", out, out.Err, err, want)
				}
			}
			ask(message.Again)
			for range 2 {
				if out := l.post(t, "m1")[0]; out.Verdict != message.Delivered || out.Receipt.Document != "1" {
					t.Fatalf("got %v", out)
				}
			}
			ask(message.Unsure)
			if len(told) != 1 || !strings.Contains(told[0].Error(), "Reference is empty") {
				t.Errorf("told of %v, want one", told)
			}
			shown = `"m2"`
			l.post(t, "m2")
			ask(message.Again)
		})
	}
}

// TestAnotherNodeKnowsWhatDoesNotKeepTheID, and so does the next start, before the message is settled from whose document it was learnt: else it would send what is there already.
func TestAnotherNodeKnowsWhatDoesNotKeepTheID(t *testing.T) {
	kept, shown := &forgetfulInMemory{by: map[string]bool{}}, `""`
	node := func() *Link {
		l := odd(t, smallV2, func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				rw.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(rw, `{"d":{"ID":"1","Reference":`+shown+`}}`) // the client has left if it fails
				return
			}
			_, _ = io.WriteString(rw, `{"d":{"results":[]}}`) // as above
		})
		l.RememberForgetful(kept)
		return l
	}
	d := capDelivery(t, "lost", "", "")
	d.Doc.Target, d.Doc.Body, d.Doc.Params, d.Quiet = "conf/Orders", []byte(`{}`), nil, true
	one, other := node(), node()
	for _, step := range []struct {
		by    *Link
		shown string
		want  message.Verdict
	}{{one, `"m1"`, message.Again}, {one, `""`, message.Unsure}, {other, `"m1"`, message.Again}, {one, `""`, message.Unsure}} {
		shown = step.shown
		step.by.post(t, "m1")
		for _, l := range []*Link{one, other, node()} {
			if out, err := l.Ask(t.Context(), d); err != nil || out.Verdict != step.want {
				t.Errorf("after a document with %s: %v, %v; want %v", step.shown, out, err, step.want)
			}
		}
	}
}

// TestTheTimeOfADoubtIsBelievedAfterARestart: the link that sent it is gone, and another one is asked. "Not found" is believed once ask_after has passed since the attempt, as
// the outbox knows it; not before, and not ask_after from the question on.
func TestTheTimeOfADoubtIsBelievedAfterARestart(t *testing.T) {
	for _, d := range dialects()[:2] {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{}, func(c *Config) { c.AskAfter, c.Timeout, c.WorkLimit = time.Minute, 10*time.Second, 30*time.Second })
			now := time.Now()
			for _, step := range []struct {
				name  string
				since time.Duration // since the attempt; less than 0 is not known
				want  message.Verdict
				after time.Duration
			}{
				{"a moment ago", time.Second, message.Unsure, askEvery},
				{"almost long enough ago", 50 * time.Second, message.Unsure, 10 * time.Second},
				{"long enough ago", time.Minute, message.Again, 0},
				{"nobody knows when", -1, message.Unsure, askEvery},
			} {
				c := w.link.cfg
				l := open(t, c)
				l.now = func() time.Time { return now }
				q := w.delivery(t, "m1")
				if step.since >= 0 {
					q.DoubtAt = now.Add(-step.since)
				}
				out, err := l.Ask(t.Context(), q)
				if out.Verdict != step.want || out.After != step.after || (err == nil) != (step.want == message.Again) {
					t.Errorf("%s: %v after %s, %v; want %v after %s", step.name, out, out.After, err, step.want, step.after)
				}
			}
		})
	}
}
