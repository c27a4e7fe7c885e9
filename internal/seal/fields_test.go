package seal

import (
	"strings"
	"testing"

	"holdfast/internal/message"
)

func TestStructuredFieldsAreReadStrictly(t *testing.T) {
	good := []string{
		`a=1`, `a=("b";req "c");created=1;keyid="k\"\\"`, `a=:AAAA:, b=:AQ==:`, `a`, `a;p`, `a=?0;q=tok/en`, `a=-12`, ``, `a=()`, `*a_1.x=x`,
	}
	for _, text := range good {
		if _, err := readDictionary(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	wrong := []string{
		`a=1, a=2`, `a=1;p=1;p=2`, `a="b`, `a=("b"`, `a=("b""c")`, `a=:AAA:`, `a=:AAAA`, `a=1.5`, `a=@1`, `A=1`, `a=1,`, `a=1 b`, `=1`, `a="é"`, `a="\n"`,
		`a=:AA=A:`, `a=?2`, `a=1234567890123456`, `a=-`, "a=\"\x00\"", strings.Repeat("a", mostField+1),
	}
	for _, text := range wrong {
		if m, err := readDictionary(text); err == nil {
			t.Errorf("%.40s is read as %v", text, m)
		}
	}
}

// FuzzStructuredFields: what is read can be written, and is then read as the same.
func FuzzStructuredFields(f *testing.F) {
	f.Add(`holdfast=("@method" "ce-id" "signature";req;key="holdfast");created=1;nonce="n";alg="ed25519"`)
	f.Add(`sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, a;b=?0;c=tok`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := readDictionary(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for i, m := range all {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(m.key + "=" + m.String())
		}
		again, err := readDictionary(b.String())
		if len(b.String()) > mostField {
			return
		}
		if err != nil || len(again) != len(all) {
			t.Fatalf("%q is written as %q: %v", text, b.String(), err)
		}
		for i := range all {
			if again[i].String() != all[i].String() || again[i].key != all[i].key {
				t.Errorf("%q is read back as %q", all[i], again[i])
			}
		}
	})
}

// FuzzHopProof: whatever the headers say, nothing passes that was not signed.
func FuzzHopProof(f *testing.F) {
	f.Add(`holdfast=("@method");created=1795500000;nonce="n";tag="holdfast"`, `holdfast=:AAAA:`, `sha-256=:AAAA:`, "x")
	f.Add(`a=("@status" "a";key="b" "@query-param";name="c");created=1;tag="holdfast"`, `a=:AQ==:`, ``, "")
	f.Fuzz(func(t *testing.T, input, signature, digest, body string) {
		h := &message.Hop{
			Method: "POST", Scheme: "https", Authority: "erp.example", Path: "/", Body: []byte(body),
			Header: map[string][]string{"Signature-Input": {input}, "Signature": {signature}, "Content-Digest": {digest}},
		}
		if err := checkHop(h, secretKey(), signedAt); err == nil {
			t.Errorf("%q with %q passes", input, signature)
		}
	})
}

func secretKey() Key {
	return Key{ID: "k", Algorithm: HMAC, secret: []byte(strings.Repeat("k", leastSecret))}
}

// FuzzJWS: whatever the token says, nothing passes that was not signed, neither as a message nor as a receipt.
func FuzzJWS(f *testing.F) {
	k := secretKey()
	f.Add("eyJhbGciOiJIUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJob2xkZmFzdC1tZXNzYWdlK2p3cyJ9..AAAA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		for _, typ := range []string{messageJWS, receiptJWS} {
			if _, err := readJWSHeader(token, typ); err != nil {
				continue
			}
			if _, err := k.verifyJWS(token, []byte("m")); err == nil {
				t.Errorf("%q passes as a message", token)
			}
			if _, err := k.verifyJWS(token, nil); err == nil {
				t.Errorf("%q passes by itself", token)
			}
		}
	})
}

// FuzzWebhook: whatever the headers say, nothing passes that was not signed.
func FuzzWebhook(f *testing.F) {
	f.Add("m1", "1795500000", "v1,AAAA v1a,BBBB", "{}")
	f.Fuzz(func(t *testing.T, id, at, signature, body string) {
		h := &message.Hop{Body: []byte(body), Header: map[string][]string{webhookID: {id}, webhookTime: {at}, webhookSignature: {signature}}}
		if err := checkWebhook(h, []Key{secretKey()}, signedAt, HopAge); err == nil {
			t.Errorf("%q %q %q passes", id, at, signature)
		}
	})
}

// FuzzSenderKeys: no text of keys brings a secret in, nor one key under two names.
func FuzzSenderKeys(f *testing.F) {
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}]}`)
	f.Add("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys([]byte(text))
		if err != nil {
			return
		}
		for _, k := range keys {
			if k.ID == "" || k.public == nil || k.secret != nil || k.Algorithm == HMAC {
				t.Errorf("%q brings %+v", text, k)
			}
		}
	})
}
