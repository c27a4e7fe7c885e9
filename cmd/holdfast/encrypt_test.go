package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/erpmock"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// receiverKeys makes a key pair on P-256: the private one as a JWK, the public one as a file of PEM.
func receiverKeys(t *testing.T, dir string) (private []byte, public string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	private, err = json.Marshal(map[string]string{"kty": "EC", "crv": "P-256", "x": text(point[1:33]), "y": text(point[33:]), "d": text(d)})
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	public = filepath.Join(dir, "receiver.pem")
	written(t, public, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	return private, public
}

// onTheWay notes what is sent to an ERP, as somebody between the two could.
type onTheWay struct {
	mu     sync.Mutex
	bodies []string // guarded by mu
	next   http.Handler
}

// ServeHTTP implements http.Handler.
func (w *onTheWay) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodPost {
		w.mu.Lock()
		w.bodies = append(w.bodies, string(body))
		w.mu.Unlock()
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.next.ServeHTTP(rw, r)
}

// TestAPayloadIsReadByTheERPAlone sends a report over a link with encrypt_to. The ERP first puts it off, then takes it and its answer gets lost:
// the message is encrypted anew each time, and remains the same. Whoever carries it reads nothing; the ERP checks the origin's signature over
// what it has read, and the proof of the hop over what came.
func TestAPayloadIsReadByTheERPAlone(t *testing.T) {
	dir := t.TempDir()
	private, public := receiverKeys(t, dir)
	opener, err := seal.ParseOpener(private)
	if err != nil {
		t.Fatal(err)
	}
	var p *process
	var witness *prove.Witness
	m, address := erpmock.Start(t, nil, erpmock.Config{Decrypter: opener, Origin: func(statement string, e erpmock.Entry) error {
		s, _, err := message.ParseStatement(statement)
		if err == nil && (s.ID != e.MessageID || s.Digest() != e.Digest) {
			t.Errorf("the statement is of %s, the request of %s", s.ID, e.MessageID)
		}
		if err == nil {
			_, err = witness.Check(s)
		}
		return err
	}})
	if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	way := &onTheWay{next: httputil.NewSingleHostReverseProxy(to)}
	srv := httptest.NewServer(way)
	t.Cleanup(srv.Close)
	if status := run(t.Context(), []string{"init", dir, "--erp", srv.URL}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.Links["erp"]
	l.EncryptTo, l.Proof, l.REST.AskAfter, l.REST.Timeout = public, "http-signature", 2*time.Second, 2*time.Second
	cfg.Links["erp"] = l
	cfg.Sensitive = &SensitiveConfig{}
	p = canaryPlant(t, cfg, slog.New(slog.DiscardHandler))
	if err := p.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.proveLinks(t.Context()); err != nil {
		t.Fatal(err)
	}
	witness = prove.NewWitness(func() (*seal.Trust, error) { return p.ring.Trust(t.Context()) })
	err = m.SetFaults(
		erpmock.Fault{Kind: erpmock.Status, Status: http.StatusServiceUnavailable, RetryAfter: erpmock.Duration(time.Second), Method: "POST", Count: 1},
		erpmock.Fault{Kind: erpmock.Lost, Phase: erpmock.After, Method: "POST", Count: 1},
	)
	if err != nil {
		t.Fatal(err)
	}
	reportAs(t, p, "person-4716")
	deliverAll(t, p)

	want := confirmed(t, p)
	var tries []erpmock.Entry
	for _, e := range m.Journal() {
		if e.MessageID == want.ID && e.Method == http.MethodPost {
			tries = append(tries, e)
		}
	}
	if len(tries) != 2 || len(m.Effects()) != 1 {
		t.Fatalf("the ERP has %d requests and %d effects, want two and one", len(tries), len(m.Effects()))
	}
	for _, e := range tries {
		if !e.Encrypted || e.Origin != erpmock.Verified || e.Digest != want.Digest || !strings.Contains(e.Body, `"yield":"1"`) || e.Body != tries[0].Body {
			t.Errorf("the ERP read %+v", e)
		}
	}
	if len(way.bodies) != 2 || way.bodies[0] == way.bodies[1] {
		t.Errorf("%d requests were carried, of which no two are the same", len(way.bodies))
	}
	for _, body := range way.bodies {
		if strings.Contains(body, "yield") || strings.Contains(body, want.ID) || strings.Count(body, ".") != 4 {
			t.Errorf("on the way there was %s", body)
		}
	}
}

// between is somebody between two plants who may alter what the one says to the other.
type between struct {
	t        *testing.T
	from, to *brokerPlant
}

// says has the one plant owe a material to the other, and gives the event as it is on its way.
func (b *between) says(id string) map[string]any {
	b.t.Helper()
	err := b.from.db.InTx(b.t.Context(), func(tx *store.Tx) error {
		m, err := message.New(id, "material.changed", id, tx.Now, map[string]any{"number": id, "description": "told once", "baseUnit": "PCE", "batchManaged": false, "serialised": false})
		if err != nil {
			return err
		}
		return b.from.outbox.Append(b.t.Context(), tx, m)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	e := b.from.gets()
	if text := fmt.Sprint(e); strings.Contains(text, "told once") || e["datacontenttype"] != message.MediaJOSE {
		b.t.Errorf("on its way there is %s", text)
	}
	return e
}

// gives puts events before the other plant and says what has come of them once one more is taken or refused.
func (b *between) gives(what string, events ...map[string]any) (got counted) {
	b.t.Helper()
	before := b.to.tally(b.t)
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			b.t.Fatal(err)
		}
		b.to.broker.Put(b.t, b.to.in, amqp091.Publishing{ContentType: "application/cloudevents+json", Body: text})
	}
	b.to.until(what, func() bool {
		after := b.to.tally(b.t)
		got = counted{after.taken - before.taken, after.rejected - before.rejected, after.alerts - before.alerts}
		return got.taken+got.rejected > 0
	})
	return got
}

// material answers GET for it.
func (f *floors) material(number string) int {
	w := httptest.NewRecorder()
	f.api().Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/v1/materials/"+number, nil))
	return w.Code
}

// TestTwoPlantsReadEachOtherAlone: of what one plant encrypts to another, through a real broker, nobody between them reads anything or changes
// anything; and both keys are replaced while both plants run.
func TestTwoPlantsReadEachOtherAlone(t *testing.T) {
	dir := t.TempDir()
	private, public := receiverKeys(t, dir)
	key := written(t, filepath.Join(dir, "plant.jwk"), string(private))
	adds := func(line string) func(text string) string {
		return func(text string) string {
			return replaced(t, text, "    kind: amqp\n", "    kind: amqp\n    "+line+"\n")
		}
	}
	b := &between{t, startBrokerPlant(t, adds("encrypt_to: "+public), func(text string) string { return replaced(t, text, `"order.*"`, `"*"`) }), nil}
	b.to = startBrokerPlant(t, adds(`decrypt_with: "file:`+key+`"`))
	wants := func(what string, want counted, events ...map[string]any) {
		t.Helper()
		if got := b.gives(what, events...); got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	one, two, three := b.says("one"), b.says("two"), b.says("three")
	with := func(e map[string]any, data any, media string) map[string]any {
		e = maps.Clone(e)
		e["data"], e["datacontenttype"] = data, media
		return e
	}
	jwe := []byte(two["data"].(string))
	jwe[len(jwe)-30] ^= 1
	wants("as it was sent", believed, one)
	wants("with a byte altered", refused, with(two, string(jwe), message.MediaJOSE))
	wants("with another event's data", refused, with(two, one["data"], message.MediaJOSE))
	wants("with data that anybody can write", refused, with(two, map[string]any{"number": "two"}, "application/json"))
	wants("what was refused, as it was sent", believed, two)
	wants("again, and then another", believed, one, two, three)
	b.to.until("each has its effect", func() bool { return b.to.material("one") == http.StatusOK && b.to.material("three") == http.StatusOK })

	others := t.TempDir()
	other, otherPublic := receiverKeys(t, others)
	if err := os.Rename(otherPublic, public); err != nil {
		t.Fatal(err)
	}
	var next map[string]any
	for n := 0; next == nil || kidOf(t, next) == kidOf(t, one); n++ {
		next = b.says(fmt.Sprint("next-", n))
	}
	wants("to a key that nobody here has", refused, next)
	written(t, key, fmt.Sprintf(`{"keys":[%s,%s]}`, private, other))
	for got := refused; got != believed; {
		if got = b.gives("to a key that is here by now", next); got != believed && (got.taken != 0 || got.rejected != 1) {
			t.Fatalf("got %+v", got) // a refusal that comes again while its alert is open need not raise another
		}
	}
}

// TestTheAPIReadsWhatIsEncryptedToThePlant, and keeps aside with an alert what it cannot read.
func TestTheAPIReadsWhatIsEncryptedToThePlant(t *testing.T) {
	dir := t.TempDir()
	private, public := receiverKeys(t, dir)
	if status := run(t.Context(), []string{"init", dir, "--keys", "none"}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	file := filepath.Join(dir, "holdfast.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	written(t, file, replaced(t, string(text), "    kind: rest\n", "    kind: rest\n    decrypt_with: file:plant.jwk\n"))
	written(t, filepath.Join(dir, "plant.jwk"), string(private))
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := (&process{floors: f}).openKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	to, err := LinkConfig{EncryptTo: public}.receiver(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(body, event string) []byte {
		jwe, err := to.Encrypt([]byte(body), "application/json", event)
		if err != nil {
			t.Fatal(err)
		}
		return jwe
	}
	const body = `{"number":"M1","description":"a secret","baseUnit":"PCE","batchManaged":false,"serialised":false}`
	for _, tt := range []struct {
		name, id string
		media    string
		data     []byte
		status   int
		want     counted
	}{
		{"as it should be", "a", message.MediaJOSE, sealed(body, "a"), http.StatusAccepted, believed},
		{"again", "a", message.MediaJOSE, sealed(body, "a"), http.StatusAccepted, counted{}},
		{"another event's", "b", message.MediaJOSE, sealed(body, "a"), http.StatusUnprocessableEntity, refused},
		{"no JWE", "b", message.MediaJOSE, []byte(body), http.StatusUnprocessableEntity, refused},
		{"no JSON in it", "b", message.MediaJOSE, sealed("M1", "b"), http.StatusUnprocessableEntity, counted{rejected: 1}},
		{"not said to be encrypted", "b", "application/json", sealed(body, "b"), http.StatusUnprocessableEntity, counted{}},
		{"in the end", "b", message.MediaJOSE, sealed(body, "b"), http.StatusAccepted, believed},
	} {
		before := f.tally(t)
		text, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": tt.id, "source": "urn:erp", "type": "material.changed", "subject": "material/M1", "link": "erp", "datacontenttype": tt.media, "data_base64": tt.data,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/inbound-messages", bytes.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		f.api().Handler().ServeHTTP(w, r)
		after := f.tally(t)
		got := counted{after.taken - before.taken, after.rejected - before.rejected, after.alerts - before.alerts}
		if w.Code != tt.status || got != tt.want {
			t.Errorf("%s: got %d and %+v, want %d and %+v: %s", tt.name, w.Code, got, tt.status, tt.want, w.Body)
		}
	}
	err = f.db.View(t.Context(), func(tx *store.Tx) error {
		all, err := f.inbox.Messages(t.Context(), tx, inbox.Filter{Limit: 10})
		for _, m := range all {
			if m, err := f.inbox.Message(t.Context(), tx, m.Seq); err != nil || string(m.Body) != body {
				t.Errorf("the plant has read %s, %v", m.Body, err)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// kidOf is the key that the data of an event are encrypted to.
func kidOf(t *testing.T, event map[string]any) string {
	t.Helper()
	head, _, _ := strings.Cut(event["data"].(string), ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil || h.Kid == "" {
		t.Fatalf("%s: %v", text, err)
	}
	return h.Kid
}

// TestWhereNothingCanBeEncryptedTheConfigurationSaysSo, with the line.
func TestWhereNothingCanBeEncryptedTheConfigurationSaysSo(t *testing.T) {
	dir := t.TempDir()
	private, _ := receiverKeys(t, dir)
	written(t, filepath.Join(dir, "private.jwk"), string(private))
	for name, tt := range map[string]struct{ add, want string }{
		"a kind without it":    {"  s4: {kind: odata, encrypt_to: receiver.pem}\n", "links.s4.encrypt_to"},
		"a private key":        {"  mq: {kind: amqp, addresses: [\"amqp://127.0.0.1:1\"], user: u, password: \"env:P\", publish: {exchange: e}, encrypt_to: private.jwk}\n", "nobody but the receiver"},
		"no such file":         {"  mq: {kind: amqp, addresses: [\"amqp://127.0.0.1:1\"], user: u, password: \"env:P\", publish: {exchange: e}, encrypt_to: nowhere.pem}\n", "there is no such file"},
		"a key written out":    {"  mq: {kind: amqp, decrypt_with: '{\"kty\":\"EC\"}'}\n", "links.mq.decrypt_with"},
		"decrypted over odata": {"  s4: {kind: odata, decrypt_with: \"file:private.jwk\"}\n", "links.s4.decrypt_with"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "holdfast.yaml")
			_ = os.Remove(file)
			if status := run(t.Context(), []string{"init", dir, "--keys", "none"}, io.Discard, io.Discard); status != 0 {
				t.Fatalf("init ended with %d", status)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			written(t, file, strings.Replace(string(text), "\nlinks:\n", "\nlinks:\n"+tt.add, 1))
			var said bytes.Buffer
			if status := run(t.Context(), []string{"mapping", "check", "--config", file}, &said, &said); status == 0 || !strings.Contains(said.String(), tt.want) {
				t.Errorf("it ended with %d and says %s; want %s", status, said.String(), tt.want)
			}
		})
	}
}
