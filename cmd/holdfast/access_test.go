package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	a.cert = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, public)
	return a
}

func (a *authority) sign(c *x509.Certificate, public ed25519.PublicKey) *x509.Certificate {
	a.t.Helper()
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// pair issues a certificate for a server on this machine, or for a client of a URI, and writes it with its key into two files.
func (a *authority) pair(cert, key, uri string) tls.Certificate {
	a.t.Helper()
	c := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			a.t.Fatal(err)
		}
		c = &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{u}}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(cert, "CERTIFICATE", a.sign(c, public).Raw)
	a.write(key, "PRIVATE KEY", der)
	out, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// closedPlant is a plant whose API is called over TLS by those that it knows.
type closedPlant struct {
	t      *testing.T
	dir    string
	api    string
	ca     *authority
	client *http.Client // without a certificate
}

const closedConfig = `plant: {number: "1000"}
api: {listen: "127.0.0.1:0", tls: {cert: api.crt, key: api.key, client_ca: ca.crt}}
ops: {listen: "127.0.0.1:0"}
access:
  clients:
    erp-prod: {uri: "spiffe://company/erp", roles: [viewer]}
`

func openClosed(t *testing.T) *closedPlant {
	t.Helper()
	return openClosedIn(t, t.TempDir(), closedConfig)
}

// openClosedIn runs a plant of a configuration in a folder.
func openClosedIn(t *testing.T, dir, text string) *closedPlant {
	t.Helper()
	p := &closedPlant{t: t, dir: dir, ca: newAuthority(t)}
	p.ca.write(filepath.Join(p.dir, "ca.crt"), "CERTIFICATE", p.ca.cert.Raw)
	p.ca.pair(filepath.Join(p.dir, "api.crt"), filepath.Join(p.dir, "api.key"), "")
	p.client = p.calling()
	file := filepath.Join(p.dir, "holdfast.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	tel, err := openTelemetry(t.Context(), cfg.Telemetry)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &process{floors: f, tel: tel}
	if err := s.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.openKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.api = "https://" + s.api.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// calling is a client that knows the plant's CA, with certificates of its own.
func (p *closedPlant) calling(own ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(p.ca.cert)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: own, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return &http.Client{Transport: tr}
}

// get calls the API, with a token if there is one.
func (p *closedPlant) get(c *http.Client, token, path string) (int, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.api+path, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode, err
}

func (p *closedPlant) command(status int, args ...string) string {
	p.t.Helper()
	var out, told bytes.Buffer
	if got := run(p.t.Context(), append(args, "--config", filepath.Join(p.dir, "holdfast.yaml")), &out, &told); got != status {
		p.t.Fatalf("%v ends with %d, want %d: %s", args, got, status, told.String())
	}
	return out.String()
}

// TestTheAPIIsCalledOverTLSByThoseItKnows goes through the ways in: none, a token that a command makes and revokes, a certificate.
func TestTheAPIIsCalledOverTLSByThoseItKnows(t *testing.T) {
	p := openClosed(t)
	want := func(what string, status int, c *http.Client, token, path string) {
		t.Helper()
		if got, err := p.get(c, token, path); err != nil || got != status {
			t.Errorf("%s: %d, %v; want %d", what, got, err, status)
		}
	}
	want("nobody", 401, p.client, "", "/v1/orders")

	token := strings.TrimSpace(p.command(0, "access", "token", "create", "board", "--role", "viewer", "--reason", "a board"))
	want("a token", 200, p.client, token, "/v1/orders")
	want("a token beyond its role", 403, p.client, token, "/v1/audit-entries")
	var list []tokenView
	if err := json.Unmarshal([]byte(p.command(0, "access", "token", "list", "--json")), &list); err != nil || len(list) != 1 || !list[0].Good || list[0].Used == nil {
		t.Errorf("got %+v, %v", list, err)
	}
	p.command(2, "access", "token", "create", "board", "--role", "king", "--reason", "a board")
	p.command(0, "access", "token", "revoke", "board", "--reason", "stolen")
	want("a revoked token", 401, p.client, token, "/v1/orders")
	p.command(3, "access", "token", "revoke", "board", "--reason", "again")

	erp := p.calling(p.ca.pair(filepath.Join(p.dir, "erp.crt"), filepath.Join(p.dir, "erp.key"), "spiffe://company/erp"))
	want("a known certificate", 200, erp, "", "/v1/orders")
	want("a known certificate with a wrong token", 401, erp, "hfat_00000000_x", "/v1/orders")
	other := p.calling(p.ca.pair(filepath.Join(p.dir, "o.crt"), filepath.Join(p.dir, "o.key"), "spiffe://company/other"))
	want("a certificate of nobody known", 401, other, "", "/v1/orders")
	stranger := newAuthority(t)
	forged := p.calling(stranger.pair(filepath.Join(p.dir, "f.crt"), filepath.Join(p.dir, "f.key"), "spiffe://company/erp"))
	if got, err := p.get(forged, "", "/v1/orders"); err == nil {
		t.Errorf("a certificate of another CA: %d, want no connection", got)
	}
	if res, err := http.Get(strings.Replace(p.api, "https", "http", 1) + "/v1/orders"); err == nil {
		if res.Body.Close(); res.StatusCode != 400 {
			t.Errorf("without TLS: %d, want 400", res.StatusCode)
		}
	}
	old := p.calling()
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if got, err := p.get(old, "", "/v1/orders"); err == nil {
		t.Errorf("with TLS 1.2: %d, want no connection", got)
	}
	p.onRecord(token)
}

// TestTLS12IsSpokenByModernSuitesAlone, and only where the configuration has it.
func TestTLS12IsSpokenByModernSuitesAlone(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t)
	cfg := Config{file: filepath.Join(dir, "holdfast.yaml")}
	cfg.API.TLS.Cert, cfg.API.TLS.Key = filepath.Join(dir, "api.crt"), filepath.Join(dir, "api.key")
	ca.pair(cfg.API.TLS.Cert, cfg.API.TLS.Key, "")
	for _, tt := range []struct {
		name, least string
		suites      []uint16
		good        bool
	}{
		{"1.2 by default", "", nil, false},
		{"1.2 as configured", "1.2", nil, true},
		{"1.2 with CBC and SHA-1", "1.2", []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}, false},
	} {
		cfg.API.TLS.Least = tt.least
		secure, err := cfg.tlsOf()
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		go func() {
			_ = tls.Server(there, secure).HandshakeContext(t.Context()) // the client tells
			_ = there.Close()
		}()
		client := tls.Client(here, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: tt.suites})
		if err := client.HandshakeContext(t.Context()); (err == nil) != tt.good {
			t.Errorf("%s: got %v, want a connection: %t", tt.name, err, tt.good)
		}
		_ = here.Close()
	}
}

// seen is what a browser ends with: the last answer, and the request that it was to.
type seen struct {
	StatusCode int
	Request    *http.Request
}

// TestAPersonSignsInToTheConsole goes the way of a browser: led to the form, in with password and code, out again.
func TestAPersonSignsInToTheConsole(t *testing.T) {
	p := openClosed(t)
	told := p.command(0, "access", "user", "add", "anna", "--role", "viewer", "--reason", "shift A")
	password, recovery := toldOf(t, told, "password: "), strings.Fields(toldOf(t, told, "recovery codes, each good once: "))
	p.command(1, "access", "user", "add", "anna", "--role", "viewer", "--reason", "again")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := p.calling()
	browser.Jar = jar
	at := func(method, path string, form url.Values, header ...string) seen {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, p.api+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if !strings.HasPrefix(res.Header.Get("Strict-Transport-Security"), "max-age=31536000") {
			t.Errorf("%s %s has no Strict-Transport-Security", method, path)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s may be read by other sites", method, path)
		}
		return seen{res.StatusCode, res.Request}
	}
	if res := at("GET", "/console/messages?link=erp", nil); res.StatusCode != 200 || res.Request.URL.Path != "/console/sign-in" || res.Request.URL.Query().Get("back") != "/console/messages?link=erp" {
		t.Errorf("nobody: %d at %s, want the form", res.StatusCode, res.Request.URL)
	}
	// has tells whether the text of a page has all of some words.
	has := func(path string, words ...string) {
		t.Helper()
		res, err := browser.Get(p.api + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		for _, word := range words {
			if err != nil || !strings.Contains(string(text), word) {
				t.Errorf("%s has no %s, %v", path, word, err)
			}
		}
	}
	has("/console/sign-in", `type="password"`, `autocomplete="current-password"`, `autocomplete="one-time-code"`)
	form := url.Values{"name": {"anna"}, "password": {password}, "code": {recovery[0]}, "back": {"https://evil.example/console/"}}
	if res := at("POST", "/console/sign-in", form, "Sec-Fetch-Site", "cross-site"); res.StatusCode != 403 {
		t.Errorf("a form of another site: %d, want 403", res.StatusCode)
	}
	wrong := url.Values{"name": {"anna"}, "password": {"wrong"}, "code": {recovery[0]}}
	if res := at("POST", "/console/sign-in", wrong); res.StatusCode != 401 {
		t.Errorf("a wrong password: %d, want 401", res.StatusCode)
	}
	if res := at("POST", "/console/sign-in", form); res.StatusCode != 200 || !onlyOverTLS(res.Request.Response) || res.Request.URL.Path != "/console/" || res.Request.URL.Host != strings.TrimPrefix(p.api, "https://") {
		t.Errorf("signing in: %d at %s, want the first page", res.StatusCode, res.Request.URL)
	}
	if a, b, c := at("GET", "/console/messages", nil), at("GET", "/console/audit", nil), at("GET", "/v1/orders", nil); a.StatusCode != 200 || b.StatusCode != 403 || c.StatusCode != 401 {
		t.Errorf("messages %d, the record %d, the API %d; want 200, 403 and 401", a.StatusCode, b.StatusCode, c.StatusCode)
	}
	has("/console/", `action="/console/sign-out"`)
	p.command(0, "access", "user", "sign-out", "anna", "--reason", "laptop lost")
	if res := at("GET", "/console/messages", nil); res.Request.URL.Path != "/console/sign-in" {
		t.Errorf("signed out everywhere: at %s, want the form", res.Request.URL)
	}
	p.command(0, "access", "user", "disable", "anna", "--reason", "has left")
	form.Set("code", recovery[1])
	if res := at("POST", "/console/sign-in", form); res.StatusCode != 401 {
		t.Errorf("disabled: %d, want 401", res.StatusCode)
	}
}

// onlyOverTLS tells whether an answer sets a cookie, and all that it sets are sent over TLS alone and seen by no script.
func onlyOverTLS(res *http.Response) bool {
	if res == nil || len(res.Cookies()) == 0 {
		return false
	}
	for _, k := range res.Cookies() {
		if !k.Secure || !k.HttpOnly || !strings.HasPrefix(k.Name, "__Host-") {
			return false
		}
	}
	return true
}

// toldOf is what stands behind a word on a line of its own.
func toldOf(t *testing.T, text, word string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("no %q in %q", word, text)
	return ""
}

// onRecord looks for the acts and the refusals in the record, and for the token nowhere.
func (p *closedPlant) onRecord(token string) {
	p.t.Helper()
	var entries []entryView
	text := p.command(0, "audit", "list", "--json")
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		p.t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		got[e.Action] += e.Actor + ":" + e.Outcome + " "
	}
	for action, want := range map[string]string{
		"access.token-create": audit.Done, "access.token-revoke": audit.Done, "access.sign-in": "unknown:refused", "access.refusal": "token:board:refused",
	} {
		if !strings.Contains(got[action], want) {
			p.t.Errorf("%s: got %q, want %q", action, got[action], want)
		}
	}
	if strings.Contains(text, token) {
		p.t.Error("the record has the token")
	}
}

func TestWhoMayCallIsCheckedAtLoad(t *testing.T) {
	const head = "plant: {number: \"1000\"}\n"
	const cert = "  tls: {cert: a.crt, key: a.key}\n"
	// dir is a good directory but for one line.
	dir := func(line string) string {
		all := map[string]string{"urls": "[ldaps://dc]", "base": "DC=x", "user": "u", "password": "file:p", "roles": "{g: [viewer]}"}
		key, value, _ := strings.Cut(line, ": ")
		all[key] = value
		text := "access:\n  directory:\n"
		for key, value := range all {
			text += "    " + key + ": " + value + "\n"
		}
		return text
	}
	tests := []struct{ name, text, want string }{
		{"every address without access", "api:\n  listen: 0.0.0.0:8420\n", "api.listen: it is not a loopback address"},
		{"every address with access and without TLS", "api:\n  listen: 0.0.0.0:8420\naccess: {}\n", "api.listen: it is not a loopback address"},
		{"every address with TLS and without access", "api:\n  listen: 0.0.0.0:8420\n" + cert, "api.listen: it is not a loopback address"},
		{"every address with both", "api:\n  listen: 0.0.0.0:8420\n" + cert + "access: {}\n", ""},
		{"the metrics on every address", "ops: {listen: \"0.0.0.0:8421\"}\napi:\n" + cert + "access: {}\n", "ops.listen: it is not a loopback address"},
		{"half a certificate", "api: {tls: {cert: a.crt}}\n", "api.tls: it has a certificate or a key"},
		{"a role that permits nothing", "access: {roles: {x: [{may: [order.eat]}]}}\n", "is neither a permission nor an action"},
		{"an account of no role", "access: {shell: {anna: [king]}}\n", "it is none of admin"},
		{"clients of no CA", "access: {clients: {erp: {uri: \"spiffe://x\", roles: [erp]}}}\n", "nothing says who issues their certificates"},
		{"two names of a client", "api: {tls: {client_ca: ca}}\naccess: {clients: {erp: {uri: \"a:b\", dns: c, roles: [erp]}}}\n", "none of uri, dns and sha256"},
		{"keys without TLS", "access: {issuers: [{issuer: i, audience: a, jwks: \"http://login.example/keys\"}]}\n", "it is no https address"},
		{"one client twice", "access: {issuers: [{issuer: i, audience: a, jwks: \"https://login.example/keys\", clients: {x: {id: c}, y: {id: c}}}]}\n", "it is the client of x"},
		{
			"one issuer twice", "access: {issuers: [{issuer: i, audience: a, jwks: \"https://a.example/k\"}, {issuer: i, audience: b, jwks: \"https://b.example/k\"}]}\n",
			"it is named twice",
		},
		{"a directory in clear", dir("urls: [\"http://dc\"]"), "it is no address of a controller"},
		{"a directory with a password in its address", dir("urls: [\"ldaps://a:b@dc\"]"), "it is no address of a controller"},
		{"a directory of nobody", dir("roles: {}"), "no group has a role"},
		{"a directory that gives a role that is none", dir("roles: {g: [king]}"), "it is none of admin"},
		{"a directory that is asked too seldom", dir("sync: 31s"), "sync is 30s at most"},
		{"a directory without a user", dir("user: \"\""), "base, user and password are required"},
		{"a directory", dir("keep: 4h"), ""},
		{"badges without a key", "access: {badges: {terminals: {press: 10.1.7.21}}}\n", "access.badges.key: it is missing"},
		{"badges nowhere", "access: {badges: {key: \"file:k\"}}\n", "access.badges.terminals: there is none"},
		{"a terminal that is no address", "access: {badges: {key: \"file:k\", terminals: {press: press-7}}}\n", "it is no address and no network"},
		{"badges", "access: {badges: {key: \"file:k\", terminals: {press: 10.1.7.21, weld: \"10.1.8.0/24\", paint: \"2001:db8::/64\"}}}\n", ""},
		{"a console in clear", "access: {url: \"http://plant.example\"}\n", "access.url: it is no https address"},
		{"an issuer for nobody", "access: {issuers: [{issuer: i, jwks: \"https://login.example/keys\"}]}\n", "issuer and audience are required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseConfig("/x/holdfast.yaml", []byte(head+tt.text))
			if tt.want == "" && err != nil || tt.want != "" && (problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestARenewedCertificateIsUsed: the listener takes the new file, and stays with the last one that was good.
func TestARenewedCertificateIsUsed(t *testing.T) {
	dir, a := t.TempDir(), newAuthority(t)
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	first := a.pair(cert, key, "")
	p := &keyPair{cert: cert, key: key}
	is := func(want tls.Certificate) {
		t.Helper()
		got, err := p.get(nil)
		if err != nil || !bytes.Equal(got.Certificate[0], want.Certificate[0]) {
			t.Errorf("got another certificate, %v", err)
		}
	}
	is(first)
	second := a.pair(cert, key, "")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	is(second)
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(second)
	if _, err := (&keyPair{cert: filepath.Join(dir, "none"), key: key}).get(nil); problem.KindOf(err) != problem.Invalid {
		t.Errorf("no file: %v", err)
	}
}
