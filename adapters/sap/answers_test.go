package sap

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
)

// said is one answer to a write, and what it means.
type said struct {
	status  int
	header  http.Header
	body    string
	want    message.Verdict
	link    bool
	later   time.Duration // at least; 0 is not looked at
	number  string
	slowed  bool
	locked  bool // it is tried again for as long as it lasts
	renewed bool // a new token was fetched, and the request sent once more
}

func coded(code, text string) string {
	return `{"error":{"code":"` + code + `","message":{"lang":"en","value":"` + text + `"}}}`
}

// answers are the rows of the table in docs/sap-guide.md, in its order, each by one or more answers.
func answers() [][]said {
	json := http.Header{"Content-Type": {"application/json"}}
	html := http.Header{"Content-Type": {"text/html"}}
	after := http.Header{"Retry-After": {"7"}}
	alike := func(want message.Verdict, link bool, statuses ...int) []said {
		var out []said
		for _, s := range statuses {
			out = append(out, said{status: s, header: html, body: "<html>no</html>", want: want, link: link})
		}
		return out
	}
	return [][]said{
		{{status: 403, header: http.Header{"X-Csrf-Token": {"Required"}}, body: "CSRF token validation failed", want: message.Again, link: true, renewed: true}},
		alike(message.Again, true, 401, 403, 407, 511),
		{{status: 400, header: json, body: coded("ZLOCK/007", "x"), want: message.Again, later: time.Millisecond, locked: true}, {status: 400, header: json, body: coded("Z1/001", "x"), want: message.Again, link: true}},
		{{status: 400, header: json, body: coded("/IWBEP/CM_COS/005", "RequestID is outdated"), want: message.Unsure}},
		{
			{status: 400, header: json, body: coded("CO/469", "Order 1000001 is already being processed by MILLER"), want: message.Again, later: time.Millisecond, locked: true},
			{status: 400, header: json, body: coded("M3/024", "Material FG-100 is locked by user MILLER"), want: message.Again, later: time.Millisecond, locked: true},
		},
		{{status: 423, want: message.Again, later: time.Millisecond, locked: true}, {status: 425, want: message.Again, later: time.Millisecond, locked: true}},
		{{status: 429, header: after, want: message.Again, link: true, later: 7 * time.Second, slowed: true}},
		{{status: 503, header: after, want: message.Again, link: true, later: 7 * time.Second}},
		alike(message.Unsure, true, 503, 502, 504),
		alike(message.Unsure, false, 500, 599, 408),
		append(alike(message.Again, true, 404, 301, 307, 308, 405, 421, 501), said{status: 404, header: json, body: coded("/IWFND/MED/170", "No service found"), want: message.Again, link: true}),
		{{status: 412, header: json, want: message.Refused}, {status: 428, header: json, want: message.Refused}},
		{{status: 409, header: json, body: coded("X/001", "exists"), want: message.Refused}},
		{
			{status: 400, header: json, body: coded("M7/053", "Posting only possible in periods 2026/11 and 2026/10"), want: message.Refused},
			{status: 400, header: json, body: coded("M7/021", "Deficit of SL Unrestricted-use 5 PC"), want: message.Refused},
			{status: 404, header: json, body: coded("M3/305", "The material X does not exist"), want: message.Refused},
		},
		{{status: 201, header: json, body: `{"d":{"ConfirmationGroup":"0000000001","ConfirmationCount":"00000001"}}`, want: message.Delivered, number: "0000000001/00000001"}},
		{
			{status: 201, header: json, body: `{"d":{"Confirm`, want: message.Unsure},
			{status: 201, header: json, body: `{"d":{}}`, want: message.Unsure},
		},
		{
			{status: 200, header: html, body: "<html>Logon</html>", want: message.Unsure, link: true, later: time.Minute},
			{status: 302, header: http.Header{"Location": {"https://login.example/saml?SAMLRequest=x"}}, want: message.Unsure, link: true, later: time.Minute},
			{status: 303, header: html, body: "<html>See other</html>", want: message.Unsure, link: true, later: time.Minute},
		},
	}
}

// rows are those of the table in the guide.
func rows(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/sap-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## What an answer means")
	table, _, _ = strings.Cut(table, "\n## ")
	var out []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| answer") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// TestEachRowOfTheGuideHolds: the table in docs/sap-guide.md, line by line.
func TestEachRowOfTheGuideHolds(t *testing.T) {
	all := answers()
	lines := rows(t)
	if len(lines) != len(all) {
		t.Fatalf("the guide has %d rows, the test %d", len(lines), len(all))
	}
	word := map[message.Verdict]string{message.Again: "**again**", message.Unsure: "**unknown**", message.Refused: "**refused**", message.Delivered: "**delivered**"}
	for i, line := range lines {
		t.Run(line, func(t *testing.T) {
			for _, a := range all[i] {
				if !strings.Contains(line, word[a.want]) && !strings.Contains(line, "as it says") {
					t.Errorf("the guide says another meaning than the test: %v", a.want)
				}
				a.check(t)
			}
		})
	}
}

// check has a service give the answer to a write.
func (a said) check(t *testing.T) {
	t.Helper()
	tokens, writes := 0, 0
	metadata, err := metadata.ReadFile("metadata/confirmations.xml")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/$metadata"):
			_, _ = w.Write(metadata) // the client has left if it fails
		case r.Method != http.MethodPost:
			tokens++
			w.Header().Set("X-Csrf-Token", "t")
		default:
			writes++
			_, _ = io.Copy(io.Discard, r.Body) // as above
			for name, v := range a.header {
				w.Header()[name] = v
			}
			w.WriteHeader(a.status)
			_, _ = io.WriteString(w, a.body) // as above
		}
	}))
	defer srv.Close()
	c := Config{Config: odata.Config{
		BaseURL: srv.URL, LockWait: time.Millisecond, Timeout: time.Minute, Codes: map[string]odata.Meaning{"ZLOCK/*": odata.MeansAgain, "Z1/001": odata.MeansDown},
	}, Plant: "1000", Zone: "UTC"}
	l, err := Open(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out := l.Deliver(t.Context(), []message.Delivery{delivery(t, "m1", confirmation, `{"OrderID":"1"}`, nil)})[0]
	if out.Verdict != a.want || out.LinkDown != a.link || out.Throttled != a.slowed || out.Locked != a.locked || out.After < a.later || out.Receipt.Document != a.number {
		t.Errorf("%d %s: got %v (link down %t, slowed %t, after %s), want %v (%t, %t, %s)", a.status, a.body, out, out.LinkDown, out.Throttled, out.After, a.want, a.link, a.slowed, a.later)
	}
	if again := writes == 2 && tokens == 2; again != a.renewed {
		t.Errorf("%d: %d writes, %d tokens", a.status, writes, tokens)
	}
}

// TestWordsOfALockProveNothingOfWhatMayBeDone: a 5xx or 408 says nothing of whether the document was posted, whatever it tells of a later step, and
// a user that is locked is not tried every few seconds.
func TestWordsOfALockProveNothingOfWhatMayBeDone(t *testing.T) {
	const body = `{"error":{"code":"CO/512","message":{"lang":"en","value":"Order 1 is being processed by MILLER; user MES is locked by administrator"}}}`
	for status, want := range map[int]said{
		http.StatusBadRequest:          {want: message.Again, locked: true},
		http.StatusForbidden:           {want: message.Again, link: true},
		http.StatusRequestTimeout:      {want: message.Unsure},
		http.StatusInternalServerError: {want: message.Unsure},
		http.StatusBadGateway:          {want: message.Unsure, link: true},
		http.StatusServiceUnavailable:  {want: message.Unsure, link: true},
		http.StatusGatewayTimeout:      {want: message.Unsure, link: true},
	} {
		want.status, want.body = status, body
		want.check(t)
	}
}
