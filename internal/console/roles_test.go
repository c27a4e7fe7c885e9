package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
	"holdfast/internal/token"
)

// row is a page of the console or a form on it: what it needs, and what each act of a form needs besides.
type row struct {
	action string            // to see the page
	at     string            // an address of it, where the pattern has parts to fill in
	form   url.Values        // that is sent, without reason
	acts   map[string]string // what {act} may be, with its action; "" for a form that does one thing
	later  bool              // what it acts upon is looked for before its action is judged, and this plant has none
	stream bool              // it has no end
}

// rows is what who may open and do in the console, written once more than in the code: a page or an act without a row fails, and so does a row without either.
func (p *plant) rows() map[string]row {
	message, lane := "/console/messages/"+p.stuck, url.Values{"link": {"erp"}, "lane": {p.orders[0]}, "from": {"1"}, "to": {"1"}}
	return map[string]row{
		"GET /console/{$}":          {action: access.StatusRead, at: "/console/"},
		"GET /console/figures.json": {action: access.StatusRead},
		"GET /console/messages":     {action: access.MsgRead}, "GET /console/messages.csv": {action: access.MsgExport},
		"GET /console/messages/{id}": {action: access.MsgRead, at: message}, "GET /console/messages/{id}/body": {action: access.MsgRead, at: message + "/body"},
		"POST /console/messages/note": {action: access.MsgRead, form: url.Values{"link": {"erp"}, "text": {"called"}}, acts: map[string]string{"": access.MsgNote}},
		"POST /console/messages/{id}/{act}": {action: access.MsgRead, at: message + "/{act}", acts: map[string]string{
			"retry": access.MsgRetry, "discard": access.MsgDiscard, "undiscard": access.MsgUndiscard, "amend": access.MsgAmend, "approve": access.MsgApprove, "refuse": access.MsgRefuse,
			"accept": access.AnomalyAccept, "note": access.MsgNote, "mark-delivered": access.MsgMarkDelivered, "send-again": access.MsgSendAgain, "postpone": access.MsgPostpone, "replay": access.MsgReplay,
		}},
		"GET /console/lanes": {action: access.MsgRead}, "GET /console/lane": {action: access.MsgRead, at: "/console/lane?link=erp&lane=" + p.orders[0]},
		"POST /console/lane/{act}": {action: access.MsgRead, at: "/console/lane/{act}", form: lane, acts: map[string]string{
			"pause": access.LanePause, "resume": access.LaneResume, "replay": access.MsgReplay,
		}},
		"GET /console/jobs": {action: access.MsgRead}, "GET /console/jobs/{id}": {action: access.MsgRead, at: "/console/jobs/" + p.replay},
		"POST /console/jobs/plan": {action: access.MsgRead, acts: map[string]string{"": access.JobPlan}},
		"POST /console/jobs/{id}/{act}": {action: access.MsgRead, at: "/console/jobs/" + p.replay + "/{act}", acts: map[string]string{
			"start": access.JobStart, "approve": access.JobApprove, "pause": access.JobPause, "resume": access.JobResume, "cancel": access.JobCancel, "rate": access.JobRate,
		}},
		"GET /console/reconcile": {action: access.MsgRead}, "POST /console/reconcile/plan": {action: access.MsgRead, acts: map[string]string{"": access.JobPlan}, later: true},
		"POST /console/reconcile/anew":       {action: access.MsgRead, acts: map[string]string{"": access.ConfirmationReverse}, later: true},
		"POST /console/reconcile/read-again": {action: access.MsgRead, acts: map[string]string{"": access.InboundReadAgain}, later: true},
		"GET /console/links":                 {action: access.StatusRead}, "POST /console/links/{link}/{act}": {action: access.StatusRead, at: "/console/links/erp/{act}", acts: map[string]string{
			"pause": access.LinkPause, "resume": access.LinkResume, "rate": access.LinkRate,
		}},
		"GET /console/quarantine": {action: access.InboundRead}, "GET /console/quarantine/{number}": {action: access.InboundRead, at: "/console/quarantine/1"},
		"POST /console/quarantine/{n}/{act}": {action: access.InboundRead, at: "/console/quarantine/1/{act}", acts: map[string]string{
			"replay": access.QuarantineReplay, "discard": access.QuarantineDiscard, "amend": access.QuarantineAmend,
		}},
		"POST /console/inbound-gaps/skip": {action: access.InboundRead, form: url.Values{"source": {"urn:erp"}, "lane": {"x"}, "number": {"1"}}, acts: map[string]string{"": access.InboxSkip}},
		"GET /console/shopfloor":          {action: access.PlantRead}, "GET /console/shopfloor/{order}": {action: access.PlantRead, at: "/console/shopfloor/" + p.orders[0]},
		"POST /console/shopfloor/{order}/{act}": {action: access.PlantRead, at: "/console/shopfloor/" + p.orders[0] + "/{act}", form: url.Values{"key": {"0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a"}}, acts: map[string]string{
			"start": access.OrderStart, "complete": access.OrderComplete, "confirm": access.ConfirmationCreate, "consume": access.MovementCreate, "receive": access.MovementCreate,
		}},
		"GET /console/mappings": {action: access.StatusRead}, "GET /console/mappings/effect": {action: access.MsgRead}, "GET /console/mapping": {action: access.StatusRead},
		"POST /console/mappings/approve": {action: access.MsgRead, acts: map[string]string{"": access.MappingApprove}},
		"POST /console/mappings/{act}":   {action: access.StatusRead, at: "/console/mappings/{act}", acts: map[string]string{"rollback": access.MappingRollback, "end-trial": access.MappingEndTrial}},
		"POST /console/mapping/{act}": {action: access.MappingPreview, at: "/console/mapping/{act}", form: url.Values{"name": {outConfirmation}}, acts: map[string]string{
			"preview": access.MappingPreview, "effect": access.MappingPreview, "publish": access.MappingPublish, "canary": access.MappingTry,
		}},
		"GET /console/audit": {action: access.AuditRead}, "GET /console/alerts": {action: access.AuditRead}, "GET /console/keys": {action: access.KeysRead},
		"GET /console/backups": {action: access.BackupRead}, "GET /console/conflicts": {action: access.PlantRead},
		"POST /console/conflicts/dismiss": {action: access.PlantRead, acts: map[string]string{"": access.ConflictDismiss}},
		"POST /console/preferences":       {},
		"GET /console/account":            {action: access.PasskeyAdd}, "POST /console/account/passkeys/begin": {action: access.PasskeyAdd},
		"POST /console/account/passkeys": {action: access.PasskeyAdd}, "POST /console/account/passkeys/{id}/remove": {action: access.PasskeyRemove, at: "/console/account/passkeys/1/remove"},
		"POST /console/account/badge": {action: access.BadgeSet}, "POST /console/account/badge/remove": {action: access.BadgeRemove},
		"GET /console/events":           {action: access.StatusRead, stream: true}, // a stream, which ends with the console's Run
		"GET /console/static/{file...}": {action: console.Open, at: "/console/static/nothing.css"}, "/console/": {action: console.Open, at: "/console/nothing"},
		"GET /console/sign-in": {action: console.Open}, "POST /console/sign-in": {action: console.Open}, "POST /console/sign-out": {action: console.Open},
		"POST /console/sign-in/passkey/begin": {action: console.Open}, "POST /console/sign-in/passkey": {action: console.Open},
		"GET /console/floor": {action: console.Open}, "POST /console/floor": {action: console.Open},
		"GET /console/sign-in/{provider}":      {action: console.Open, at: "/console/sign-in/nobody"},
		"GET /console/sign-in/{provider}/done": {action: console.Open, at: "/console/sign-in/nobody/done"},
		"GET /console/tokens":                  {action: access.TokenReveal}, "POST /console/tokens/show": {action: access.TokenReveal},
	}
}

// sent is its form, with a reason.
func (r row) sent() url.Values {
	all := form("reason", "looked at it")
	for k, v := range r.form {
		all[k] = slices.Clone(v)
	}
	return all
}

var choices = regexp.MustCompile(`choose one of ([a-z, -]+)`)

// TestEveryPageAndActIsPermittedToWhomTheTableSays opens each page and sends each form with each role and with none.
func TestEveryPageAndActIsPermittedToWhomTheTableSays(t *testing.T) {
	policy, err := access.NewPolicy("1000", access.DefaultRoles(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, storetest.SQLite(t))
	p.pages.Doer = access.New(p.db).Under(policy)
	p.withAccounts(policy)
	rows, served := p.rows(), p.pages.Patterns()
	for pattern, action := range served {
		if _, known := rows[pattern]; !known {
			t.Errorf("%s has no row: say here who may do it (it asks for %q)", pattern, action)
		}
	}
	for pattern, r := range rows {
		if action, is := served[pattern]; !is || action != r.action {
			t.Errorf("%s: the console asks for %q, the table for %q", pattern, action, r.action)
		}
		if strings.HasSuffix(r.at, "/{act}") {
			_, _, text := p.post(strings.Replace(r.at, "{act}", "nothing", 1), r.sent())
			var acts []string
			if all := choices.FindStringSubmatch(text); all != nil {
				acts = strings.Split(all[1], ", ")
			}
			for _, act := range acts {
				if r.acts[act] == "" {
					t.Errorf("%s: act %q has no row: say here who may do it", pattern, act)
				}
			}
			if len(acts) == 0 || len(acts) != len(r.acts) {
				t.Errorf("%s: the console has the acts %q, the table %d", pattern, acts, len(r.acts))
			}
		}
	}
	for _, allowed := range []bool{false, true} { // what is refused first: it changes nothing
		for _, role := range append(policy.Roles(), "") {
			rights := access.Rights{Roles: []string{role}}
			p.gate.Store(as{policy, rights, p.db.Now()})
			for pattern, r := range rows {
				p.holds(policy, rights, pattern, r, allowed)
			}
		}
	}
}

// TestNothingIsServedBesideTheTable: who may open what is said where an address is put into a mux, in one place, from which the test above has its patterns.
func TestNothingIsServedBesideTheTable(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var puts []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		puts = append(puts, putsIn.FindAllString(string(text), -1)...)
	}
	if len(puts) != 1 || puts[0] != "mux.HandleFunc(s.pattern, s.serve)" {
		t.Errorf("the console puts into a mux %q, want what served gives and nothing else", puts)
	}
}

// putsIn finds what puts something into a mux.
var putsIn = regexp.MustCompile(`\w+\.Handle(Func)?\(.*`)

// refused tells whether somebody was not let because of their roles. Not each 403 is that: some acts want a fresh second factor, or another sort of account.
func refused(status int, text string) bool {
	return status == http.StatusForbidden && strings.Contains(text, "has no permission for it")
}

// withAccounts has every page and form that a plant may have: passkeys, badges and sensitive values.
func (p *plant) withAccounts(policy *access.Policy) {
	p.t.Helper()
	users := access.NewUsers("1000", policy)
	hash, err := users.Hash(p.t.Context(), "a password that nobody signs in by")
	if err != nil {
		p.t.Fatal(err)
	}
	p.tx(func(tx *store.Tx) (err error) {
		_, err = users.Add(p.t.Context(), tx, "local:test", "anna", hash, []string{"viewer"})
		return err
	})
	s := access.NewSessions(p.db, users, access.SessionConfig{})
	p.stop()
	if p.pages.Passkeys, err = access.NewPasskeys(s, "https://plant.example"); err != nil {
		p.t.Fatal(err)
	}
	p.pages.Badges = access.NewBadges(s, func(context.Context) (string, error) { return strings.Repeat("k", 32), nil }, map[string]netip.Prefix{"press-7": netip.MustParsePrefix("127.0.0.1/32")})
	p.pages.SignIn, p.pages.Elsewhere = s, access.NewProviders(s, nil)
	p.pages.Tokens = token.New(token.Config{Fields: map[string][]string{"personnel": {"personnel"}}})
	p.srv = httptest.NewServer(s.Wrap(p.pages.Handler()))
	p.url = p.srv.URL
}

// begins opens a stream, and reads it only where it is refused.
func (p *plant) begins(path string) (status int, text string) {
	p.t.Helper()
	res, err := http.Get(p.url + path) //nolint:noctx // the test's own server
	if err != nil {
		p.t.Fatal(err)
	}
	if res.StatusCode == http.StatusForbidden {
		return p.read(res)
	}
	res.Body.Close()
	return res.StatusCode, ""
}

// holds opens a page, or does each of its acts, where that is allowed or where it is not, and compares.
func (p *plant) holds(policy *access.Policy, rights access.Rights, pattern string, r row, allowed bool) {
	p.t.Helper()
	method, path, one := strings.Cut(pattern, " ")
	if !one { // of any method
		method, path = http.MethodGet, pattern
	}
	if r.at != "" {
		path = r.at
	}
	may := r.action == "" || r.action == console.Open || policy.MayOnSome(rights, r.action)
	if method == http.MethodGet || len(r.acts) == 0 {
		if may != allowed {
			return
		}
		status, text := 0, ""
		if r.stream {
			status, text = p.begins(path)
		} else if method == http.MethodGet {
			status, text = p.get(path)
		} else {
			status, _, text = p.post(path, form("reason", "looked at it"))
		}
		if refused(status, text) == may {
			p.t.Errorf("%s as %q: %d, and it is permitted: %t", pattern, rights.Roles, status, may)
		}
		return
	}
	for act, action := range r.acts {
		does := may && policy.MayOnSome(rights, action)
		if does != allowed {
			continue
		}
		status, _, text := p.post(strings.Replace(path, "{act}", act, 1), r.sent())
		if refused(status, text) == does && (does || !r.later || !may) {
			p.t.Errorf("%s, act %q, as %q: %d, and it is permitted: %t", pattern, act, rights.Roles, status, does)
		}
		if r.later && !does && status < 400 {
			p.t.Errorf("%s as %q: %d, which did it", pattern, rights.Roles, status)
		}
	}
}
