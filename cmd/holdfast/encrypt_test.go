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
	"io"
	"log/slog"
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

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
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

// TestWhereNothingCanBeEncryptedTheConfigurationSaysSo, with the line.
func TestWhereNothingCanBeEncryptedTheConfigurationSaysSo(t *testing.T) {
	dir := t.TempDir()
	private, _ := receiverKeys(t, dir)
	written(t, filepath.Join(dir, "private.jwk"), string(private))
	for name, tt := range map[string]struct{ add, want string }{
		"a kind without it":   {"  s4: {kind: odata, encrypt_to: receiver.pem}\n", "links.s4.encrypt_to"},
		"a private key":       {"  mq: {kind: amqp, addresses: [\"amqp://127.0.0.1:1\"], user: u, password: \"env:P\", publish: {exchange: e}, encrypt_to: private.jwk}\n", "nobody but the receiver"},
		"no such file":        {"  mq: {kind: amqp, addresses: [\"amqp://127.0.0.1:1\"], user: u, password: \"env:P\", publish: {exchange: e}, encrypt_to: nowhere.pem}\n", "there is no such file"},
		"a key written out":   {"  mq: {kind: amqp, decrypt_with: '{\"kty\":\"EC\"}'}\n", "links.mq.decrypt_with"},
		"decrypted over rest": {"  r: {kind: rest, decrypt_with: \"file:private.jwk\"}\n", "links.r.decrypt_with"},
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
