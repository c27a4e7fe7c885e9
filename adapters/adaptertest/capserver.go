package adaptertest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// CAP is SAP's CAP server with the services of adapters/adaptertest/cap, at HOLDFAST_TEST_CAP, as the ERP of a Suite. Several tests may use
// it at once: what one has done to the writes of its sap-client, no other meets.
type CAP struct {
	URL    string
	Client string // what stands in sap-client, of this test and this run of it alone
	// Find reads the numbers of the documents that a message has brought about.
	Find func(t *testing.T, id string) []string

	own string // names this test and this run of it
	t   *testing.T
}

// OpenCAP gives the server, seen from a sap-client of the test's own, and of this run: others may run the same test on the server. A test without a server that has the service at path is skipped.
func OpenCAP(t *testing.T, client, path string) *CAP {
	t.Helper()
	own := uuid.NewString()
	c := &CAP{URL: os.Getenv("HOLDFAST_TEST_CAP"), Client: client + "-" + own, own: own, t: t}
	if c.URL == "" {
		t.Skip("no CAP server: set HOLDFAST_TEST_CAP (docs/odata.md)")
	}
	r, err := http.Get(c.URL + path + "/$metadata")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close() // nothing of it is wanted
	if r.StatusCode != http.StatusOK {
		t.Skip("the CAP server is older than this tree: deploy/dev/services up")
	}
	return c
}

// CAPUnknown are the faults that cannot be made of the server, and why. behind tells that its V2 adapter stands before it.
func CAPUnknown(behind bool) map[Fault]string {
	const slow = "who waits for little of a server that others use would take what is slow for it; proven on the mock"
	out := map[Fault]string{Down: "other tests use the server; proven on the mock", HangBefore: slow, HangAfter: slow}
	if behind {
		out[HalfAfter] = "the server's V2 adapter makes an error of half an answer; proven on the mock, and on its V4"
	}
	return out
}

// capFaults are the faults in the words of its control path.
func capFaults() map[Fault]string {
	const later = "&retry-after=7"
	return map[Fault]string{
		Refuse:   `fault=status&status=400&body=` + url.QueryEscape(`{"error":{"code":"RU/505","message":{"lang":"en","value":"Posting period 011 is not open"}}}`),
		Throttle: "fault=status&status=429" + later, Unavailable: "fault=status&status=503" + later,
		SignIn: "fault=status&status=401", Redirect: "fault=status&status=307&location=http://127.0.0.1:9/",
		ResetBefore: "fault=reset", ResetAfter: "fault=reset&phase=after", CloseBefore: "fault=close", CloseAfter: "fault=close&phase=after",
		HalfAfter:     "fault=half&phase=after",
		GarbageBefore: "fault=status&status=201&body=garbage", GarbageAfter: "fault=status&phase=after&body=" + url.QueryEscape("\x00\x01<html>{"),
		ErrorBefore: "fault=status&status=500", ErrorAfter: "fault=status&status=500&phase=after",
		GatewayBefore: "fault=status&status=504", GatewayAfter: "fault=status&status=504&phase=after",
		MaintainBefore: "fault=status&status=503", MaintainAfter: "fault=status&status=503&phase=after",
	}
}

// Control says what happens next.
func (c *CAP) Control(t *testing.T, what string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/control?client="+c.Client+"&"+what, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // on a connection of its own: one that was kept may be closed by the server just now
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close() // nothing of it is wanted
}

// Meet is ERP.
func (c *CAP) Meet(t *testing.T, f Fault) {
	t.Helper()
	what, ok := capFaults()[f]
	if f == None {
		what, ok = "fault=", true
	}
	if !ok {
		t.Fatalf("CAP cannot do %q", f)
	}
	c.Control(t, what)
}

// Attempts is ERP. A message is known there by its RequestID.
func (c *CAP) Attempts(id string) int {
	c.t.Helper()
	r, err := http.Get(c.URL + "/control?client=" + c.Client)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	var all map[string]int
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		c.t.Fatal(err)
	}
	return all[strings.ToUpper(strings.ReplaceAll(c.Message(id), "-", ""))]
}

// Documents is ERP.
func (c *CAP) Documents(id string) []string { return c.Find(c.t, c.Message(id)) }

// Message is the ID of a message that a test calls so: a UUID, as those of the outbox are, and another one in each test and each time that
// it runs, since the server's documents stay.
func (c *CAP) Message(name string) string {
	if _, err := uuid.Parse(name); err == nil {
		return name
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(c.own+"/"+name)).String()
}
