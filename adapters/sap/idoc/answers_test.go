package idoc_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/sap/idoc"
	"holdfast/internal/message"
)

// portSaid is one answer of SAP's port, and what it means.
type portSaid struct {
	status         int
	body, after    string
	want           message.Verdict
	link           bool
	later          time.Duration // at least
	slowed, locked bool
}

// portAnswers are the rows of the table of SAP's port in docs/sap-guide.md, in its order, each by one or more answers.
func portAnswers() [][]portSaid {
	alike := func(want message.Verdict, link bool, statuses ...int) (out []portSaid) {
		for _, s := range statuses {
			out = append(out, portSaid{status: s, body: "no", want: want, link: link})
		}
		return out
	}
	return [][]portSaid{
		{{status: 200, body: "<html>IDoc-XML-inbound ok</html>", want: message.Delivered}, {status: 200, want: message.Delivered}},
		{
			{status: 200, body: "<html><form></form></html>", want: message.Unsure, link: true, later: time.Minute},
			{status: 302, want: message.Unsure, link: true, later: time.Minute},
			{status: 303, want: message.Unsure, link: true, later: time.Minute},
		},
		{{status: 200, body: "welcome", want: message.Unsure}},
		{{status: 401, want: message.Again, link: true}, {status: 403, want: message.Again, link: true, later: time.Minute}},
		alike(message.Again, true, 404, 405, 407, 421, 501, 511, 301, 307, 308),
		{{status: 429, after: "7", want: message.Again, link: true, later: 7 * time.Second, slowed: true}},
		{{status: 503, after: "7", want: message.Again, link: true, later: 7 * time.Second}},
		alike(message.Unsure, true, 503, 502, 504),
		{{status: 423, want: message.Again, locked: true}, {status: 425, want: message.Again, locked: true}},
		alike(message.Refused, false, 400, 409, 413, 422),
		alike(message.Unsure, false, 408, 500, 599),
	}
}

// TestEachRowOfThePortHolds: the table in docs/sap-guide.md, line by line.
func TestEachRowOfThePortHolds(t *testing.T) {
	text, err := os.ReadFile("../../../docs/sap-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| answer of SAP's port | means |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	lines, all := strings.Split(table, "\n"), portAnswers()
	if len(lines) != len(all) {
		t.Fatalf("the guide has %d rows, the test %d", len(lines), len(all))
	}
	word := map[message.Verdict]string{message.Again: "**again**", message.Unsure: "**unknown**", message.Refused: "**refused**", message.Delivered: "**delivered**"}
	for i, line := range lines {
		t.Run(line, func(t *testing.T) {
			for _, a := range all[i] {
				if !strings.Contains(line, word[a.want]) {
					t.Errorf("the guide says another meaning than the test: %v", a.want)
				}
				a.check(t)
			}
		})
	}
}

// check has SAP's port give the answer to an IDoc.
func (a portSaid) check(t *testing.T) {
	t.Helper()
	port := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if a.after != "" {
			rw.Header().Set("Retry-After", a.after)
		}
		rw.WriteHeader(a.status)
		_, _ = rw.Write([]byte(a.body)) // the client has left if it fails
	}))
	defer port.Close()
	cfg := config()
	cfg.Send = &idoc.Send{URL: port.URL}
	l, _ := open(t, cfg)
	out := l.Deliver(t.Context(), []message.Delivery{delivery(t, "m1", "PPCC2PRETTICKET01", `{"E1BP_PP_TIMETICKET":[{"ORDERID":"1"}]}`)})[0]
	if out.Verdict != a.want || out.LinkDown != a.link || out.Throttled != a.slowed || out.Locked != a.locked || out.After < a.later {
		t.Errorf("%d %s: got %v after %s (link down %t, slowed %t, locked %t), want %v", a.status, a.body, out, out.After, out.LinkDown, out.Throttled, out.Locked, a.want)
	}
}
