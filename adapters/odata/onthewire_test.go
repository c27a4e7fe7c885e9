package odata

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// behind is a service of the mock behind something that looks at each request and may answer itself.
func (d dialect) behind(t *testing.T, before func(m *edmx.Mock, rw http.ResponseWriter, r *http.Request) (answered bool), change ...func(*Config)) *world {
	t.Helper()
	m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, IDFields: []string{"ExternalSystemConfirmation"}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !before(m, rw, r) {
			m.Handler().ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(s.Close)
	c := d.config(s.URL)
	for _, f := range change {
		f(&c)
	}
	return &world{dialect: d, mock: m, link: open(t, c)}
}

// TestEachRequestSaysWhatSAPAsksFor: client and language, that it may be packed, and with a write the RequestID, the same at each attempt, and the time
// of the message.
func TestEachRequestSaysWhatSAPAsksFor(t *testing.T) {
	for _, without := range []bool{false, true} {
		var asked, wrote []string
		w := dialects()[0].behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
			q := r.URL.Query()
			asked = append(asked, q.Get("sap-client")+" "+q.Get("sap-language")+" "+r.Header.Get("Accept-Encoding"))
			if r.Method != http.MethodPost {
				return false
			}
			id, at := r.Header.Values("RequestID"), r.Header.Values("RepeatabilityCreation")
			wrote = append(wrote, fmt.Sprint(id, at))
			if len(wrote) == 1 {
				rw.Header().Set("Retry-After", "0")
				rw.WriteHeader(http.StatusTooManyRequests)
				return true
			}
			return false
		}, func(c *Config) { c.Services["conf"] = Service{Path: c.Services["conf"].Path, NoRequestID: without} })
		d := w.delivery(t, "m1")
		w.one(t, d)
		if out := w.one(t, d); out.Verdict != message.Delivered || len(wrote) != 2 || wrote[0] != wrote[1] {
			t.Fatalf("%v after the writes %q", out, wrote)
		}
		want := regexp.MustCompile(`^\[[0-9A-F]{32}\] \[Thu, 01 Jan 1970 00:00:00 GMT\]$`)
		if without {
			want = regexp.MustCompile(`^\[\] \[\]$`)
		}
		if !want.MatchString(wrote[0]) {
			t.Errorf("without RequestID %t: a write says %q", without, wrote[0])
		}
		for _, a := range asked {
			if a != "100 EN gzip" {
				t.Errorf("a request says %q", a)
			}
		}
	}
}

// TestWhatWaitedLongerThanSAPRemembersIsSentAllTheSame: after a long outage a message is older than the requests that SAP's gateway can tell apart, which
// refuses it as outdated though it never came. Once it is asked for and is not there, it goes without what the gateway goes by, and so do those that are as old.
func TestWhatWaitedLongerThanSAPRemembersIsSentAllTheSame(t *testing.T) {
	var wrote []string
	w := dialects()[0].behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		wrote = append(wrote, r.Header.Get("RequestID"))
		at, err := http.ParseTime(r.Header.Get("RepeatabilityCreation"))
		if err != nil || time.Since(at) < 12*time.Hour {
			return false
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte(`{"error":{"code":"/IWBEP/CM_COS/005","message":{"lang":"en","value":"RequestID is outdated"}}}`)) // the client has left if it fails
		return true
	})
	d := w.delivery(t, "m1") // of 1970
	d.Quiet = true
	if out := w.one(t, d); out.Verdict != message.Unsure {
		t.Fatalf("at first: %v", out)
	}
	if out, err := w.link.Ask(t.Context(), d); err != nil || out.Verdict != message.Again {
		t.Fatalf("asked: %v, %v", out, err)
	}
	if out := w.one(t, d); out.Verdict != message.Delivered {
		t.Errorf("once it was asked for: %v", out)
	}
	if out := w.one(t, w.delivery(t, "m2")); out.Verdict != message.Delivered {
		t.Errorf("the next one that is as old: %v", out)
	}
	m := d.Event.Message()
	m.ID, m.Time = "m3", time.Now()
	young := adaptertest.Delivery(t, m, d.Doc)
	if out := w.one(t, young); out.Verdict != message.Delivered || wrote[len(wrote)-1] == "" {
		t.Errorf("a young one: %v, with the RequestID %q", out, wrote[len(wrote)-1])
	}
	if n := len(w.mock.Effects()); n != 3 || len(wrote) != 4 {
		t.Errorf("%d effects of %d writes, want 3 of 4", n, len(wrote))
	}
}

// TestAnotherRequestHasAnotherRequestID: what a gateway remembers of a message that it refused, or that was sent long ago, is not the answer to its amendment,
// nor to a replay that a person has forced.
func TestAnotherRequestHasAnotherRequestID(t *testing.T) {
	w := dialects()[0].start(t, edmx.Config{})
	c, m := w.link.services["conf"], w.delivery(t, "m1").Event.Message()
	model, err := c.Model(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of := func(change func(*message.Message, *message.Delivery)) string {
		m := m
		var d message.Delivery
		change(&m, &d)
		is := adaptertest.Delivery(t, m, w.delivery(t, "m1").Doc)
		is.Redelivery, is.Forced, is.Anew = d.Redelivery, d.Forced, d.Anew
		target, err := c.target(model, w.set)
		if err != nil {
			t.Fatal(err)
		}
		r, wrong := c.compose(model, target, is)
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		for name, values := range r.header { // as SAP writes it, which is not HTTP's form
			if name == "RequestID" {
				return values[0]
			}
		}
		return ""
	}
	first := of(func(*message.Message, *message.Delivery) {})
	amended := of(func(m *message.Message, _ *message.Delivery) { m.Role, m.Refers = message.Amendment, "sha256:1" })
	if first == "" || amended == "" || amended == first || amended != of(func(m *message.Message, _ *message.Delivery) { m.Role, m.Refers = message.Amendment, "sha256:1" }) {
		t.Errorf("an amendment has %q, the message %q", amended, first)
	}
	if got := of(func(_ *message.Message, d *message.Delivery) { d.Redelivery = 1 }); got != first {
		t.Errorf("a replay has %q, the message %q", got, first)
	}
	if got := of(func(_ *message.Message, d *message.Delivery) { d.Redelivery, d.Forced = 1, true }); got != "" {
		t.Errorf("a replay that is forced has %q", got)
	}
	if got := of(func(_ *message.Message, d *message.Delivery) { d.Anew, d.Forced = true, true }); got != first {
		t.Errorf("what a person has sent again has %q, the message %q", got, first)
	}
}

// TestWhatSAPSaysBesideASuccessIsKept: a warning in the header sap-message stands first in the receipt.
func TestWhatSAPSaysBesideASuccessIsKept(t *testing.T) {
	const said = `{"code":"RU/111","message":"Underdelivery tolerance","severity":"warning"}`
	w := dialects()[0].behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			rw.Header().Set("sap-message", said)
		}
		return false
	})
	if out := w.one(t, w.delivery(t, "m1")); out.Verdict != message.Delivered || !strings.HasPrefix(string(out.Receipt.Answer), "sap-message: "+said+"\n") {
		t.Errorf("%v, and the receipt has %s", out, out.Receipt.Answer)
	}
}

// TestAnswersAreUnpackedAndBounded: a packed page is read as any other; one that is larger than the limit, packed or not, or deeper than
// anything of a service, is no answer.
func TestAnswersAreUnpackedAndBounded(t *testing.T) {
	var answer atomic.Pointer[[]byte]
	packed := atomic.Int32{}
	w := dialects()[0].behind(t, func(m *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
		body := answer.Load()
		if strings.HasSuffix(r.URL.Path, "$metadata") {
			return false
		}
		if body == nil {
			rec := httptest.NewRecorder()
			m.Handler().ServeHTTP(rec, r)
			if rec.Header().Get("Content-Encoding") == "gzip" {
				packed.Add(1)
			}
			for name, v := range rec.Header() {
				rw.Header()[name] = v
			}
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write(rec.Body.Bytes())
			return true
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Content-Encoding", "gzip")
		_, _ = rw.Write(*body)
		return true
	}, func(c *Config) { c.MaxBody = 1 << 20 })
	for i := range 40 {
		if err := w.mock.Seed(w.set, map[string]any{"OrderID": fmt.Sprint(i), "ConfirmationText": strings.Repeat("x", 40)}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := w.link.Service("conf")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if _, err := c.All(t.Context(), Query{Set: w.set}, func(Entity) error { n++; return nil }); err != nil || n != 40 || packed.Load() == 0 {
		t.Errorf("read %d of 40 in %d packed answers, %v", n, packed.Load(), err)
	}
	for name, text := range map[string]string{
		"a bomb": `{"d":{"results":["` + strings.Repeat("x", 64<<20) + `"]}}`, "no end of depth": `{"d":{"results":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}}`,
	} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, text); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		body := b.Bytes()
		answer.Store(&body)
		if _, err := c.All(t.Context(), Query{Set: w.set}, func(Entity) error { return nil }); problem.KindOf(err) == "" || problem.KindOf(err) == problem.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAChangeThatWasOvertakenIsRefused: between our look at an entity and our change somebody changes it. If-Match says so, and the other's
// change stands, in both versions.
func TestAChangeThatWasOvertakenIsRefused(t *testing.T) {
	for _, d := range []dialect{{"V2", "order-v2.xml", "A_ProductionOrder_2", "/sap/opu/odata/sap/ORDERS", 1, ""}, dialects()[1]} {
		t.Run(d.name, func(t *testing.T) {
			var overtake, changes atomic.Int32
			field, key := "Material", "ManufacturingOrder"
			if d.name == "V4" {
				field, key = "ConfirmationText", "OrderID"
			}
			w := d.behind(t, func(m *edmx.Mock, _ http.ResponseWriter, r *http.Request) bool {
				if r.Method == "MERGE" || r.Method == http.MethodPatch {
					if changes.Add(1); r.Header.Get("If-Match") == "" || r.Header.Get("If-Match") == "*" {
						t.Errorf("a change goes by If-Match %q", r.Header.Get("If-Match"))
					}
					if overtake.Load() == 1 {
						m.Change(d.set, key, "7", map[string]any{field: "theirs"})
					}
				}
				return false
			}, func(c *Config) { c.Writes = nil })
			row, params := map[string]any{key: "7", field: "old"}, map[string]string{key: "7"}
			if d.name == "V4" {
				row["ConfirmationGroup"], row["ConfirmationCount"] = "1", "2"
				params = map[string]string{"ConfirmationGroup": "1", "ConfirmationCount": "2"}
			}
			if err := w.mock.Seed(d.set, row); err != nil {
				t.Fatal(err)
			}
			change := w.of(t, "m", d.set+"/change", `{"`+field+`":"ours"}`)
			change.Doc.Params = params
			if out := w.one(t, change); out.Verdict != message.Delivered || w.mock.Documents(d.set)[0][field] != "ours" {
				t.Fatalf("%v, %v; %v", out, out.Err, w.mock.Documents(d.set))
			}
			overtake.Store(1)
			out := w.one(t, change)
			if out.Verdict != message.Refused || problem.KindOf(out.Err) != problem.Precondition || changes.Load() != 2 || w.mock.Documents(d.set)[0][field] != "theirs" {
				t.Errorf("overtaken: %v, %v; the ERP has %v", out, out.Err, w.mock.Documents(d.set)[0][field])
			}
			if want := "; in the ERP " + field + " is theirs now"; !strings.HasSuffix(out.Err.Error(), want) {
				t.Errorf("overtaken: %v, want %q at its end", out.Err, want)
			}
		})
	}
}

// TestTheERPKnowsUsByOurCertificate: where it asks for one, a link without it is down, and nothing was sent.
func TestTheERPKnowsUsByOurCertificate(t *testing.T) {
	d := dialects()[0]
	m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, IDFields: []string{"ExternalSystemConfirmation"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ours := certificate(t, dir)
	pool := x509.NewCertPool()
	pool.AddCert(ours)
	s := httptest.NewUnstartedServer(m.Handler())
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is meant
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, with := range []bool{false, true} {
		c := d.config(s.URL)
		if c.TLS.CA = ca; with {
			c.TLS.Cert, c.TLS.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		}
		w := &world{dialect: d, mock: m, link: open(t, c)}
		out := w.one(t, w.delivery(t, "m1"))
		if want := map[bool]message.Verdict{false: message.Again, true: message.Delivered}[with]; out.Verdict != want || out.LinkDown == with {
			t.Errorf("with a certificate %t: %v, %v", with, out, out.Err)
		}
	}
	if n := len(m.Effects()); n != 1 {
		t.Errorf("%d effects", n)
	}
}

// certificate makes one of our own, cert.pem and key.pem.
func certificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mes"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}
