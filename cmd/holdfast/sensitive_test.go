package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/sap/idoc"
	"holdfast/internal/docnum"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
	"holdfast/internal/token"
)

// theirs is a personnel number that stands in what is planted, and may be told to the ERP alone.
const theirs = "canary-4715-person"

// TestASensitiveValueReachesTheERPAndNothingElse reports work under a personnel number. The ERP first refuses it, in words that repeat the
// number, then takes it, and repeats it in its receipt.
func TestASensitiveValueReachesTheERPAndNothingElse(t *testing.T) {
	for _, reveal := range []bool{true, false} {
		t.Run(fmt.Sprintf("reveal %t", reveal), func(t *testing.T) {
			t.Run("sqlite", func(t *testing.T) { plantPerson(t, "", reveal) })
			t.Run("postgres", func(t *testing.T) { plantPerson(t, storetest.PostgresURL(t), reveal) })
		})
	}
}

func plantPerson(t *testing.T, database string, reveal bool) {
	erp := &repeating{}
	srv := httptest.NewServer(erp)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	if status := run(t.Context(), []string{"init", dir, "--erp", srv.URL}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sensitive = &SensitiveConfig{}
	if reveal {
		l := cfg.Links["erp"]
		l.Reveal = []string{"person"}
		cfg.Links["erp"] = l
	}
	if database != "" {
		t.Setenv("HOLDFAST_CANARY_DATABASE", database)
		cfg.Database.URL = "env:HOLDFAST_CANARY_DATABASE"
	}
	traces := keepTraces(t, &cfg, dir)
	log := &lockedLog{}
	p := canaryPlant(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err := p.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	reportAs(t, p, theirs)
	receiveOf(t, p)
	if reveal {
		receiveThousand(t, p)
	}
	deliverAll(t, p)

	if got, want := strings.Contains(erp.said(), theirs), reveal; got != want {
		t.Errorf("the ERP was told the number: %t, want %t: %s", got, want, erp.said())
	}
	if err := p.tel.traces.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	if told, err := os.ReadFile(traces); err != nil || !bytes.Contains(told, []byte("deliver")) {
		t.Errorf("%d bytes of traces were sent, %v; want those of a delivery", len(told), err)
	}
	tok := storedToken(t, p)
	err = p.db.View(t.Context(), func(tx *store.Tx) error {
		found, err := p.tokens.Find(t.Context(), tx, "person", theirs)
		if err != nil || found != tok {
			t.Errorf("found by its value: %q, %v, want %s", found, err, tok)
		}
		_, is, err := p.tokens.Value(t.Context(), tx, tok)
		if is != theirs {
			t.Errorf("%s stands for %q, %v", tok, is, err)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	lookInConsole(t, p, tok)
	if reveal {
		mapWithoutKeys(t, p)
		searchCopy(t, p, dir, theirs, oneOfThousand)
	}
	searchAll(t, p, dir, log.Bytes(), theirs, oneOfThousand)
}

// TestALateAnswerThatRepeatsAValueIsKeptWithTheToken: what the ERP says after the delivery, by a refusal or by the status of an IDoc, is cleaned
// before the inbox keeps it, and so is what the message then says of itself. What names the message stays, whatever the number is a part of.
func TestALateAnswerThatRepeatsAValueIsKeptWithTheToken(t *testing.T) {
	answers := map[string]func(t *testing.T, p *process, id string) (kind string, body map[string]any){
		"a refusal": func(_ *testing.T, _ *process, id string) (string, map[string]any) {
			return outbox.RefusalKind, map[string]any{"message": id, "code": "P1", "text": "we do not know " + theirs}
		},
		"the status of an IDoc": func(t *testing.T, p *process, id string) (string, map[string]any) {
			t.Helper()
			var number string
			err := p.db.InTx(t.Context(), func(tx *store.Tx) (err error) {
				number, _, err = docnum.Number(t.Context(), tx, "erp", id, []string{id}, "")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return idoc.StatusKind, map[string]any{"number": number, "state": idoc.Refused, "code": "51", "text": "Person " + theirs + " is locked", "at": p.db.Now()}
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) { answerLate(t, answer) })
	}
}

// TestAnEventOfTheERPsOwnThatRepeatsAValueIsKeptWithTheToken, in whatever field it names the message, and so is why it is in quarantine.
func TestAnEventOfTheERPsOwnThatRepeatsAValueIsKeptWithTheToken(t *testing.T) {
	p, dir, log, id, tok := lateTo(t)
	d := receiveLate(t, p, "crm.complaint", map[string]any{"regarding": map[string]any{"ref": id, "quantity": 4711}, "remarks": []string{"person " + theirs + " is unknown to us"}})
	var got struct {
		Regarding struct{ Ref string }
		Remarks   []string
	}
	if err := json.Unmarshal(d.Body, &got); err != nil || d.State != inbox.Quarantined || got.Regarding.Ref != id || len(got.Remarks) != 1 || got.Remarks[0] != "person "+tok+" is unknown to us" {
		t.Errorf("the inbox has %s of %s, %v", d.State, d.Body, err)
	}
	searchAll(t, p, dir, log.Bytes(), theirs)
}

func answerLate(t *testing.T, answer func(t *testing.T, p *process, id string) (kind string, body map[string]any)) {
	p, dir, log, id, tok := lateTo(t)
	kind, said := answer(t, p, id)
	d := receiveLate(t, p, kind, said)
	if got := confirmed(t, p); !strings.Contains(got.Refused, tok) || strings.Contains(fmt.Sprintf("%+v", got), theirs) {
		t.Errorf("the message says %q of %+v, want the token", got.Refused, got)
	}
	if d.State != inbox.Done || !bytes.Contains(d.Body, []byte(tok)) || bytes.Contains(d.Body, []byte(theirs)) {
		t.Errorf("the inbox has %s of %s, want it applied, and the token", d.State, d.Body)
	}
	searchAll(t, p, dir, log.Bytes(), theirs)
}

// lateTo is a plant that has sent a message with a sensitive value, of which the ERP has not said yet what it makes of it.
func lateTo(t *testing.T) (p *process, dir string, log *lockedLog, id, tok string) {
	t.Helper()
	dir = t.TempDir()
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sensitive = &SensitiveConfig{}
	l := cfg.Links["erp"]
	l.Reveal = []string{"person"}
	cfg.Links["erp"] = l
	log = &lockedLog{}
	p = canaryPlant(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err := p.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	reportAs(t, p, theirs)
	m := confirmed(t, p)
	tok = storedToken(t, p)
	err = p.db.InTx(t.Context(), func(tx *store.Tx) error {
		claims, err := p.outbox.Claim(t.Context(), tx, "a", "erp", 10, 1)
		if err != nil || len(claims) != 1 {
			return fmt.Errorf("%d lanes are claimed, want one: %w", len(claims), err)
		}
		done := outbox.Done{ID: m.ID, Epoch: m.Epoch, Number: m.Number, Sent: true} // the ERP has it, and has not said yet what it makes of it
		_, _, err = p.outbox.Settle(t.Context(), tx, "erp", []outbox.Settlement{{Lane: claims[0].Lane, Token: claims[0].Token, Release: true, Done: []outbox.Done{done}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, dir, log, m.ID, tok
}

// receiveLate has the plant take what its ERP says, and gives it as the inbox keeps it.
func receiveLate(t *testing.T, p *process, kind string, said map[string]any) (d inbox.Message) {
	t.Helper()
	body, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := p.inbox.ReceiveAll(t.Context(), []message.Incoming{{Message: message.Message{
		ID: "late", Source: "urn:erp", Kind: kind, Version: 1, Key: "x/late", Time: p.db.Now(), Body: body, Place: message.Place{Role: message.Event},
	}}}, "erp")
	if err != nil || taken[0].Rejected != 0 || taken[0].Err != nil {
		t.Fatalf("taken %+v, %v", taken, err)
	}
	for n := 1; n > 0; {
		if n, err = p.inbox.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	err = p.db.View(t.Context(), func(tx *store.Tx) error {
		kept, err := p.inbox.Messages(t.Context(), tx, inbox.Filter{ID: "late"})
		if err == nil && len(kept) == 1 {
			d, err = p.inbox.Message(t.Context(), tx, kept[0].Seq)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lookInConsole looks a token up there, first without a reason.
func lookInConsole(t *testing.T, p *process, tok string) {
	t.Helper()
	pages := p.openConsole().Handler()
	for reason, want := range map[string]bool{"": false, "an accident report": true} {
		form := url.Values{"token": {tok}, "reason": {reason}, "key": {"0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a"}}
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/console/tokens/show", strings.NewReader(form.Encode()))
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, r)
		if got := strings.Contains(w.Body.String(), theirs); got != want {
			t.Errorf("with the reason %q the value is shown: %t, want %t: %d", reason, got, want, w.Code)
		}
	}
}

// mapWithoutKeys maps the message where nothing opens the value: it is to be tried again, and neither parked nor sent without it.
func mapWithoutKeys(t *testing.T, p *process) {
	t.Helper()
	at, err := p.cfg.databaseURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bare, err := store.Open(t.Context(), at, store.Config{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	m := confirmed(t, p)
	v, err := message.Verify(t.Context(), seal.Chain(m.Digest), m.Message)
	if err != nil {
		t.Fatal(err)
	}
	refs := func(context.Context, string) (string, bool, error) { return "000001000001", true, nil }
	_, err = p.cfg.mapper(p.live, p.tokens, bare).Apply(t.Context(), m.Mapping, v, refs)
	if problem.KindOf(err) != problem.Unavailable {
		t.Errorf("without the keys: got %v, want a problem of kind %s", err, problem.Unavailable)
	}
}

// reportAs confirms one piece over the API, by the key of its sender twice.
func reportAs(t *testing.T, p *process, person string) {
	t.Helper()
	reportOn(t, p, 1, person)
}

// reportOn is reportAs on the n-th order, which it gives.
func reportOn(t *testing.T, p *process, n int, person string) (order string) {
	t.Helper()
	order = releasedOrder(t, p, n)
	err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
		return p.outbox.SetReference(t.Context(), tx, "erp", "order/"+order, fmt.Sprintf("%012d", 1_000_000+n))
	})
	if err != nil {
		t.Fatal(err)
	}
	post(t, p, "/v1/orders/"+order+"/start", order, `{"by":"`+person+`"}`)
	for range 2 {
		confirmOn(t, p, order, "made", person)
	}
	return order
}

// confirmOn confirms one piece of an order with a text, by the key of its sender.
func confirmOn(t *testing.T, p *process, order, text, person string) {
	t.Helper()
	post(t, p, "/v1/confirmations", order+text, `{"order":"`+order+`","operation":"0010","yield":"1","personnel":"`+person+`","text":"`+text+`"}`)
}

// post calls the plant's API, which takes it and does not repeat the value.
func post(t *testing.T, p *process, path, key, body string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	p.floors.api().Handler().ServeHTTP(w, r)
	if w.Code >= 300 || strings.Contains(w.Body.String(), "canary") {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
}

// oneOfThousand is in each of a thousand numbers.
const oneOfThousand = "canary-4716-"

// receiveThousand has the ERP send a thousand numbers, each of which gets a token of its own.
func receiveThousand(t *testing.T, p *process) {
	t.Helper()
	var all []message.Incoming
	for shift := range 20 {
		var crew []string
		for n := range 50 {
			crew = append(crew, fmt.Sprintf(`{"personnel":"%s%03d"}`, oneOfThousand, 50*shift+n))
		}
		all = append(all, message.Incoming{Message: message.Message{
			ID: fmt.Sprint("shift-", shift), Source: "urn:erp", Kind: "no.such.kind", Version: 1, Key: "x/crew", Time: p.db.Now(),
			Body: []byte(`{"crew":[` + strings.Join(crew, ",") + `]}`), Place: message.Place{Role: message.Event},
		}})
	}
	taken, err := p.inbox.ReceiveAll(t.Context(), all, "erp")
	if err != nil || taken[0].Rejected != 0 || taken[0].Err != nil {
		t.Fatalf("taken %+v, %v", taken, err)
	}
	err = p.db.View(t.Context(), func(tx *store.Tx) error {
		for _, n := range []string{"000", "499", "999"} {
			if _, err := p.tokens.Find(t.Context(), tx, "person", oneOfThousand+n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("numbers that came in have no token: %v", err)
	}
}

// receiveOf has the ERP send what bears the number: believed, large, and not believed.
func receiveOf(t *testing.T, p *process) {
	t.Helper()
	in := func(id, more string) message.Incoming {
		return message.Incoming{Message: message.Message{
			ID: id, Source: "urn:erp", Kind: "no.such.kind", Version: 1, Key: "x/" + id, Time: p.db.Now(),
			Body: []byte(`{"entry":{"Personnel":"` + theirs + `"},"more":"` + more + `"}`), Place: message.Place{Role: message.Event},
		}}
	}
	rejected := in("r", "")
	rejected.Claimed = strings.Repeat("0", 64)
	taken, err := p.inbox.ReceiveAll(t.Context(), []message.Incoming{in("q", ""), in("l", strings.Repeat("x", 400_000)), rejected}, "erp")
	if err != nil || taken[0].Rejected != 0 || taken[2].Rejected == 0 {
		t.Fatalf("taken %+v, %v", taken, err)
	}
	again, err := p.inbox.ReceiveAll(t.Context(), []message.Incoming{in("q", "")}, "erp")
	if err != nil || again[0].Fresh || again[0].Rejected != 0 {
		t.Errorf("the same once more: %+v, %v", again, err)
	}
	for n := 1; n > 0; {
		if n, err = p.inbox.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// deliverAll relays until nothing is owed. What parks its lane is corrected by somebody who writes the number itself into it.
func deliverAll(t *testing.T, p *process) {
	t.Helper()
	relayUntil(t, p, func(m outbox.Detail) bool {
		if !m.Settled && m.LaneState.State == outbox.Parked {
			plain := bytes.ReplaceAll(m.Body, []byte(storedToken(t, p)), []byte(theirs))
			err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
				return p.outbox.Amend(t.Context(), tx, m.ID, bytes.Replace(plain, []byte("made"), []byte("made again"), 1), "corrected")
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return m.Settled
	})
}

// relayUntil relays until the message about the confirmation is as it should be.
func relayUntil(t *testing.T, p *process, is func(m outbox.Detail) bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var relaying sync.WaitGroup
	relaying.Go(func() {
		if err := p.relay(p.tel.registry).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer relaying.Wait()
	defer stop()
	woken, done := p.db.Subscribe(outbox.Topic)
	defer done()
	for end := time.Now().Add(time.Minute); ; {
		m := confirmed(t, p)
		if is(m) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute it is settled: %t, and its lane %s: %s", m.Settled, m.LaneState.State, m.LaneState.Reason)
		}
		select {
		case <-woken:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// confirmed is the message about the confirmation.
func confirmed(t *testing.T, p *process) outbox.Detail {
	t.Helper()
	var m outbox.Detail
	err := p.db.View(t.Context(), func(tx *store.Tx) error {
		all, _, err := p.outbox.Messages(t.Context(), tx, outbox.Filter{Limit: 10}, "")
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("%d messages, want one", len(all))
		}
		if err == nil {
			m, err = p.outbox.Message(t.Context(), tx, all[0].ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// storedToken is what the stored message has for the number.
func storedToken(t *testing.T, p *process) string {
	t.Helper()
	var b struct{ Confirmation struct{ Personnel string } }
	m := confirmed(t, p)
	if err := json.Unmarshal(m.Body, &b); err != nil || !token.Is(b.Confirmation.Personnel) {
		t.Fatalf("stored is %s, %v", m.Body, err)
	}
	for _, h := range m.History {
		if strings.Contains(h.Detail, theirs) {
			t.Errorf("the history says %s", h.Detail)
		}
	}
	return b.Confirmation.Personnel
}

// repeating is an ERP that repeats what it is told.
type repeating struct {
	mu    sync.Mutex
	heard []string // guarded by mu
}

func (e *repeating) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.heard, "\n")
}

// ServeHTTP refuses the first confirmation and takes the next.
func (e *repeating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodPost {
		_, _ = io.WriteString(w, `{"items":[]}`)
		return
	}
	var body map[string]any
	text, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(text, &body)
	e.mu.Lock()
	e.heard = append(e.heard, string(text))
	first := len(e.heard) == 1
	e.mu.Unlock()
	if first {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"type": "about:blank", "title": fmt.Sprintf("%v is no person of ours", body["personnel"]), "status": 422, "code": "person",
			"detail": fmt.Sprintf("we do not know %v", body["personnel"]),
		})
		return
	}
	body["number"], body["postedAt"] = "0000100001", "2026-11-27T10:00:00Z"
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(body)
}

// lockedLog is a log that many write to.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// Bytes is what was written so far.
func (l *lockedLog) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text.Bytes())
}
