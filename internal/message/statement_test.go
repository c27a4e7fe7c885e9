package message_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestMaterialOfTheExtensionsOwnVector is case 5 of cloudevents/extensions/verifiability.md, version 0.1. Its other cases do not say of which
// bytes their data, which are JSON, is.
func TestMaterialOfTheExtensionsOwnVector(t *testing.T) {
	c := message.Core{ID: "1", Source: "example/uri", SpecVersion: "1.0", Type: "example.type.binary", DataContentType: "application/octet-stream"}
	material := c.Material(sha256.Sum256([]byte("\xf0\x9f\xa4\xa1")), nil)
	if got, want := base64.StdEncoding.EncodeToString(material[:]), "qCSeiZkS+hH9WiClfq6plfqYNVy2kvxWRfoBrLEzoDk="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func signedSample() message.Message {
	m := sample()
	m.Body = []byte(`{"a":1}`)
	m.Origin = &message.Signature{Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", At: time.UnixMicro(1795500000123456).UTC()}
	for i := range m.Origin.Value {
		m.Origin.Value[i] = byte(i)
	}
	return m
}

func TestStatementIsReadAsItWasWritten(t *testing.T) {
	m := signedSample()
	got, digest, err := message.ParseStatement(m.Statement(m.Digest()))
	if err != nil {
		t.Fatal(err)
	}
	if digest != m.Digest() || got.Digest() != digest {
		t.Errorf("digest %s, claimed %s, want %s", got.Digest(), digest, m.Digest())
	}
	if got.Material(digest, got.Origin.At) != m.Material(digest, m.Origin.At) {
		t.Error("what is signed of it is not what was signed of the message")
	}
	want := m
	want.Large, want.Body, want.Trace = &message.Large{Digest: sha256.Sum256(m.Body), Media: "application/json"}, nil, ""
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(message.Message{})); d != "" {
		t.Error(d)
	}
	if unsigned := sample(); unsigned.Statement("") != "" || unsigned.Proof("") != nil {
		t.Error("a message without a signature has a statement")
	}
}

// TestAStatementHoldsNothingThatIsNotSigned: what was altered, removed or added in it is refused, also where the signature is not over it.
func TestAStatementHoldsNothingThatIsNotSigned(t *testing.T) {
	m := signedSample()
	good := m.Statement(m.Digest())
	plain, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	envelope := m.Proof(m.Digest())[2].Value
	inside, err := base64.StdEncoding.DecodeString(envelope)
	if err != nil {
		t.Fatal(err)
	}
	var parts struct{ Payload string }
	if err := json.Unmarshal(inside, &parts); err != nil {
		t.Fatal(err)
	}
	other := base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(inside), parts.Payload, base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)), 1)))
	tests := []struct{ name, old, put string }{
		{"another digest", `"digest":"` + m.Digest(), `"digest":"` + strings.Repeat("0", 64)},
		{"no digest", `"digest":"` + m.Digest() + `",`, ""},
		{"other names of what is signed", `"signedextattrs":"dataversion,`, `"signedextattrs":"`},
		{"another payload in the envelope", envelope, other},
		{"an attribute more", `{"specversion"`, `{"quantity":99999,"specversion"`},
		{"a schema of the data", `"datasha256"`, `"dataschema":"urn:x","datasha256"`},
		{"an attribute twice", `{"specversion"`, `{"id":"m0","specversion"`},
		{"spaces", `{"specversion"`, `{ "specversion"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			altered := strings.Replace(string(plain), tt.old, tt.put, 1)
			if altered == string(plain) {
				t.Fatalf("%s has no %s", plain, tt.old)
			}
			if _, _, err := message.ParseStatement(base64.RawURLEncoding.EncodeToString([]byte(altered))); problem.KindOf(err) != problem.Integrity {
				t.Errorf("got %v, want a problem of kind %s", err, problem.Integrity)
			}
		})
	}
	if _, _, err := message.ParseStatement(good[:8] + "\n" + good[8:]); problem.KindOf(err) != problem.Integrity {
		t.Errorf("with a line break: got %v", err)
	}
}

// TestProofNamesWhatIsSigned holds the attributes against the extension's rules: whoever knows it alone can find and check everything.
func TestProofNamesWhatIsSigned(t *testing.T) {
	m := signedSample()
	digest := m.Digest()
	attrs := map[string]string{}
	for _, a := range append(m.Extensions(digest, m.Origin.At), m.Proof(digest)...) {
		attrs[a.Name] = a.Value
	}
	var named []message.Attribute
	for name := range strings.SplitSeq(attrs["signedextattrs"], ",") {
		named = append(named, message.Attribute{Name: name, Value: attrs[name]})
	}
	core := message.Core{ID: m.ID, Source: m.Source, SpecVersion: "1.0", Type: m.Kind, DataContentType: "application/json", Subject: m.Key, Time: "2026-11-24T05:00:00Z"}
	material := core.Material(sha256.Sum256(m.Body), named)
	if material != m.Material(digest, m.Origin.At) {
		t.Error("the attributes that signedextattrs names do not give what was signed")
	}
	var envelope struct {
		PayloadType, Payload string
		Signatures           []struct{ KeyID, Sig string }
	}
	text, err := base64.StdEncoding.DecodeString(attrs["dssematerial"])
	if err := errors.Join(err, json.Unmarshal(text, &envelope)); err != nil {
		t.Fatal(err)
	}
	if envelope.PayloadType != message.Purpose || envelope.Payload != base64.StdEncoding.EncodeToString(material[:]) {
		t.Errorf("envelope %+v, want material %x", envelope, material)
	}
	if got := string(message.PreAuth(material)); !strings.HasPrefix(got, "DSSEv1 46 https://cloudevents.io/verifiability/dsse/v0.1 32 ") || !strings.HasSuffix(got, string(material[:])) {
		t.Errorf("signed is %q", got)
	}
	got, err := message.ParseProof(func(name string) string { return attrs[name] })
	if d := cmp.Diff(m.Origin, got); err != nil || d != "" {
		t.Errorf("read back: %v, %s", err, d)
	}
}

func TestProofThatCannotBeReadIsRefused(t *testing.T) {
	m := signedSample()
	good := m.Proof(m.Digest())
	with := func(replace ...string) string {
		text, err := base64.StdEncoding.DecodeString(good[2].Value)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(strings.NewReplacer(replace...).Replace(string(text))))
	}
	tests := []struct {
		name, envelope, at string
		want               problem.Kind
	}{
		{"as it was made", good[2].Value, good[0].Value, ""},
		{"none", "", "", ""},
		{"a time alone", "", good[0].Value, problem.Integrity},
		{"no time", good[2].Value, "", problem.Integrity},
		{"no base64", "{}", good[0].Value, problem.Integrity},
		{"no envelope", "e30=", good[0].Value, problem.Integrity},
		{"cut", good[2].Value[:40], good[0].Value, problem.Integrity},
		{"another purpose", with("verifiability/dsse/v0.1", "verifiability/dsse/v0.2"), good[0].Value, problem.Integrity},
		{"two signatures", with(`"signatures":[{`, `"signatures":[{},{`), good[0].Value, problem.Integrity},
		{"too long", strings.Repeat("A", 1<<20), good[0].Value, problem.Integrity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			attrs := map[string]string{"dssematerial": tt.envelope, "signedat": tt.at}
			s, err := message.ParseProof(func(name string) string { return attrs[name] })
			if got := problem.KindOf(err); got != tt.want || (s != nil) != (err == nil && tt.at != "") {
				t.Errorf("got %v, %q (%v), want %q", s, got, err, tt.want)
			}
		})
	}
}

func FuzzParseStatement(f *testing.F) {
	m := signedSample()
	f.Add(m.Statement(m.Digest()))
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		m, digest, err := message.ParseStatement(text)
		if err != nil {
			return
		}
		again, _, err := message.ParseStatement(m.Statement(digest))
		if err != nil || again.Digest() != m.Digest() {
			t.Errorf("%q was read as something that is not read again: %v", text, err)
		}
	})
}
