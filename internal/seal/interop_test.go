package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
)

// task is one thing that others' libraries are told to do; result is what came of it.
type (
	task   map[string]any
	result struct {
		OK      bool              `json:"ok"`
		Error   string            `json:"error"`
		Payload string            `json:"payload"`
		JWS     string            `json:"jws"`
		JWE     string            `json:"jwe"`
		Headers map[string]string `json:"headers"`
	}
)

// others does tasks with npm's jose and http-message-signatures.
func others(t *testing.T, tasks ...task) []result {
	t.Helper()
	dir := os.Getenv("HOLDFAST_TEST_INTEROP")
	if dir == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("HOLDFAST_TEST_INTEROP is not set, and CI skips nothing: run deploy/dev/services up")
		}
		t.Skip("skipped for want of npm's jose and http-message-signatures: set HOLDFAST_TEST_INTEROP, or run make test, which installs them")
	}
	in, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "interop.js"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(tasks) {
		t.Fatalf("%v in %s", err, out)
	}
	return results
}

// jwkOf is a key pair as JOSE writes it.
func jwkOf(k SigningKey) map[string]string {
	return map[string]string{
		"kty": "OKP", "crv": "Ed25519", "kid": string(k.ID), "d": base64.RawURLEncoding.EncodeToString(k.private.Seed()),
		"x": base64.RawURLEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey)),
	}
}

func publicOf(k SigningKey) map[string]string {
	j := jwkOf(k)
	delete(j, "d")
	return j
}

// wireForm is a message as the other library has it.
func wireForm(h *message.Hop) map[string]any {
	headers := map[string]string{}
	for name, values := range h.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if h.Status != 0 {
		return map[string]any{"status": h.Status, "headers": headers}
	}
	return map[string]any{"method": h.Method, "url": h.Scheme + "://" + h.Authority + h.Path + "?" + h.Query, "headers": headers}
}

// TestOthersBelieveWhatWeSign has npm's libraries check our proofs of a request and of its answer, our JWS and our receipt; and what was
// altered they refuse.
func TestOthersBelieveWhatWeSign(t *testing.T) {
	k := NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	request := &message.Hop{
		Method: "POST", Scheme: "https", Authority: "erp.example", Path: "/confirmations", Query: "a=b", Body: []byte(`{"yield":"4.000"}`),
		Header: map[string][]string{"Content-Type": {"application/json"}, "Ce-Id": {"m1"}, "Ce-Source": {"urn:plant"}, "Ce-Type": {"operation.confirmed"}},
	}
	now := time.Now()
	if err := k.ProveHop(request, now, "n1"); err != nil {
		t.Fatal(err)
	}
	answer := &message.Hop{Status: 201, Body: []byte(`{"number":"1"}`), Header: map[string][]string{"Content-Type": {"application/json"}}, Asked: request}
	if err := k.ProveHop(answer, now, "n2"); err != nil {
		t.Fatal(err)
	}
	altered := *request
	altered.Header = maps.Clone(request.Header)
	altered.Header["Ce-Id"] = []string{"m2"}
	m := message.Message{ID: "m1", Source: "urn:plant", Kind: "operation.confirmed", Time: now}
	jws, err := k.SignMessage(m, "")
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := k.SignReceipt(SignedReceipt{ID: "m1", Digest: m.Digest(), Verdict: Accepted, Document: "4711", At: now})
	if err != nil {
		t.Fatal(err)
	}
	got := others(
		t,
		task{"do": "thumbprint", "jwk": publicOf(k)},
		task{"do": "verifyRequest", "jwk": publicOf(k), "message": wireForm(request)},
		task{"do": "verifyAnswer", "jwk": publicOf(k), "message": wireForm(answer), "request": wireForm(request)},
		task{"do": "verifyJWS", "jwk": publicOf(k), "jws": jws, "payload": string(messagePayload(m, "")), "typ": messageJWS},
		task{"do": "verifyJWS", "jwk": publicOf(k), "jws": receipt, "typ": receiptJWS},
		task{"do": "verifyRequest", "jwk": publicOf(k), "message": wireForm(&altered)},
		task{"do": "verifyJWS", "jwk": publicOf(k), "jws": jws, "payload": string(messagePayload(m, "9")), "typ": messageJWS},
	)
	for n, r := range got {
		if want := n < 5; r.OK != want {
			t.Errorf("task %d: %+v, want it to be believed: %t", n, r, want)
		}
	}
	if !strings.Contains(got[4].Payload, `"document":"4711"`) {
		t.Errorf("the receipt says %s", got[4].Payload)
	}
}

// TestWeBelieveWhatOthersSign has npm's libraries sign.
func TestWeBelieveWhatOthersSign(t *testing.T) {
	k := NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)))
	request := &message.Hop{
		Method: "POST", Scheme: "https", Authority: "plant.example", Path: "/v1/inbound-messages", Body: []byte(`{"id":"e1"}`),
		Header: map[string][]string{
			"Content-Type": {"application/json"}, "Content-Length": {"11"},
			"Content-Digest": {"sha-256=:" + base64.StdEncoding.EncodeToString(sum([]byte(`{"id":"e1"}`))) + ":"},
		},
	}
	m := message.Message{ID: "e1", Source: "urn:erp", Kind: "order.released"}
	got := others(
		t,
		task{"do": "signRequest", "jwk": jwkOf(k), "message": wireForm(request), "nonce": "n-7", "fields": []string{
			"@method", "@authority", "@path", "@query", "content-type", "content-digest", "content-length",
		}},
		task{"do": "signJWS", "jwk": jwkOf(k), "payload": string(messagePayload(m, "3")), "typ": messageJWS},
	)
	for name, value := range got[0].Headers {
		if name == "Signature" || name == "Signature-Input" {
			request.Header[name] = []string{value}
		}
	}
	if err := checkHop(request, k.Key(), time.Now()); err != nil {
		t.Errorf("a request that http-message-signatures has signed: %v (%+v)", err, got[0])
	}
	head, _, _ := strings.Cut(got[1].JWS, ".")
	detached := head + ".." + got[1].JWS[strings.LastIndexByte(got[1].JWS, '.')+1:]
	if _, err := readJWSHeader(detached, messageJWS); err != nil {
		t.Errorf("the header that jose has written: %v", err)
	}
	if _, err := k.Key().verifyJWS(detached, messagePayload(m, "3")); err != nil {
		t.Errorf("a JWS that jose has made: %v", err)
	}
}

// TestOthersOpenWhatWeEncryptAndWeWhatTheyDo, by each of the two algorithms; an altered one they refuse.
func TestOthersOpenWhatWeEncryptAndWeWhatTheyDo(t *testing.T) {
	const body = `{"yield":"4.000"}`
	for alg, pair := range pairs() {
		t.Run(alg, func(t *testing.T) {
			to, by := sides(t, alg)
			ours, err := to.Encrypt([]byte(body), "application/json", "m1")
			if err != nil {
				t.Fatal(err)
			}
			altered := bytes.Clone(ours)
			altered[len(altered)/2] ^= 1
			open := func(jwe []byte) task {
				return task{"do": "decrypt", "jwk": json.RawMessage(jsonOf(t, pair)), "alg": alg, "jwe": string(jwe), "typ": payloadJWE, "cty": "application/json", "event": "m1"}
			}
			got := others(t, open(ours), open(altered), task{
				"do": "encrypt", "jwk": json.RawMessage(jsonOf(t, pair.Public())), "alg": alg, "payload": body, "typ": payloadJWE, "cty": "application/json", "event": "m1",
			})
			if !got[0].OK || got[0].Payload != body {
				t.Errorf("jose makes of ours %+v", got[0])
			}
			if got[1].OK {
				t.Error("jose opens what was altered")
			}
			theirs, media, err := by.Decrypt([]byte(got[2].JWE), "m1")
			if err != nil || string(theirs) != body || media != "application/json" {
				t.Errorf("of what jose has encrypted: %s of %s, %v (%+v)", theirs, media, err, got[2])
			}
		})
	}
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}
