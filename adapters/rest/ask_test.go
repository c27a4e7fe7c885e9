package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestNotFoundIsNotBelievedTooEarly: the request is still in the ERP when its answer is given up, and takes effect later. Who
// believed "not found" at once would send it a second time.
func TestNotFoundIsNotBelievedTooEarly(t *testing.T) {
	m, address := erpmock.Start(t, nil, erpmock.Config{})
	if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
		t.Fatal(err)
	}
	if err := m.SetFaults(erpmock.Fault{Kind: erpmock.Hang, Phase: erpmock.Before, Method: "POST", Count: 1}); err != nil {
		t.Fatal(err)
	}
	c := plainERP(address)
	c.AskAfter = time.Minute
	late := open(t, c)
	c.Timeout = time.Second
	l := open(t, c)
	now := &clock{now: time.Unix(0, 0)}
	l.now = now.Now
	d := confirmation(t, "m1")
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Unsure {
		t.Fatalf("got %v, want unknown", out)
	}
	l.http.Close()
	l.http = late.http // nothing else is given up
	now.Add(59 * time.Second)
	out, err := l.Ask(t.Context(), d)
	if err == nil || out.After != time.Second {
		t.Fatalf("a second too early: got %v, not before %s, %v", out, out.After, err)
	}
	// The first attempt, at last.
	if out := late.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
		t.Fatalf("the late effect: %v", out)
	}
	now.Add(time.Second)
	if out, err = l.Ask(t.Context(), d); err != nil || out.Verdict != message.Delivered {
		t.Errorf("got %v, %v; want delivered", out, err)
	}
	d.Redelivery, d.Forced = 1, true // the document may be that which was cancelled in the ERP
	if out, err = l.Ask(t.Context(), d); err != nil || out.Verdict != message.Unsure || out.Err == nil {
		t.Errorf("a forced replay is settled by the document before: %+v, %v", out, err)
	}
	if n := len(m.Effects()); n != 1 {
		t.Errorf("%d effects", n)
	}
}

// TestAfterARestartTheWaitBeginsWithTheQuestion: when the attempt was, nobody knows any more.
func TestAfterARestartTheWaitBeginsWithTheQuestion(t *testing.T) {
	_, address := erpmock.Start(t, nil, erpmock.Config{})
	c := plainERP(address)
	c.AskAfter, c.Timeout = time.Minute, 10*time.Second
	l := open(t, c)
	now := &clock{now: time.Unix(0, 0)}
	l.now = now.Now
	for _, step := range []struct {
		pass time.Duration
		want time.Duration // to wait; 0: again
	}{{time.Hour, time.Minute}, {20 * time.Second, 40 * time.Second}, {40 * time.Second, 0}} {
		now.Add(step.pass)
		out, err := l.Ask(t.Context(), confirmation(t, "m1"))
		if out.After != step.want || (err == nil) != (step.want == 0) || err == nil && out.Verdict != message.Again {
			t.Errorf("after %s: got %v, not before %s, %v; want to wait %s", step.pass, out, out.After, err, step.want)
		}
	}
}

// TestWhatIsInDoubtForLongIsNotWaitedFor: nobody has sent it since, unless this process has.
func TestWhatIsInDoubtForLongIsNotWaitedFor(t *testing.T) {
	_, address := erpmock.Start(t, nil, erpmock.Config{})
	c := plainERP(address)
	c.AskAfter, c.Timeout = time.Minute, 10*time.Second
	l := open(t, c)
	now := &clock{now: time.Unix(10_000, 0)}
	l.now = now.Now
	d := confirmation(t, "m1")
	for _, step := range []struct {
		since time.Duration // of the doubt
		tried bool          // by this process, now
		want  time.Duration // to wait; 0: again
	}{{59 * time.Second, false, time.Second}, {time.Minute, false, time.Second}, {time.Hour, true, time.Minute}} {
		if d.DoubtAt = now.Now().Add(-step.since); step.tried {
			l.attempts.Note("m1", now.Now())
		}
		out, err := l.Ask(t.Context(), d)
		if out.After != step.want || err == nil {
			t.Errorf("in doubt for %s, tried %t: got %v, not before %s, %v; want to wait %s", step.since, step.tried, out, out.After, err, step.want)
		}
	}
	d = confirmation(t, "m2")
	d.DoubtAt = now.Now().Add(-time.Minute)
	if out, err := l.Ask(t.Context(), d); err != nil || out.Verdict != message.Again {
		t.Errorf("in doubt for as long as the ERP may work: %v, %v", out, err)
	}
}

func TestHowAnUnknownOutcomeIsSettled(t *testing.T) {
	tests := []struct {
		name string
		cfg  Operation
		want message.Verdict
	}{
		{"the contract promises idempotence", Operation{Idempotent: true}, message.Again},
		{"nothing is promised", Operation{}, message.Unsure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := oldConfig(t, "http://127.0.0.1:1") // nobody is asked
			c.Operations["post"] = tt.cfg
			out, err := open(t, c).Ask(t.Context(), posting(t, "m1"))
			if err != nil || out.Verdict != tt.want || (out.Err == nil) != (tt.want == message.Again) {
				t.Errorf("got %v, %v; want %s", out, err, tt.want)
			}
		})
	}
}

// asked serves one answer to every GET.
func asked(t *testing.T, status int, media, body string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestABadAnswerToAQuestionProvesNothing: none of these may be taken for "found" or for "not there".
func TestABadAnswerToAQuestionProvesNothing(t *testing.T) {
	other := func(ids ...string) string {
		var items []string
		for _, id := range ids {
			items = append(items, fmt.Sprintf(`{"type":"confirmation","number":"1","messageId":%q,"postedAt":"2026-11-24T06:00:00Z"}`, id))
		}
		return `{"items":[` + strings.Join(items, ",") + `]}`
	}
	tests := []struct {
		name   string
		status int
		media  string
		body   string
		want   message.Verdict // "" means: an error, ask again
	}{
		{"found", 200, "application/json", other("m1"), message.Delivered},
		{"found among others", 200, "application/json", other("m0", "m1"), message.Delivered},
		{"a number with a line break", 200, "application/json", strings.Replace(other("m1"), `"1"`, `"1\n2"`, 1), ""},
		{"a number that is a novel", 200, "application/json", strings.Replace(other("m1"), `"1"`, `"`+strings.Repeat("1", 201)+`"`, 1), ""},
		{"not there", 200, "application/json", `{"items":[]}`, message.Again},
		{"the ERP ignores the parameter", 200, "application/json", other("m0", "m2"), ""},
		{"a page to sign in", 200, "text/html", "<html>", ""},
		{"no list", 200, "application/json", `{}`, ""},
		{"a list of another shape", 200, "application/json", `{"items":[{"messageId":"m1"}]}`, ""},
		{"not found, of a search", 404, "application/problem+json", `{}`, ""},
		{"no content", 204, "application/json", "", ""},
		{"not signed in", 401, "application/problem+json", `{}`, ""},
		{"not permitted", 403, "application/problem+json", `{}`, ""},
		{"an error", 500, "application/problem+json", `{}`, ""},
		{"a redirect", 302, "text/html", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, plainERP(asked(t, tt.status, tt.media, tt.body)))
			l.cfg.AskAfter = 0
			out, err := l.Ask(t.Context(), confirmation(t, "m1"))
			if (err != nil) != (tt.want == "") || err == nil && out.Verdict != tt.want {
				t.Errorf("got %v, %v; want %q", out, err, tt.want)
			}
			if rests := tt.status == http.StatusForbidden || tt.status == http.StatusFound; rests != (out.LinkDown && out.After == time.Minute) {
				t.Errorf("asked again after %s (link down %t)", out.After, out.LinkDown)
			}
		})
	}
}

// TestAGatewaysNotFoundProvesNothing: it says 404 for every address while the ERP behind it is put in place anew.
func TestAGatewaysNotFoundProvesNothing(t *testing.T) {
	const bare = `"404": {description: none}`
	const detailed = `"404": {description: none, content: {application/json: {schema: {type: object, required: [code]}}}}`
	tests := []struct {
		name, declared, media, body string
		believed                    bool
	}{
		{"declared, and empty as declared", bare, "", "", true},
		{"declared without a body, and a page came", bare, "text/html", "<html>", false},
		{"as declared", detailed, "application/json", `{"code":"none"}`, true},
		{"of another shape", detailed, "application/json", `{"message":"no route"}`, false},
		{"a page", detailed, "text/html", "<html>", false},
		{"empty, where a body is declared", detailed, "application/json", "", false},
		{"not declared", `"410": {description: gone}`, "", "", false},
		{"a default answer is not the word for it", `default: {description: any}`, "", "", false},
		{"nor is a range", `4XX: {description: any}`, "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := oldConfig(t, asked(t, http.StatusNotFound, tt.media, tt.body))
			c.Spec = specFile(t, strings.Replace(oldDocument, bare, tt.declared, 1))
			l := open(t, c)
			l.cfg.AskAfter = 0
			out, err := l.Ask(t.Context(), posting(t, "m1"))
			if (err == nil) != tt.believed || err == nil && out.Verdict != message.Again {
				t.Errorf("got %v, %v; believed: want %t", out, err, tt.believed)
			}
		})
	}
}

func TestAnERPThatIsAwayCannotBeAsked(t *testing.T) {
	out, err := open(t, plainERP("http://127.0.0.1:1")).Ask(t.Context(), confirmation(t, "m1"))
	if problem.KindOf(err) != problem.Unavailable {
		t.Errorf("err = %v, want unavailable", err)
	}
	if out.Verdict != message.Unsure || !out.LinkDown {
		t.Errorf("got %v, link down %t; want unknown, true", out, out.LinkDown)
	}
}

// TestAFailedQuestionTellsWhetherTheLinkIsAtFault: the relay slows down, waits or goes on with other lanes by it.
func TestAFailedQuestionTellsWhetherTheLinkIsAtFault(t *testing.T) {
	const empty = `{"items":[]}`
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   message.Outcome
	}{
		{"too early", 200, nil, empty, message.Outcome{After: time.Minute}},
		{"too many requests", 429, http.Header{"Retry-After": {"7"}}, "{}", message.Outcome{LinkDown: true, Throttled: true, After: 7 * time.Second}},
		{"for maintenance", 503, http.Header{"Retry-After": {"7"}}, "{}", message.Outcome{LinkDown: true, After: 7 * time.Second}},
		{"unavailable", 503, nil, "{}", message.Outcome{LinkDown: true}},
		{"a gateway", 502, nil, "{}", message.Outcome{LinkDown: true}},
		{"not signed in", 401, nil, "{}", message.Outcome{LinkDown: true}},
		{"half an answer", 200, http.Header{"Content-Length": {"1000"}}, empty, message.Outcome{LinkDown: true}},
		{"an answer that is too long", 200, nil, empty + strings.Repeat(" ", 1000), message.Outcome{}},
		{"an error", 500, nil, "{}", message.Outcome{}},
		{"a page", 200, http.Header{"Content-Type": {"text/html"}}, "<html>", message.Outcome{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				maps.Copy(w.Header(), tt.header)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer s.Close()
			c := plainERP(s.URL)
			c.MaxBody, c.AskAfter, c.Timeout = 900, time.Minute, 10*time.Second
			l := open(t, c)
			l.now = (&clock{now: time.Unix(0, 0)}).Now
			tt.want.Verdict = message.Unsure
			got, err := l.Ask(t.Context(), confirmation(t, "m1"))
			if err == nil || !cmp.Equal(got, tt.want) {
				t.Errorf("got %+v, %v; want %+v and an error", got, err, tt.want)
			}
		})
	}
}

func TestARequestThatBreaksTheContractIsNotSent(t *testing.T) {
	e := newOldERP(t)
	l := open(t, oldConfig(t, "http://"+e.address))
	tests := []struct {
		name   string
		target string
		params map[string]string
		fields []string
	}{
		{"an unknown operation", "pots", nil, nil},
		{"an operation that only reads", "findPosting", map[string]string{"reference": "m1"}, nil},
		{"a number above the exact bound", "post", map[string]string{"reference": "m1", "quantity": "9999999999.9990001"}, []string{"quantity"}},
		{"two violations", "post", map[string]string{"reference": "m1", "quantity": "x", "X-Client": "300"}, []string{"quantity", "X-Client"}},
		{"a parameter that the contract does not have", "post", map[string]string{"reference": "m1", "qty": "1"}, []string{"qty"}},
		{"no path parameter", "post", nil, []string{"reference"}},
		{"an empty path parameter", "post", map[string]string{"reference": ""}, []string{"reference"}},
		{"a way out of the path", "post", map[string]string{"reference": ".."}, []string{"reference"}},
		{"a header with a line break", "post", map[string]string{"reference": "m1", "X-Client": "100\r\nX: y"}, []string{"X-Client", "X-Client"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := posting(t, "m1")
			d.Doc = message.Document{Target: tt.target, Params: tt.params}
			out := l.Deliver(t.Context(), []message.Delivery{d})[0]
			if out.Verdict != message.Refused || problem.KindOf(out.Err) != problem.Invalid {
				t.Fatalf("got %v, want refused as invalid", out)
			}
			p, _ := errors.AsType[*problem.Error](out.Err)
			if len(p.Fields) != len(tt.fields) {
				t.Fatalf("fields %v, want %q", p.Fields, tt.fields)
			}
			for _, f := range p.Fields {
				if !strings.Contains(strings.Join(tt.fields, " "), f.Pointer) {
					t.Errorf("field %q, want one of %q", f.Pointer, tt.fields)
				}
			}
		})
	}
	for _, id := range []string{"m1", "", ".."} {
		if n := e.Attempts(id); n != 0 {
			t.Errorf("%d requests arrived for %q", n, id)
		}
	}
}

func TestAPathValueStaysOneSegment(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.EscapedPath()
		w.Header().Set("Location", "/1")
		w.WriteHeader(http.StatusCreated)
	}))
	defer s.Close()
	d := posting(t, "m1")
	d.Doc.Params["reference"] = "a/b?c#d%e{quantity} ä"
	out := open(t, oldConfig(t, s.URL)).Deliver(t.Context(), []message.Delivery{d})[0]
	if want := "/postings/a%2Fb%3Fc%23d%25e%7Bquantity%7D%20%C3%A4"; out.Verdict != message.Delivered || got != want {
		t.Errorf("%v to %q, want %q", out, got, want)
	}
}

// TestAnotherMessagesIDIsRefused: the ERP would later be asked for an ID that it never got.
func TestAnotherMessagesIDIsRefused(t *testing.T) {
	l := open(t, plainERP("http://127.0.0.1:1"))
	d := confirmation(t, "m1")
	d.Doc.Body = []byte(strings.Replace(string(d.Doc.Body), "{", `{"messageId":"m2",`, 1))
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Refused {
		t.Errorf("got %v, want refused", out)
	}
}

func TestCredentials(t *testing.T) {
	tests := []struct {
		name   string
		auth   Auth
		header string
		want   string
	}{
		{"basic", Auth{Basic: &Basic{User: "plant", Password: "env:P"}}, "Authorization", "Basic cGxhbnQ6czNjcmV0LTI="},
		{"bearer", Auth{Bearer: "env:P"}, "Authorization", "Bearer s3cret-2"},
		{"a key in a header", Auth{Header: &Key{Name: "X-API-Key", Value: "env:P"}}, "X-Api-Key", "s3cret-2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/1")
				if r.Header.Get(tt.header) != tt.want {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.WriteHeader(http.StatusCreated)
			}))
			defer s.Close()
			c := oldConfig(t, s.URL)
			c.Auth = tt.auth
			l := open(t, c)
			asked := 0
			l.creds.resolve = func(context.Context, string) (string, error) {
				asked++
				return fmt.Sprintf("s3cret-%d", asked), nil // rotated after the first
			}
			first := l.Deliver(t.Context(), []message.Delivery{posting(t, "m1")})[0]
			if first.Verdict != message.Again || !first.LinkDown || problem.KindOf(first.Err) != problem.Denied {
				t.Errorf("with the old secret: %v", first)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", first, l.cfg), "s3cret") {
				t.Error("the secret is in an error or a configuration")
			}
			for range 2 {
				if out := l.Deliver(t.Context(), []message.Delivery{posting(t, "m1")})[0]; out.Verdict != message.Delivered {
					t.Errorf("with the new secret: %v", out)
				}
			}
			if asked != 2 {
				t.Errorf("resolved %d times, want 2", asked)
			}
		})
	}
}

func TestWithoutItsSecretTheLinkIsDown(t *testing.T) {
	c := oldConfig(t, "http://127.0.0.1:1")
	c.Auth.Bearer = "env:NONE"
	out := open(t, c).Deliver(t.Context(), []message.Delivery{posting(t, "m1")})[0]
	if out.Verdict != message.Again || !out.LinkDown || problem.KindOf(out.Err) != problem.Denied {
		t.Errorf("got %v, want again, link down, denied", out)
	}
}
