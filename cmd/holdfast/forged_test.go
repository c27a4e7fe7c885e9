package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/rest"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
	"holdfast/openapi"
)

// guarded is a plant that believes only what is signed: by its ERP over HTTP, in answers and receipts too, and by another one over a
// broker. Between the plant and the mock stands somebody who may alter what it answers.
type guarded struct {
	*floors
	t    *testing.T
	api  *httptest.Server
	mock *erpmock.Mock
	erp  seal.SigningKey // of the ERP behind link erp
	crm  seal.SigningKey // of another sender of that link
	mq   seal.SigningKey // of the sender behind link mq

	mu    sync.Mutex // guards alter
	alter func(h http.Header, body []byte) []byte
}

func signing(seed byte) seal.SigningKey {
	return seal.NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// keySet writes the public key of a sender as a JWK set.
func keySet(t *testing.T, seed byte) string {
	t.Helper()
	public := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	file := filepath.Join(t.TempDir(), "keys.json")
	set := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}]}`, signing(seed).ID, base64.RawURLEncoding.EncodeToString(public))
	if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// eachGuarded runs a test on both databases.
func eachGuarded(t *testing.T, test func(t *testing.T, g *guarded)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, openGuarded(t, "sqlite:plant.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, openGuarded(t, storetest.PostgresURL(t))) })
}

func openGuarded(t *testing.T, database string) *guarded {
	t.Helper()
	g := &guarded{t: t, erp: signing('e'), crm: signing('c'), mq: signing('m')}
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	t.Setenv("HOLDFAST_TEST_HOP", secret)
	t.Setenv("HOLDFAST_TEST_DB", database)
	shared, err := seal.SharedKey("plant", bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	plants := seal.NewGuard(map[string]seal.Policy{"plant": {Senders: []seal.Sender{{Name: "plant", Form: seal.ByHop, Keys: seal.FixedKeys{shared}}}}}, time.Now)
	erpKey := func() (seal.SigningKey, error) { return g.erp, nil }
	g.mock, err = erpmock.New(openapi.ERP(), erpmock.Config{
		Name: "erp.yaml", Hops: plants.Hops("plant"), Signer: seal.NewHopSigner(seal.ByHop, erpKey, time.Now),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.mock.Close() })
	between := httptest.NewServer(http.HandlerFunc(g.between))
	t.Cleanup(between.Close)
	g.open(database, between.URL)
	return g
}

// between passes a request on and, perhaps, alters the answer.
func (g *guarded) between(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	g.mock.Handler().ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	g.mu.Lock()
	if g.alter != nil {
		body = g.alter(rec.Header(), body)
	}
	g.mu.Unlock()
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body) // the plant may have left
}

func (g *guarded) open(database, erp string) {
	t := g.t
	t.Helper()
	dir := t.TempDir()
	if strings.HasPrefix(database, "postgres") {
		database = "env:HOLDFAST_TEST_DB"
	}
	text := fmt.Sprintf(`plant: {number: "1000"}
database: {url: %q}
links:
  erp:
    kind: rest
    base_url: %s
    spec: builtin:erp
    envelope: {message_id: messageId, digest: digest, lane: lane, lane_number: laneNumber}
    default: {receipt: /number, ask: {operation: findDocument, param: messageId, items: /items, match: /messageId, number: /number, kind: /type}}
    polls:
      - {name: work-centres, operation: listWorkCentres, mapping: erp-in/work-centre, kind: erp.work-centre, source: urn:erp,
         key: /number, version: /version, time: /changedAt, items: /items, since: changedAfter, token: /changeToken}
    proof: http-signature
    proof_secret: env:HOLDFAST_TEST_HOP
    proof_key: plant
    verify:
      authority: plant.example
      receipts: %[3]s
      senders:
        - {name: sap, form: http-signature, keys: %[3]s, sources: [urn:erp], kinds: ["erp.*", "material.*"]}
        - {name: crm, form: http-signature, keys: %[4]s, sources: [urn:crm], kinds: ["order.*"]}
  mq:
    kind: amqp
    addresses: ["amqp://127.0.0.1:1"]
    user: plant
    password: env:HOLDFAST_TEST_HOP
    queues: [{name: q}]
    receive: {queue: q}
    verify: {audience: plant-1000, senders: [{name: mq, form: jws, keys: %[5]s, sources: [urn:mq], kinds: ["material.*"]}]}
  open:
    kind: amqp
    addresses: ["amqp://127.0.0.1:1"]
    user: plant
    password: env:HOLDFAST_TEST_HOP
    queues: [{name: q}]
    receive: {queue: q}
`, database, erp, keySet(t, 'e'), keySet(t, 'c'), keySet(t, 'm'))
	file := filepath.Join(dir, "holdfast.yaml")
	cfg, err := parseConfig(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if status := run(t.Context(), []string{"migrate", "up", "--config", written(t, file, text)}, t.Output(), t.Output()); status != 0 {
		t.Fatalf("migrate ended with %d", status)
	}
	if g.floors, err = openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	p := &process{floors: g.floors}
	if err := p.proveLinks(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.api = httptest.NewServer(g.floors.api().Handler())
	t.Cleanup(g.api.Close)
}

func written(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// counted is what the plant has taken, kept as not believed, and raised as alerts.
type counted struct{ taken, rejected, alerts int }

func (g *guarded) tally() (n counted) {
	g.t.Helper()
	return g.floors.tally(g.t)
}

func (f *floors) tally(t *testing.T) (n counted) {
	t.Helper()
	err := f.db.View(t.Context(), func(tx *store.Tx) error {
		s, err := f.inbox.Status(t.Context(), tx)
		if err != nil {
			return err
		}
		all, err := f.inbox.Messages(t.Context(), tx, inbox.Filter{Limit: 1000})
		n.taken, n.rejected = len(all), int(s.Rejected)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(f.alerts.Collector())
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n.alerts += int(m.GetCounter().GetValue())
		}
	}
	return n
}

// wants holds what has come of something against what should have: it is given to do, and the change of the tally.
func (g *guarded) wants(t *testing.T, want counted, do func()) {
	t.Helper()
	before := g.tally()
	do()
	after := g.tally()
	if got := (counted{after.taken - before.taken, after.rejected - before.rejected, after.alerts - before.alerts}); got != want {
		t.Errorf("taken, not believed and alerted were %+v, want %+v", got, want)
	}
}

// posted is a request to the API with a signed event.
type posted struct {
	path   string
	header map[string][]string
	body   []byte
}

var nonceOf int

// event is a signed request; id is the event's.
func (g *guarded) event(key seal.SigningKey, id, source, kind string) *posted {
	g.t.Helper()
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"type":%q,"subject":"M1","time":%q,"link":"erp","data":{"note":"four of them"}}`,
		id, source, kind, time.Now().UTC().Format(time.RFC3339))
	p := &posted{path: "/v1/inbound-messages", body: []byte(body), header: map[string][]string{"Content-Type": {"application/json"}}}
	g.sign(p, key, time.Now())
	return p
}

func (g *guarded) sign(p *posted, key seal.SigningKey, at time.Time) {
	g.t.Helper()
	nonceOf++
	delete(p.header, "Content-Digest")
	delete(p.header, "Content-Length")
	h := &message.Hop{Method: http.MethodPost, Scheme: "https", Authority: "plant.example", Path: p.path, Header: p.header, Body: p.body}
	if err := key.ProveHop(h, at, fmt.Sprint("n", nonceOf)); err != nil {
		g.t.Fatal(err)
	}
}

// post sends it, whatever comes of it.
func (g *guarded) post(p *posted) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.api.URL+p.path, bytes.NewReader(p.body))
	if err != nil {
		g.t.Fatal(err)
	}
	for name, values := range p.header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
}

// replaced is text with its first old made new; both must be there.
func replaced(t *testing.T, text, old, now string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in %q", old, text)
	}
	return strings.Replace(text, old, now, 1)
}

var (
	believed = counted{taken: 1}
	refused  = counted{rejected: 1, alerts: 1}
)

// TestForgedRequestsHaveNoEffect posts what somebody has altered, stripped, kept back, repeated or made himself, between honest messages
// of which each is taken.
func TestForgedRequestsHaveNoEffect(t *testing.T) {
	eachGuarded(t, func(t *testing.T, g *guarded) {
		public, err := seal.NewSecretKey(g.erp.ID, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{'e'}, 32)).Public().(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		header := func(name, old, now string) func(p *posted) {
			return func(p *posted) { p.header[name] = []string{replaced(t, p.header[name][0], old, now)} }
		}
		body := func(old, now string) func(p *posted) {
			return func(p *posted) { p.body = []byte(replaced(t, string(p.body), old, now)) }
		}
		tests := []struct {
			name  string
			forge func(p *posted)
		}{
			{"a byte of the payload", body("four", "five")},
			{"a byte of the ID", body("forged", "Forged")},
			{"another type", body("material.", "materiel.")},
			{"another object", body(`"M1"`, `"M2"`)},
			{"another time", body(`"time":"2`, `"time":"3`)},
			{"a lane number", body(`"data"`, `"lane":"l","lanenumber":7,"data"`)},
			{"a version of the object", body(`"data"`, `"objectversion":"9","data"`)},
			{"another mapping", body(`"data"`, `"mapping":"erp-in/material","data"`)},
			{"the first byte of the signature", func(p *posted) { flip(p.header["Signature"], len("holdfast=:")) }},
			{"the last byte of the signature", func(p *posted) { flip(p.header["Signature"], len(p.header["Signature"][0])-5) }},
			{"the nonce", header("Signature-Input", `;nonce="n`, `;nonce="x`)},
			{"the creation", header("Signature-Input", ";created=1", ";created=2")},
			{"the key's name", header("Signature-Input", string(g.erp.ID), string(g.crm.ID))},
			{"a key's name that is a path", header("Signature-Input", string(g.erp.ID), "../../keys")},
			{"the tag", header("Signature-Input", `;tag="holdfast"`, `;tag="other"`)},
			{"the algorithm", header("Signature-Input", `alg="ed25519"`, `alg="hmac-sha256"`)},
			{"the parts that are covered", header("Signature-Input", `"content-digest" `, ``)},
			{"the digest", func(p *posted) { flip(p.header["Content-Digest"], 12) }},
			{"no signature", func(p *posted) { delete(p.header, "Signature"); delete(p.header, "Signature-Input") }},
			{"a signature without what it is over", func(p *posted) { delete(p.header, "Signature-Input") }},
			{"no digest", func(p *posted) { delete(p.header, "Content-Digest") }},
			{"signed by a stranger", func(p *posted) { g.sign(p, signing('s'), time.Now()) }},
			{"signed with the public key as a secret", func(p *posted) { g.sign(p, public, time.Now()) }},
			{"signed long ago", func(p *posted) { g.sign(p, g.erp, time.Now().Add(-time.Hour)) }},
			{"signed in the time to come", func(p *posted) { g.sign(p, g.erp, time.Now().Add(time.Hour)) }},
			{"signed for another path", func(p *posted) { p.path = "/v1/other"; g.sign(p, g.erp, time.Now()); p.path = "/v1/inbound-messages" }},
			{"signed by another sender of the link", func(p *posted) { g.sign(p, g.crm, time.Now()) }},
			{"a kind that its sender may not send", func(p *posted) { body("material.", "goods.")(p); g.sign(p, g.erp, time.Now()) }},
			{"over a link that checks nothing", func(p *posted) { body(`"link":"erp"`, `"link":"open"`)(p); g.sign(p, g.erp, time.Now()) }},
			{"over a link of another sender", func(p *posted) { body(`"link":"erp"`, `"link":"mq"`)(p); g.sign(p, g.erp, time.Now()) }},
		}
		for n, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := g.event(g.erp, fmt.Sprint("forged-", n), "urn:erp", "material.changed")
				tt.forge(p)
				g.wants(t, refused, func() { g.post(p) })
				g.wants(t, believed, func() { g.post(g.event(g.erp, fmt.Sprint("forged-", n), "urn:erp", "material.changed")) })
			})
		}
		t.Run("over a link that is not there", func(t *testing.T) { // its sender is told at once
			p := g.event(g.erp, "nowhere", "urn:erp", "material.changed")
			body(`"link":"erp"`, `"link":"none"`)(p)
			g.wants(t, counted{}, func() { g.post(p) })
		})
		t.Run("repeated", func(t *testing.T) {
			p := g.event(g.erp, "once", "urn:erp", "material.changed")
			g.wants(t, believed, func() { g.post(p) })
			g.wants(t, refused, func() { g.post(p) })
			g.wants(t, counted{}, func() { g.post(g.event(g.erp, "once", "urn:erp", "material.changed")) }) // sent again by its sender
		})
	})
}

// flip alters one byte of base64 in a header.
func flip(values []string, at int) {
	b := []byte(values[0])
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	values[0] = string(b)
}

// TestForgedEventsFromABrokerHaveNoEffect does the same with events that bring a signature of their own.
func TestForgedEventsFromABrokerHaveNoEffect(t *testing.T) {
	eachGuarded(t, func(t *testing.T, g *guarded) {
		numbers := map[string]int64{}
		event := func(id, lane string) message.Incoming {
			numbers[lane]++
			in := message.Incoming{Message: message.Message{
				ID: id, Source: "urn:mq", Kind: "material.changed", Version: 1, Key: "M1", Time: time.Now().UTC(), Body: []byte(`{"note":"four"}`),
				Place: message.Place{Link: "plant-1000", Lane: lane, Epoch: 1, Number: numbers[lane], Prev: "aa", Role: message.Event},
			}}
			g.signEvent(&in, g.mq)
			return in
		}
		other := event("other", "side")
		tests := []struct {
			name  string
			forge func(in *message.Incoming)
		}{
			{"the payload", func(in *message.Incoming) { in.Body = []byte(`{"note":"five"}`) }},
			{"the ID", func(in *message.Incoming) { in.ID += "x" }},
			{"the kind", func(in *message.Incoming) { in.Kind = "material.deleted" }},
			{"the lane", func(in *message.Incoming) { in.Lane += "x" }},
			{"the number", func(in *message.Incoming) { in.Number++ }},
			{"the epoch", func(in *message.Incoming) { in.Epoch++ }},
			{"the predecessor", func(in *message.Incoming) { in.Prev = "bb" }},
			{"the role", func(in *message.Incoming) { in.Role = message.Void }},
			{"what it voids", func(in *message.Incoming) { in.Refers = "cc" }},
			{"the time", func(in *message.Incoming) { in.Time = in.Time.Add(time.Second) }},
			{"the version of the object", func(in *message.Incoming) { in.ObjectVersion = "9" }},
			{"the link, and signed for it", func(in *message.Incoming) { in.Link = "plant-2000"; g.signEvent(in, g.mq) }},
			{"the source, and signed so", func(in *message.Incoming) { in.Source = "urn:erp"; g.signEvent(in, g.mq) }},
			{"the header of the signature", func(in *message.Incoming) { in.Signature = "x" + in.Signature }},
			{"the end of the signature", func(in *message.Incoming) { in.Signature = in.Signature[:len(in.Signature)-4] + "AAAA" }},
			{"the signature of another message", func(in *message.Incoming) { in.Signature = other.Signature }},
			{"no signature", func(in *message.Incoming) { in.Signature = "" }},
			{"a signature by no algorithm", func(in *message.Incoming) { in.Signature = headed(t, in.Signature, "EdDSA", "none") }},
			{"a signature by a weaker one", func(in *message.Incoming) { in.Signature = headed(t, in.Signature, "EdDSA", "HS256") }},
			{"another key's name", func(in *message.Incoming) { in.Signature = headed(t, in.Signature, string(g.mq.ID), string(g.erp.ID)) }},
			{"a stranger's signature", func(in *message.Incoming) { g.signEvent(in, signing('s')) }},
			{"the signature of the ERP behind another link", func(in *message.Incoming) { g.signEvent(in, g.erp) }},
		}
		for n, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				lane := fmt.Sprint("lane-", n)
				honest := event(fmt.Sprint("m", n), lane)
				forged := honest
				tt.forge(&forged)
				g.wants(t, counted{taken: 1, rejected: 1, alerts: 1}, func() { g.hand("mq", forged, honest) })
			})
		}
		t.Run("repeated", func(t *testing.T) {
			again := event("again", "again")
			g.wants(t, believed, func() { g.hand("mq", again, again) })
		})
		t.Run("over a link that checks nothing", func(t *testing.T) {
			g.wants(t, refused, func() { g.hand("open", event("swapped", "swapped")) })
		})
	})
}

func (g *guarded) signEvent(in *message.Incoming, key seal.SigningKey) {
	g.t.Helper()
	var err error
	if in.Signature, err = key.SignMessage(in.Message, in.ObjectVersion); err != nil {
		g.t.Fatal(err)
	}
}

// hand gives a batch to the plant as a broker's link does.
func (g *guarded) hand(link string, batch ...message.Incoming) {
	g.t.Helper()
	if err := g.accept(link)(g.t.Context(), batch); err != nil {
		g.t.Fatal(err)
	}
}

// headed alters the protected header of a JWS.
func headed(t *testing.T, token, old, now string) string {
	t.Helper()
	encoded, rest, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(replaced(t, string(header), old, now))) + "." + rest
}

// confirmed is a delivery that the mock takes.
func (g *guarded) confirmed(id string) message.Delivery {
	g.t.Helper()
	m := message.Message{
		ID: id, Source: "urn:plant", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Now().UTC(), Body: []byte(`{}`),
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
	}
	v, err := message.Verify(g.t.Context(), seal.Chain(m.Digest()), m)
	if err != nil {
		g.t.Fatal(err)
	}
	return message.Delivery{Event: v, Digest: m.Digest(), Quiet: true, Doc: message.Document{
		Mapping: "test", Target: "createConfirmation",
		Body: []byte(`{"order":"000001000001","operation":"0010","yield":"12.500","unit":"PCE","postingDate":"2026-11-24"}`),
	}}
}

// through has somebody alter what the ERP answers meanwhile.
func (g *guarded) through(alter func(h http.Header, body []byte) []byte, do func()) {
	set := func(f func(h http.Header, body []byte) []byte) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.alter = f
	}
	set(alter)
	defer set(nil)
	do()
}

// TestForgedAnswersAndReceiptsProveNothing has answers and receipts altered, stripped and swapped. The outcome is then unknown; the ERP is
// asked, and what it says is believed as soon as it can be.
func TestForgedAnswersAndReceiptsProveNothing(t *testing.T) {
	eachGuarded(t, func(t *testing.T, g *guarded) {
		link := g.links["erp"].(*rest.Link)
		if err := g.mock.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
			t.Fatal(err)
		}
		deliver := func(d message.Delivery) message.Outcome { return link.Deliver(t.Context(), []message.Delivery{d})[0] }
		var kept http.Header // of an answer to another message
		g.through(func(h http.Header, body []byte) []byte { kept = h.Clone(); return body }, func() {
			out := deliver(g.confirmed("honest"))
			if out.Verdict != message.Delivered || out.Receipt.Document == "" || strings.Count(out.Receipt.Signed, ".") != 2 {
				t.Fatalf("an honest answer makes %s, signed %q", out, out.Receipt.Signed)
			}
		})
		receipt := func(change func(string) string) func(h http.Header, body []byte) []byte {
			return func(h http.Header, body []byte) []byte {
				h.Set("Holdfast-Receipt", change(h.Get("Holdfast-Receipt")))
				return body
			}
		}
		tests := []struct {
			name  string
			alter func(h http.Header, body []byte) []byte
		}{
			{"no receipt", func(h http.Header, body []byte) []byte { h.Del("Holdfast-Receipt"); return body }},
			{"the receipt of another message", receipt(func(string) string { return kept.Get("Holdfast-Receipt") })},
			{"an altered receipt", receipt(func(s string) string { return s[:len(s)-4] + "AAAA" })},
			{"a receipt by no algorithm", receipt(func(s string) string { return headed(t, s, "EdDSA", "none") })},
			{"a receipt of another use", receipt(func(s string) string { return headed(t, s, "receipt", "message") })},
			{"a stranger's receipt", receipt(func(string) string {
				s, err := signing('s').SignReceipt(seal.SignedReceipt{ID: "x", Verdict: seal.Accepted})
				if err != nil {
					t.Error(err)
				}
				return s
			})},
			{"an altered answer", func(_ http.Header, body []byte) []byte {
				return bytes.Replace(body, []byte(`"number":"`), []byte(`"number":"9`), 1)
			}},
			{"an unsigned answer", func(h http.Header, body []byte) []byte { h.Del("Signature"); return body }},
			{"the answer to another request", func(h http.Header, body []byte) []byte {
				h["Signature"], h["Signature-Input"] = kept["Signature"], kept["Signature-Input"]
				return body
			}},
		}
		for n, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				d := g.confirmed(fmt.Sprint("m", n))
				g.wants(t, counted{alerts: 2}, func() {
					g.through(tt.alter, func() {
						if out := deliver(d); out.Verdict != message.Unsure {
							t.Errorf("delivered: %s, want it to be unknown", out)
						}
						if out, err := link.Ask(t.Context(), d); out.Verdict == message.Delivered || out.Verdict == message.Again || err == nil && out.Err == nil {
							t.Errorf("asked: %s, %v, want it to stay unknown", out, err)
						}
					})
				})
				out, err := link.Ask(t.Context(), d)
				if err != nil || out.Verdict != message.Delivered || out.Receipt.Signed == "" {
					t.Errorf("asked when nobody alters anything: %s, %v", out, err)
				}
			})
		}
		for _, e := range g.mock.Journal() {
			if e.Hop != erpmock.Verified {
				t.Errorf("%s %s came to the ERP with a proof of which it says %q", e.Method, e.Path, e.Hop)
			}
		}
	})
}

// TestForgedPageOfAPollIsKeptAndReadAgain has a page altered: nothing of it is taken, its token neither.
func TestForgedPageOfAPollIsKeptAndReadAgain(t *testing.T) {
	eachGuarded(t, func(t *testing.T, g *guarded) {
		if err := g.mock.Seed("workCentre", map[string]any{"number": "WELD", "plant": "1000", "description": "Welding"}); err != nil {
			t.Fatal(err)
		}
		poll := g.links["erp"].(*rest.Link).Polls()[0]
		read := func(cursor string) string {
			batch, next, err := poll.Poll(t.Context(), cursor)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.inbox.ReceiveAll(t.Context(), batch, "erp"); err != nil {
				t.Fatal(err)
			}
			return next
		}
		altered := func(_ http.Header, body []byte) []byte {
			return bytes.Replace(body, []byte("Welding"), []byte("Milling"), 1)
		}
		g.wants(t, counted{rejected: 1, alerts: 2}, func() {
			g.through(altered, func() {
				if next := read(""); next != "" {
					t.Errorf("it goes on at %q, want it to stay", next)
				}
			})
		})
		g.wants(t, believed, func() {
			if next := read(""); next == "" {
				t.Error("it does not go on")
			}
		})
	})
}
