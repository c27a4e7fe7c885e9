package httpapi_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/httpapi"
	"holdfast/internal/job"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// guarded is a plant whose API knows its callers.
type guarded struct {
	*plant
	policy *access.Policy
}

func guard(t *testing.T, p *plant) *guarded {
	t.Helper()
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := httpapi.Parts{
		Checker: orders{}, DB: p.db, Plant: p.mes, Outbox: p.out, Jobs: job.New(p.db, p.out, job.Config{}, slog.New(slog.DiscardHandler)), Inbox: p.in,
		Doer: access.New(p.db).Under(policy), Gate: access.NewGate(p.db, policy, nil, nil),
	}
	srv := httptest.NewServer(httpapi.New(parts, httpapi.Config{CheckAnswers: true, Link: "erp"}, slog.New(slog.DiscardHandler)).Handler())
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return &guarded{p, policy}
}

// token makes a token of some rights.
func (g *guarded) token(name string, r access.Rights) string {
	g.t.Helper()
	var shown string
	err := g.db.InTx(g.t.Context(), func(tx *store.Tx) (err error) {
		_, shown, err = g.policy.MakeToken(g.t.Context(), tx, "local:test", access.Token{Name: name, Rights: r}, time.Hour)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return shown
}

// status calls an operation with a token, none if it is empty. The body may be wrong: who may call is asked before it is read.
func (g *guarded) status(op *contract.Operation, path, token, body string) int {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), op.Method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode
}

func operations(t *testing.T) []*contract.Operation {
	t.Helper()
	doc, err := contract.Load(openapi.Holdfast(), "holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc.Operations()
}

// TestEveryRouteOfTheListenerIsPermittedToWhomTheTableSays calls what is beside the API, with each role and with none, and knows all that there is.
func TestEveryRouteOfTheListenerIsPermittedToWhomTheTableSays(t *testing.T) {
	g := guard(t, open(t, storetest.SQLite(t)))
	var by []access.Actor
	parts := httpapi.Parts{
		Checker: orders{}, DB: g.db, Plant: g.mes, Outbox: g.out, Inbox: g.in, Doer: access.New(g.db).Under(g.policy), Gate: access.NewGate(g.db, g.policy, nil, nil),
		Pages:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
		Commands: func(_ http.ResponseWriter, _ *http.Request, who access.Actor) { by = append(by, who) },
	}
	h, patterns := httpapi.New(parts, httpapi.Config{Link: "erp"}, slog.New(slog.DiscardHandler)).Listener()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	g.url = srv.URL
	http.DefaultClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() { http.DefaultClient.CheckRedirect = nil })
	rows := map[string]struct {
		method, at   string
		none, anyone int
	}{
		"/":                            {"GET", "/v1/nothing", 401, 404},                       // TestEveryOperationIsPermittedToWhomTheTableSays has each of them
		"POST " + httpapi.CommandsPath: {"POST", httpapi.CommandsPath, 401, 200},               // each command asks for its own action
		"/console/":                    {"GET", "/console/", 418, 418},                         // the console has a gate, and a table, of its own
		"GET /{$}":                     {"GET", "/", http.StatusSeeOther, http.StatusSeeOther}, // leads to the console
	}
	tokens := map[string]string{}
	for _, role := range g.policy.Roles() {
		tokens[role] = g.token(role, access.Rights{Roles: []string{role}})
	}
	for _, pattern := range patterns {
		r, known := rows[pattern]
		if !known {
			t.Errorf("%s has no row: say here who may call it", pattern)
			continue
		}
		delete(rows, pattern)
		op := &contract.Operation{Method: r.method}
		if got := g.status(op, r.at, "", "{}"); got != r.none {
			t.Errorf("%s with no token: %d, want %d", pattern, got, r.none)
		}
		for role, token := range tokens {
			by = nil
			if got := g.status(op, r.at, token, "{}"); got != r.anyone {
				t.Errorf("%s as %s: %d, want %d", pattern, role, got, r.anyone)
			}
			if r.at == httpapi.CommandsPath && (len(by) != 1 || !slices.Equal(by[0].Rights.Roles, []string{role})) {
				t.Errorf("a command of %s is run in the name of %+v", role, by)
			}
		}
	}
	for pattern := range rows {
		t.Errorf("the listener does not serve %s: take its row out", pattern)
	}
}

var hole = regexp.MustCompile(`\{\w+\}`)

// TestEveryOperationIsPermittedToWhomTheTableSays calls each operation of the contract with each role and with none. The table is the one that
// docs/access.md prints, which package access compares with the roles.
func TestEveryOperationIsPermittedToWhomTheTableSays(t *testing.T) {
	g := guard(t, open(t, storetest.SQLite(t)))
	tokens := map[string]string{}
	for _, role := range g.policy.Roles() {
		tokens[role] = g.token(role, access.Rights{Roles: []string{role}})
	}
	for _, op := range operations(t) {
		path := hole.ReplaceAllString(op.Path, "1")
		if got := g.status(op, path, "", ""); got != 401 && got != 429 { // many of them are turned away from one address
			t.Errorf("%s with no token: %d, want 401", op.ID, got)
		}
		name, _ := op.Extension("x-holdfast-action").(string)
		action, ok := access.Lookup(name)
		if !ok || action.Changes() == (op.Method == "GET") {
			t.Errorf("%s has the action %q: known %t, changes something %t", op.ID, name, ok, action.Changes())
		}
		for role, token := range tokens {
			want := g.policy.May(access.Rights{Roles: []string{role}}, name, "")
			if got := g.status(op, path, token, ""); (got != 403) != want || got == 401 || got == 429 {
				t.Errorf("%s as %s: %d, and it is permitted: %t", op.ID, role, got, want)
			}
		}
	}
}

// TestATokenOfOneLinkReachesNoOther calls each operation on what belongs to a link with a token that may do everything, on another one.
func TestATokenOfOneLinkReachesNoOther(t *testing.T) {
	g := guard(t, open(t, storetest.SQLite(t)))
	all := []access.Grant{{May: []string{"*"}}}
	here, there := g.token("here", access.Rights{Own: all, Links: []string{"erp"}}), g.token("there", access.Rights{Own: all, Links: []string{"other"}})
	g.as(here, "POST", "/v1/orders", object{"material": "BIKE", "quantity": "10"}).want(t, 201, nil)
	g.as(here, "POST", "/v1/inbound-messages", event("m1", "material.changed", material("x"))).want(t, 202, nil)
	var page httpapi.MessagePage
	g.as(here, "GET", "/v1/messages?link=erp", nil).want(t, 200, &page)
	m := page.Items[0]
	fill := strings.NewReplacer("{message}", m.ID, "{link}", "erp", "{lane}", m.Lane, "{number}", "1", "{digest}", strings.Repeat("a", 64))
	bodies := map[string]string{
		"amendMessage": `{"reason":"look","body":{"order":"1"}}`, "amendInbound": `{"reason":"look","body":{"number":"M1"}}`,
		"replayMessages":  `{"reason":"look","link":"erp","lane":"` + m.Lane + `","from":1}`,
		"discardMessage":  `{"reason":"look","cause":"other"}`,
		"postponeMessage": `{"reason":"look","until":"2100-01-01T00:00:00Z"}`,
		"skipInbound":     `{"reason":"look","source":"urn:erp","lane":"l","number":1}`,
		"receiveInbound":  `{"specversion":"1.0","id":"m2","source":"urn:erp","type":"material.changed","subject":"material/M1","data":{}}`,
	}
	tried := 0
	for _, op := range operations(t) {
		name, _ := op.Extension("x-holdfast-action").(string)
		action, _ := access.Lookup(name)
		switch action.Permission {
		case access.ReadMessages, access.ReadInbound, access.RepairInbound, access.RepairOut, access.Operate, access.Deliver:
		default:
			continue // belongs to no link
		}
		body := bodies[op.ID]
		if body == "" {
			body = `{"reason":"look"}`
		}
		if op.Method == "GET" {
			body = ""
		}
		want := 403
		switch op.ID {
		case "listLinks":
			want = 200 // without those that are not the caller's
		case "keepBody":
			continue // for whatever message of the caller's will name it
		}
		if got := g.status(op, fill.Replace(op.Path), there, body); got != want {
			t.Errorf("%s of another link: %d, want %d", op.ID, got, want)
		}
		tried++
	}
	if tried < 25 {
		t.Errorf("only %d operations were tried", tried)
	}
	for _, path := range []string{"/v1/messages", "/v1/messages?link=erp", "/v1/messages?link=other&link=erp", "/v1/lanes", "/v1/links/erp", "/v1/inbound-messages/1"} {
		g.as(there, "GET", path, nil).refused(t, 403, "denied")
	}
	var links httpapi.LinkPage
	if g.as(there, "GET", "/v1/links", nil).want(t, 200, &links); len(links.Items) != 0 {
		t.Errorf("got %+v, want no link of others", links.Items)
	}
	g.as(here, "POST", "/v1/messages/"+m.ID+"/retry", object{"reason": "look"}).want(t, 200, nil)
}

// as calls with a token.
func (g *guarded) as(token, method, path string, body any) answer {
	g.t.Helper()
	return g.call(method, path, body, "Authorization", "Bearer "+token)
}

func TestWhoIsTurnedAwayIsToldWhyAndIsOnRecord(t *testing.T) {
	g := guard(t, open(t, storetest.SQLite(t)))
	viewer := g.token("board", access.Rights{Roles: []string{"viewer"}})
	a := g.call("POST", "/v1/orders", object{"material": "BIKE", "quantity": "1"})
	a.refused(t, 401, "unknown-caller")
	if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
		t.Errorf("WWW-Authenticate %q", got)
	}
	p := g.as(viewer, "POST", "/v1/orders", object{"material": "BIKE", "quantity": "1"}).refused(t, 403, "denied")
	if !strings.Contains(p.Hint, access.PlanOrders) || !strings.Contains(p.Detail, "token:board") {
		t.Errorf("got %+v, want who lacks what", p)
	}
	g.call("GET", "/v1/nothing", nil).refused(t, 401, "unknown-caller") // what there is, is told to nobody unknown
	var got []audit.Entry
	err := g.db.View(t.Context(), func(tx *store.Tx) (err error) {
		got, err = audit.List(t.Context(), tx, audit.Filter{})
		return err
	})
	if err != nil || len(got) != 3 || got[1].Actor != "token:board" || got[1].Action != access.Refusal || got[2].Actor != "unknown" || got[2].From != "127.0.0.1" {
		t.Errorf("got %+v, %v", got, err)
	}
	g.as(viewer, "GET", "/v1/orders", nil).want(t, 200, nil)
}

// TestTheActorOfAnActIsItsCaller: what is done is recorded under the name of the token, and one caller's Idempotency-Key is no other's.
func TestTheActorOfAnActIsItsCaller(t *testing.T) {
	g := guard(t, open(t, storetest.SQLite(t)))
	first, second := g.token("one", access.Rights{Roles: []string{"shift-lead"}}), g.token("two", access.Rights{Roles: []string{"shift-lead"}})
	make1 := func(token string) string {
		var made httpapi.OrderAct
		g.call("POST", "/v1/orders", object{"material": "BIKE", "quantity": "1"}, "Authorization", "Bearer "+token, "Idempotency-Key", "0123456789abcdef").want(t, 201, &made)
		return made.Order.ID
	}
	if a, b, again := make1(first), make1(second), make1(first); a == b || a != again {
		t.Errorf("orders %s, %s and again %s", a, b, again)
	}
	var got []audit.Entry
	err := g.db.View(t.Context(), func(tx *store.Tx) (err error) {
		got, err = audit.List(t.Context(), tx, audit.Filter{Action: access.OrderCreate})
		return err
	})
	if err != nil || len(got) != 2 || got[0].Actor != "token:two" || got[1].Actor != "token:one" {
		t.Errorf("got %+v, %v", got, err)
	}
}
