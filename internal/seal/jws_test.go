package seal

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
)

// TestJOSEVectors checks the published signatures of RFC 7515 appendix A.1 and A.3, RFC 8037 appendix A.4, and RFC 7797 section 4.2.
func TestJOSEVectors(t *testing.T) {
	secret, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	shared, err := SharedKey("hs", secret)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys([]byte(`{"keys":[
		{"kty":"EC","crv":"P-256","kid":"es","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
		{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	tests := []struct {
		name     string
		key      Key
		token    string
		detached []byte
		want     string
	}{
		{"RFC 7515 A.1, HS256", shared, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + claims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", nil, "joe"},
		{"RFC 7515 A.3, ES256", keys[0], "eyJhbGciOiJFUzI1NiJ9." + claims + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", nil, "joe"},
		{"RFC 8037 A.4, EdDSA", keys[1], "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg", nil, "Example of Ed25519 signing"},
		{"RFC 7797 4.2, not encoded and detached", shared, "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY", []byte("$.02"), "$.02"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.key.verifyJWS(tt.token, tt.detached)
			if err != nil || !strings.Contains(string(got), tt.want) {
				t.Errorf("got %q, %v, want %s", got, err, tt.want)
			}
			for _, other := range append(keys, shared) {
				if _, err := other.verifyJWS(tt.token, tt.detached); err == nil && other.ID != tt.key.ID {
					t.Errorf("it passes by key %s too", other.ID)
				}
			}
			altered := tt.token[:len(tt.token)-8] + "AAAAAAAA"
			if _, err := tt.key.verifyJWS(altered, tt.detached); err == nil {
				t.Error("an altered signature passes")
			}
		})
	}
}

// TestHeaderOfJWSBringsNothingAlong refuses each header by which a message would choose its own key or algorithm.
func TestHeaderOfJWSBringsNothingAlong(t *testing.T) {
	tests := []struct{ name, header string }{
		{"a key", `{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws","jwk":{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}}`},
		{"an address of keys", `{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws","jku":"https://evil.example/jwks"}`},
		{"an address of certificates", `{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws","x5u":"https://evil.example/pem"}`},
		{"certificates", `{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws","x5c":[]}`},
		{"what would have to be understood", `{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws","crit":["exp"],"exp":1}`},
		{"the type of another use", `{"alg":"EdDSA","kid":"a","typ":"holdfast-receipt+jws"}`},
		{"no type", `{"alg":"EdDSA","kid":"a"}`},
		{"no key's name", `{"alg":"EdDSA","typ":"holdfast-message+jws"}`},
		{"a name twice", `{"alg":"EdDSA","kid":"b","kid":"a","typ":"holdfast-message+jws"}`},
		{"a name twice, in capitals", `{"alg":"EdDSA","KID":"b","kid":"a","typ":"holdfast-message+jws"}`},
		{"something after it", `{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws"}{}`},
		{"no object", `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if h, err := readJWSHeader(base64.RawURLEncoding.EncodeToString([]byte(tt.header))+"..AAAA", messageJWS); err == nil {
				t.Errorf("it is taken: %+v", h)
			}
		})
	}
	if _, err := readJWSHeader(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"a","typ":"holdfast-message+jws"}`))+"..AAAA", messageJWS); err != nil {
		t.Errorf("a plain one is refused: %v", err)
	}
}

func TestReceiptIsForOneMessage(t *testing.T) {
	k := edKey(t, 'e')
	find := func(id KeyID) (Key, error) { return FixedKeys{k.Key()}.Find(id) }
	right := SignedReceipt{ID: "m1", Digest: "d1", Verdict: Accepted, Document: "4711", At: signedAt}
	of := message.Receipted{ID: "m1", Digest: "d1", Document: "4711"}
	tests := []struct {
		name  string
		alter func(r *SignedReceipt)
		by    SigningKey
		fails bool
	}{
		{"the right one", func(*SignedReceipt) {}, k, false},
		{"that of another message", func(r *SignedReceipt) { r.ID = "m2" }, k, true},
		{"that of another content", func(r *SignedReceipt) { r.Digest = "d2" }, k, true},
		{"of another document", func(r *SignedReceipt) { r.Document = "4712" }, k, true},
		{"of a refusal", func(r *SignedReceipt) { r.Verdict = "refused" }, k, true},
		{"from the time to come", func(r *SignedReceipt) { r.At = r.At.Add(time.Hour) }, k, true},
		{"of another ERP", func(*SignedReceipt) {}, edKey(t, 'f'), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := right
			tt.alter(&r)
			signed, err := tt.by.SignReceipt(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkReceipt(signed, find, of, signedAt); (err != nil) != tt.fails {
				t.Errorf("got %v, want an error: %t", err, tt.fails)
			}
			unread := of // of an operation whose answer has no number that is read, so that it can be of any document
			unread.Document = ""
			if err := checkReceipt(signed, find, unread, signedAt); (err != nil) != (tt.fails && r.Document == right.Document) {
				t.Errorf("without a number: got %v", err)
			}
		})
	}
	m, err := k.SignMessage(message.Message{ID: "m1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkReceipt(m, find, of, signedAt); err == nil {
		t.Error("the signature of a message passes as a receipt")
	}
}

// TestReceiptOfAKeyThatHasEndedDoesNotCount: whoever has stolen it names a time when it did. What came while it counted stays good.
func TestReceiptOfAKeyThatHasEndedDoesNotCount(t *testing.T) {
	k := edKey(t, 'e')
	known := k.Key()
	known.From, known.To = signedAt.Add(-time.Hour), signedAt.Add(time.Hour)
	signed, err := k.SignReceipt(SignedReceipt{ID: "m1", Digest: "d1", Verdict: Accepted, Document: "4711", At: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	of := message.Receipted{ID: "m1", Digest: "d1", Document: "4711"}
	tests := []struct {
		name      string
		came, now time.Time
		good      bool
	}{
		{"at once", time.Time{}, signedAt, true},
		{"on its way as the key ended", time.Time{}, known.To.Add(time.Minute), true},
		{"after the key has ended", time.Time{}, known.To.Add(HopAge + time.Second), false},
		{"kept since the key counted", signedAt.Add(time.Minute), known.To.Add(1000 * time.Hour), true},
		{"kept since the key had ended", known.To.Add(2 * HopAge), known.To.Add(1000 * time.Hour), false},
		{"of a time after it came", signedAt.Add(-10 * time.Minute), known.To, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			of := of
			of.Came = tt.came
			if err := checkReceipt(signed, FixedKeys{known}.Find, of, tt.now); (err == nil) != tt.good {
				t.Errorf("got %v, want that it counts: %t", err, tt.good)
			}
		})
	}
}

// TestStandardWebhooksVector is the example of the specification's libraries.
func TestStandardWebhooksVector(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	text := webhookText("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if got, want := base64.StdEncoding.EncodeToString(mac(secret, text)), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhookHoldsForItsBodyAndTime(t *testing.T) {
	secret, err := NewSecretKey("s", []byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []SigningKey{secret, edKey(t, 'a')} {
		sent := func() *message.Hop {
			h := &message.Hop{Method: "POST", Body: []byte(`{"id":"m1"}`), Header: map[string][]string{}}
			if err := k.ProveWebhook(h, "m1", signedAt); err != nil {
				t.Fatal(err)
			}
			return h
		}
		tests := []struct {
			name   string
			change func(h *message.Hop)
			at     time.Duration
			keys   []Key
			fails  bool
		}{
			{"as sent", func(*message.Hop) {}, time.Second, []Key{k.Key()}, false},
			{"beside another signature", func(h *message.Hop) { h.Header[webhookSignature][0] = "v1,AAAA " + h.Header[webhookSignature][0] }, 0, []Key{k.Key()}, false},
			{"another body", func(h *message.Hop) { h.Body[2] ^= 1 }, 0, []Key{k.Key()}, true},
			{"another ID", func(h *message.Hop) { h.Header[webhookID] = []string{"m2"} }, 0, []Key{k.Key()}, true},
			{"another time", func(h *message.Hop) { h.Header[webhookTime][0] += "0" }, 0, []Key{k.Key()}, true},
			{"too old", func(*message.Hop) {}, HopAge, []Key{k.Key()}, true},
			{"another key", func(*message.Hop) {}, 0, []Key{edKey(t, 'z').Key()}, true},
			{"unsigned", func(h *message.Hop) { delete(h.Header, webhookSignature) }, 0, []Key{k.Key()}, true},
			{"two times", func(h *message.Hop) { h.Header[webhookTime] = append(h.Header[webhookTime], "1") }, 0, []Key{k.Key()}, true},
		}
		for _, tt := range tests {
			t.Run(string(k.Algorithm)+"/"+tt.name, func(t *testing.T) {
				h := sent()
				tt.change(h)
				if err := checkWebhook(h, tt.keys, signedAt.Add(tt.at), HopAge); (err != nil) != tt.fails {
					t.Errorf("got %v, want an error: %t", err, tt.fails)
				}
			})
		}
	}
}

// TestNoByteOfASignedEventOrReceiptCanBeFlipped flips one bit of each byte of both.
func TestNoByteOfASignedEventOrReceiptCanBeFlipped(t *testing.T) {
	k := edKey(t, 'e')
	payload := messagePayload(message.Message{ID: "m1"}, "")
	m, err := k.SignMessage(message.Message{ID: "m1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := k.SignReceipt(SignedReceipt{ID: "m1", Verdict: Accepted, At: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	good := func(token, typ string, detached []byte) bool {
		h, err := readJWSHeader(token, typ)
		if err != nil || KeyID(h.Key) != k.ID {
			return false
		}
		_, err = k.Key().verifyJWS(token, detached)
		return err == nil
	}
	for _, tt := range []struct {
		token, typ string
		detached   []byte
	}{{m, messageJWS, payload}, {receipt, receiptJWS, nil}} {
		if !good(tt.token, tt.typ, tt.detached) {
			t.Fatalf("%s is refused as it was made", tt.typ)
		}
		for at := range len(tt.token) {
			b := []byte(tt.token)
			b[at] ^= 1
			if good(string(b), tt.typ, tt.detached) {
				t.Errorf("byte %d of %s can be flipped", at, tt.typ)
			}
		}
	}
}
