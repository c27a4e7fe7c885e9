package console_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/anomaly"
	"holdfast/internal/audit"
	"holdfast/internal/console"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// doubting judges what the plant owes, as cmd joins it.
type doubting struct {
	owing
	watch *anomaly.Watch
}

// Append owes m, and holds it if it is to be held.
func (o doubting) Append(ctx context.Context, tx *store.Tx, m message.Message) error {
	v, err := o.watch.Judge(ctx, tx, m)
	if err != nil || v.Action != anomaly.Hold {
		return o.owing.Append(ctx, tx, m)
	}
	return o.Outbox.Append(ctx, tx, m, outbox.Hold(v.Words()))
}

// allowed makes each request as somebody with rights.
type allowed access.Actor

// Who implements console.Gate.
func (a allowed) Who(*http.Request, string) (access.Actor, error) { return access.Actor(a), nil }

// doubts has the plant's reports judged from now on, and one of them held: the same said twice of one order.
func (p *plant) doubts() (held string) {
	p.t.Helper()
	w := anomaly.New(anomaly.Config{Policy: anomaly.Flag, Fields: map[string]anomaly.Action{"duplicate": anomaly.Hold}})
	p.pages.Doubts = w
	p.pages.Accept = func(ctx context.Context, tx *store.Tx, event, by, reason string) (int, error) {
		m, err := w.Event(ctx, tx, event)
		if err != nil {
			return 0, err
		}
		all, err := p.out.Of(ctx, tx, event)
		if err != nil {
			return 0, err
		}
		m.Body = all[0].Body
		if err := w.Accept(ctx, tx, m, by, reason); err != nil {
			return 0, err
		}
		return p.out.Release(ctx, tx, event, reason)
	}
	was := p.mes
	p.mes = mes.New(doubting{owing{p.out}, w}, mes.Config{})
	p.work(p.orders[1])
	for range 2 {
		p.confirm(p.orders[1], "1")
	}
	p.confirm(p.orders[1], "3")
	p.mes = was
	p.tx(func(tx *store.Tx) error {
		list, _, err := p.out.Search(p.t.Context(), tx, outbox.Search{Owed: true, Held: true}, "")
		if len(list) != 1 {
			p.t.Fatalf("%d messages are held, want one", len(list))
		}
		held = list[0].ID
		return err
	})
	return held
}

// TestADoubtfulMessageIsAcceptedOnItsPage: it is listed with what is doubtful, waits, and one form sends it and teaches it, once.
func TestADoubtfulMessageIsAcceptedOnItsPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		if _, page := p.get("/console/messages"); strings.Contains(page, "state=doubtful") {
			t.Error("where nothing is judged there is a list of what is doubtful")
		}
		held := p.doubts()
		_, list := p.get("/console/messages?state=doubtful")
		_, page := p.get("/console/messages/" + held)
		for _, text := range []string{list, page} {
			if !strings.Contains(text, "as if it were entered twice") || len(unsound(t, text)) > 0 {
				t.Errorf("the page does not say what is doubtful, or not soundly: %v %s", unsound(t, text), p.says(text))
			}
		}
		accept := "/console/messages/" + held + "/accept"
		if n := strings.Count(list, `href="/console/messages/`+held+`"`); n != 1 || strings.Contains(list, p.stuck) || !strings.Contains(page, `action="`+accept+`"`) {
			t.Errorf("the list has it %d times, want it alone, and its page the form: %s", n, p.says(list))
		}
		for _, reason := range []string{"", "x"} {
			if status, _, _ := p.post(accept, form("reason", reason)); status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
				t.Errorf("with the reason %q: %d", reason, status)
			}
		}
		if !outbox.Held(p.detail(held).NotBefore) {
			t.Fatal("it is let go without a reason")
		}
		p.as("user:anna")
		if status, to, page := p.post(accept, form("reason", "two boxes of one")); status != http.StatusSeeOther || !strings.HasSuffix(to, "?did=accept") {
			t.Fatalf("accepted: %d %s %s", status, to, p.says(page))
		}
		if d := p.detail(held); outbox.Held(d.NotBefore) || d.NotBefore.After(db.Now()) {
			t.Errorf("it waits still, until %v", d.NotBefore)
		}
		if r := p.record(access.AnomalyAccept); len(r) == 0 || r[0].Actor != "user:anna" || r[0].Object != "message/"+held || r[0].Reason != "two boxes of one" || r[0].Outcome != audit.Done {
			t.Errorf("on record: %+v", r)
		}
		if _, page := p.get("/console/messages/" + held); !strings.Contains(page, "user:anna accepted it") || strings.Contains(page, `action="`+accept+`"`) {
			t.Errorf("its page afterwards: %s", p.says(page))
		}
		if status, _, page := p.post(accept, form("reason", "once more")); status != http.StatusConflict {
			t.Errorf("accepted twice: %d %s", status, p.says(page))
		}
		if _, list := p.get("/console/messages?state=doubtful"); strings.Contains(list, held) {
			t.Errorf("it is listed still: %s", p.says(list))
		}
	})
}

// TestWhoMayNotAcceptWhatIsDoubtful: it needs its own permission, on the link, and not of whoever has corrected the message, who cannot send it either.
func TestWhoMayNotAcceptWhatIsDoubtful(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	held := p.doubts()
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.pages.Doer = access.New(p.db).Under(policy)
	as := func(name string, grants ...access.Grant) {
		p.gate.Store(console.Gate(allowed{Name: name, Rights: access.Rights{Own: grants}}))
	}
	accept := func() int {
		status, _, _ := p.post("/console/messages/"+held+"/accept", form("reason", "two boxes of one"))
		return status
	}
	for name, g := range map[string]access.Grant{"who sees it": {May: []string{"*.read"}}, "who may retry": {May: []string{access.MsgRetry, access.MsgRead}}, "who may elsewhere": {May: []string{"*"}, Links: []string{"other"}}} {
		if as("user:carl", g); accept() != http.StatusForbidden {
			t.Errorf("%s may accept it", name)
		}
	}
	as("user:anna", access.Grant{May: []string{"*"}})
	d := p.detail(held)
	body := strings.Replace(string(d.Body), "{", `{"note":"counted",`, 1)
	if status, _, page := p.post("/console/messages/"+held+"/amend", form("reason", "counted again", "version", d.Digest, "body", body)); status != http.StatusSeeOther {
		t.Fatalf("corrected: %d %s", status, p.says(page))
	}
	if accept() != http.StatusForbidden || !outbox.Held(p.detail(held).NotBefore) {
		t.Error("who has corrected it accepts it")
	}
	if status, _, _ := p.post("/console/messages/"+held+"/retry", form("reason", "two boxes of one")); status != http.StatusForbidden || !outbox.Held(p.detail(held).NotBefore) {
		t.Errorf("who has corrected it sends it without accepting it: %d", status)
	}
	if as("user:ben", access.Grant{May: []string{access.AnomalyAccept, access.MsgRead}}); accept() != http.StatusSeeOther || outbox.Held(p.detail(held).NotBefore) {
		t.Error("somebody else cannot accept it")
	}
}

// TestWhoHasReportedWhatIsDoubtfulDoesNotLetItGo, whatever their role, by any way that does: accept, retry and postpone.
func TestWhoHasReportedWhatIsDoubtfulDoesNotLetItGo(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	held := p.doubts()
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.pages.Doer = access.New(p.db).Under(policy)
	event := p.detail(held).Event
	act := access.Act{Action: access.ConfirmationCreate, Actor: access.Actor{Name: "user:anna", Rights: access.Rights{Own: []access.Grant{{May: []string{"*"}}}}}}
	_, err = p.pages.Doer.Do(t.Context(), act, func(context.Context, *store.Tx) (access.Result, error) {
		return access.Result{Object: access.ConfirmationObject(event), Events: []string{event}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.gate.Store(console.Gate(allowed{Name: "user:anna", Rights: access.Rights{Own: []access.Grant{{May: []string{"*"}}}}}))
	for _, lets := range []string{"accept", "retry", "postpone"} {
		status, _, page := p.post("/console/messages/"+held+"/"+lets, form("reason", "two boxes of one", "until", "2030-01-01 06:00"))
		if status == http.StatusSeeOther || !outbox.Held(p.detail(held).NotBefore) { // retry is of the first of a lane alone
			t.Errorf("%s by who has reported it: %d %s", lets, status, p.says(page))
		}
	}
	p.gate.Store(console.Gate(allowed{Name: "user:ben", Rights: access.Rights{Own: []access.Grant{{May: []string{"*"}}}}}))
	if status, _, page := p.post("/console/messages/"+held+"/accept", form("reason", "two boxes of one")); status != http.StatusSeeOther {
		t.Errorf("somebody else: %d %s", status, p.says(page))
	}
}

// TestAMessageInDoubtSaysSoOnItsPage: it was sent, and nobody knows what became of it. Its page says that, what is done about it by itself, and what was met
// last, critical at a glance; not before it was sent, nor once it is settled.
func TestAMessageInDoubtSaysSoOnItsPage(t *testing.T) {
	const doubt = "It may be in the ERP and may not: it was sent"
	p := empty(t, storetest.SQLite(t))
	p.master()
	order := p.order()
	var id string
	p.tx(func(tx *store.Tx) error {
		list, _, err := p.out.Messages(p.t.Context(), tx, outbox.Filter{Link: "erp"}, "")
		if err != nil || len(list) != 1 || list[0].Key != order {
			t.Fatalf("%d messages, %v", len(list), err)
		}
		id = list[0].ID
		return nil
	})
	page := func() string { _, body := p.get("/console/messages/" + id); return p.says(body) }
	if got := page(); strings.Contains(got, doubt) {
		t.Errorf("before it is sent: %s", got)
	}
	settle := func(next outbox.Next) {
		p.tx(func(tx *store.Tx) error {
			claims, err := p.out.Claim(t.Context(), tx, "test", "erp", 1, 1)
			if err != nil || len(claims) != 1 {
				t.Fatalf("%d lanes, %v", len(claims), err)
			}
			next.ID = id
			_, _, err = p.out.Settle(t.Context(), tx, "erp", []outbox.Settlement{{Lane: claims[0].Lane, Token: claims[0].Token, Release: true, SentTo: 1, Next: next}})
			return err
		})
	}
	settle(outbox.Next{Verdict: message.Unsure, Sent: true, Reason: "the line broke <b>before</b> the answer"})
	if got := page(); !strings.Contains(got, doubt+", and no answer came. The ERP is asked for it, ") || !strings.Contains(got, "the line broke <b>before</b> the answer") {
		t.Errorf("asked for by itself: %s", got)
	}
	p.tx(func(tx *store.Tx) error { return p.out.PauseLane(t.Context(), tx, "erp", order, "a look") })
	if got := page(); !strings.Contains(got, doubt+", and no answer came. Its lane is paused; once it is resumed, the ERP is asked for it") {
		t.Errorf("paused: %s", got)
	}
	p.tx(func(tx *store.Tx) error { return p.out.Resume(t.Context(), tx, "erp", order, "seen") })
	settle(outbox.Next{State: outbox.Unknown, Verdict: message.Unsure, Reason: "the ERP cannot be asked"})
	_, body := p.get("/console/messages/" + id)
	if got := p.says(body); !strings.Contains(got, doubt+", no answer came, and the ERP could not say. Its lane stands still until a person says which. the ERP cannot be asked") {
		t.Errorf("left to a person: %s", got)
	}
	if !strings.Contains(body, "fd-object-status--critical") {
		t.Error("nothing shows that it is critical")
	}
	p.tx(func(tx *store.Tx) error {
		return p.out.MarkDelivered(t.Context(), tx, id, "1000042", "seen in the ERP")
	})
	if got := page(); strings.Contains(got, doubt) {
		t.Errorf("once it is settled: %s", got)
	}
}
