package seal

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
)

// rfcKeys are the keys of RFC 9421 appendix B.1, public halves as a JWK set, and the shared secret.
func rfcKeys(t *testing.T) map[KeyID]Key {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc9421-keys.json")
	if err != nil {
		t.Fatal(err)
	}
	list, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base64.StdEncoding.DecodeString("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
	if err != nil {
		t.Fatal(err)
	}
	shared, err := SharedKey("test-shared-secret", secret)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[KeyID]Key{shared.ID: shared}
	for _, k := range list {
		keys[k.ID] = k
	}
	return keys
}

func rfcRequest() *message.Hop {
	return &message.Hop{
		Method: "POST", Scheme: "https", Authority: "example.com", Path: "/foo", Query: "param=Value&Pet=dog", Body: []byte(`{"hello": "world"}`),
		Header: map[string][]string{
			"Date": {"Tue, 20 Apr 2021 02:07:55 GMT"}, "Content-Type": {"application/json"}, "Content-Length": {"18"},
			"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
		},
	}
}

func rfcResponse() *message.Hop {
	return &message.Hop{
		Status: 200, Body: []byte(`{"message": "good dog"}`),
		Header: map[string][]string{
			"Date": {"Tue, 20 Apr 2021 02:07:56 GMT"}, "Content-Type": {"application/json"}, "Content-Length": {"23"},
			"Content-Digest": {"sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"},
		},
	}
}

func rfcTransform() *message.Hop {
	return &message.Hop{
		Method: "GET", Scheme: "https", Authority: "example.org", Path: "/demo", Query: "name1=Value1&Name2=value2",
		Header: map[string][]string{"Date": {"Fri, 15 Jul 2022 14:24:55 GMT"}, "Accept": {"application/json", "*/*"}},
	}
}

// TestRFC9421Vectors checks the signatures of appendix B: B.2.1 to B.2.6 and B.4, each also over a message that was altered. The
// vectors of B.3 need a client certificate of a proxy and the sf parameter, which are not used here.
func TestRFC9421Vectors(t *testing.T) {
	keys := rfcKeys(t)
	tests := []struct {
		name, input, signature string
		message                func() *message.Hop
		covered                string // a header whose change breaks it, "" if none is covered
	}{
		{
			"B.2.1 rsa-pss-sha512, minimal", `sig=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
			"d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
			rfcRequest, "",
		},
		{
			"B.2.2 rsa-pss-sha512, selective", `sig=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
			"LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==",
			rfcRequest, "Content-Digest",
		},
		{
			"B.2.3 rsa-pss-sha512, full", `sig=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			"bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
			rfcRequest, "Content-Length",
		},
		{
			"B.2.4 ecdsa-p256-sha256, of an answer", `sig=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`,
			"wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==", rfcResponse, "Content-Type",
		},
		{
			"B.2.5 hmac-sha256", `sig=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			"pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=", rfcRequest, "Date",
		},
		{
			"B.2.6 ed25519", `sig=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==", rfcRequest, "Content-Type",
		},
		{
			"B.4 ed25519, two lines of one header", `sig=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			"ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==", rfcTransform, "Accept",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			input, err := readDictionary(tt.input)
			if err != nil {
				t.Fatal(err)
			}
			signature, err := base64.StdEncoding.DecodeString(tt.signature)
			if err != nil {
				t.Fatal(err)
			}
			id, _ := input[0].param("keyid").(string)
			key := keys[KeyID(id)]
			good := func(h *message.Hop) bool {
				text, err := base(h, input[0].item)
				return err == nil && key.verify(text, signature)
			}
			if !good(tt.message()) {
				t.Error("the vector is refused")
			}
			if tt.covered != "" {
				altered := tt.message()
				altered.Header[tt.covered][0] += "x"
				if good(altered) {
					t.Errorf("an altered %s passes", tt.covered)
				}
			}
			signature[0] ^= 1
			if good(tt.message()) {
				t.Error("an altered signature passes")
			}
			if input[0].String() != strings.TrimPrefix(tt.input, "sig=") {
				t.Errorf("written anew: %s, want %s", input[0], tt.input)
			}
		})
	}
}

// TestRFC9421Ed25519IsMadeAsPublished signs B.2.6 anew: Ed25519 gives one signature only.
func TestRFC9421Ed25519IsMadeAsPublished(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
	if err != nil {
		t.Fatal(err)
	}
	input, err := readDictionary(`sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`)
	if err != nil {
		t.Fatal(err)
	}
	text, err := base(rfcRequest(), input[0].item)
	if err != nil {
		t.Fatal(err)
	}
	got := base64.StdEncoding.EncodeToString(NewSigningKey(ed25519.NewKeyFromSeed(seed)).sign(text))
	if want := "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="; got != want {
		t.Errorf("signed as %s, want %s", got, want)
	}
}

func TestRFC9530Digests(t *testing.T) {
	tests := []struct {
		name, digest, body string
		fails              bool
	}{
		{"sha-256 of appendix B", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", "{\"hello\": \"world\"}\n", false},
		{"sha-256 of nothing", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "", false},
		{"sha-512 of RFC 9421", rfcRequest().Header["Content-Digest"][0], `{"hello": "world"}`, false},
		{"another body", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", "{\"hello\": \"World\"}\n", true},
		{"one right, one wrong", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, sha-512=:AAAA:", "{\"hello\": \"world\"}\n", true},
		{"only a broken function", "md5=:Sd/dVLAcvNLSq16eXua5uQ==:", "{\"hello\": \"world\"}\n", true},
		{"no digest", "", "x", true},
		{"no dictionary", "sha-256", "x", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &message.Hop{Body: []byte(tt.body), Header: map[string][]string{}}
			if tt.digest != "" {
				h.Header["Content-Digest"] = []string{tt.digest}
			}
			if err := checkDigest(h); (err != nil) != tt.fails {
				t.Errorf("got %v, want an error: %t", err, tt.fails)
			}
		})
	}
}

func edKey(t *testing.T, b byte) SigningKey {
	t.Helper()
	return NewSigningKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(b)), ed25519.SeedSize))))
}

var signedAt = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

// posted is a request with a proof.
func posted(t *testing.T, k SigningKey) *message.Hop {
	t.Helper()
	h := &message.Hop{
		Method: "POST", Scheme: "https", Authority: "erp.example", Path: "/confirmations", Query: "a=b", Body: []byte(`{"yield":"4.000"}`),
		Header: map[string][]string{"Content-Type": {"application/json"}, "Ce-Id": {"m1"}, "Ce-Source": {"urn:plant"}, "Ce-Type": {"operation.confirmed"}},
	}
	if err := k.ProveHop(h, signedAt, "n1"); err != nil {
		t.Fatal(err)
	}
	return h
}

// checkHop reads the proof of a message and checks it.
func checkHop(h *message.Hop, k Key, now time.Time) error {
	p, err := readHopProof(h)
	if err != nil {
		return err
	}
	return p.check(h, k, now, HopAge)
}

func TestHopProofHoldsForItsRequestAlone(t *testing.T) {
	k, other := edKey(t, 'a'), edKey(t, 'b')
	tests := []struct {
		name   string
		change func(h *message.Hop)
		at     time.Duration
		key    Key
	}{
		{"method", func(h *message.Hop) { h.Method = "PUT" }, 0, k.Key()},
		{"authority", func(h *message.Hop) { h.Authority = "other.example" }, 0, k.Key()},
		{"path", func(h *message.Hop) { h.Path = "/other" }, 0, k.Key()},
		{"query", func(h *message.Hop) { h.Query = "a=c" }, 0, k.Key()},
		{"body", func(h *message.Hop) { h.Body[10] ^= 1 }, 0, k.Key()},
		{"type", func(h *message.Hop) { h.Header["Content-Type"] = []string{"text/plain"} }, 0, k.Key()},
		{"length", func(h *message.Hop) { h.Header["Content-Length"] = []string{"1"} }, 0, k.Key()},
		{"digest and body", func(h *message.Hop) {
			h.Body = []byte(`{}`)
			delete(h.Header, "Content-Digest")
			h.Header["Content-Digest"] = []string{"sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"}
		}, 0, k.Key()},
		{"an attribute", func(h *message.Hop) { h.Header["Ce-Id"] = []string{"m2"} }, 0, k.Key()},
		{"an attribute twice", func(h *message.Hop) { h.Header["Ce-Id"] = []string{"m1", "m2"} }, 0, k.Key()},
		{"an attribute more", func(h *message.Hop) { h.Header["Ce-Subject"] = []string{"o1"} }, 0, k.Key()},
		{"an attribute less", func(h *message.Hop) { delete(h.Header, "Ce-Type") }, 0, k.Key()},
		{"no signature", func(h *message.Hop) { delete(h.Header, "Signature") }, 0, k.Key()},
		{"no input", func(h *message.Hop) { delete(h.Header, "Signature-Input") }, 0, k.Key()},
		{"another key", func(*message.Hop) {}, 0, other.Key()},
		{"too old", func(*message.Hop) {}, HopAge, k.Key()},
		{"from the time to come", func(*message.Hop) {}, -2 * hopSkew, k.Key()},
	}
	if err := checkHop(posted(t, k), k.Key(), signedAt.Add(HopAge-time.Second)); err != nil {
		t.Fatalf("as it was signed: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := posted(t, k)
			tt.change(h)
			if err := checkHop(h, tt.key, signedAt.Add(tt.at)); err == nil {
				t.Error("it is believed")
			}
		})
	}
}

// TestNoByteOfAProvenRequestCanBeFlipped flips one bit of each byte of each header, and of the body.
func TestNoByteOfAProvenRequestCanBeFlipped(t *testing.T) {
	k := edKey(t, 'a')
	whole := posted(t, k)
	for name, values := range whole.Header {
		for at := range len(values[0]) {
			h := posted(t, k)
			b := []byte(h.Header[name][0])
			b[at] ^= 1
			h.Header[name] = []string{string(b)}
			if err := checkHop(h, k.Key(), signedAt); err == nil {
				t.Errorf("byte %d of %s: %s is believed", at, name, b)
			}
		}
	}
	for at := range whole.Body {
		h := posted(t, k)
		h.Body[at] ^= 1
		if err := checkHop(h, k.Key(), signedAt); err == nil {
			t.Errorf("byte %d of the body can be flipped", at)
		}
	}
}

// TestHopProofMustSayEnough changes what the signature says of itself, and signs that.
func TestHopProofMustSayEnough(t *testing.T) {
	k := edKey(t, 'a')
	tests := []struct{ name, old, new string }{
		{"no nonce", `;nonce="n1"`, ``},
		{"no creation", `;created=1795500000`, ``},
		{"no tag", `;tag="holdfast"`, ``},
		{"the tag of another use", `;tag="holdfast"`, `;tag="web-bot"`},
		{"another algorithm", `;alg="ed25519"`, `;alg="hmac-sha256"`},
		{"the method is not covered", `"@method" `, ``},
		{"the digest is not covered", `"content-digest" `, ``},
		{"an attribute is not covered", ` "ce-id"`, ``},
		{"covered is a member only", `"content-digest" `, `"content-digest";key="sha-256" `},
		{"a part twice", `"@method" `, `"@method" "@method" `},
		{"a parameter that is not known", `"@method" `, `"@method" "date";sf `},
		{"what is not there", `"@method" `, `"@method" "date" `},
		{"the request of a request", `"@method" `, `"@method" "@path";req `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := posted(t, k)
			text := h.Header["Signature-Input"][0]
			changed := strings.Replace(text, tt.old, tt.new, 1)
			if changed == text {
				t.Fatalf("%s is not in %s", tt.old, text)
			}
			h.Header["Signature-Input"] = []string{changed}
			resign(t, k, h)
			if err := checkHop(h, k.Key(), signedAt); err == nil {
				t.Error("it is believed")
			}
		})
	}
}

// resign signs what the input says, if it can be.
func resign(t *testing.T, k SigningKey, h *message.Hop) {
	t.Helper()
	input, err := readDictionary(h.Header["Signature-Input"][0])
	if err != nil {
		t.Fatal(err)
	}
	if text, err := base(h, input[0].item); err == nil {
		h.Header["Signature"] = []string{"holdfast=" + item{value: k.sign(text)}.String()}
	}
}

// TestAnswerServesItsRequestAlone has an answer come to another request, of the same address.
func TestAnswerServesItsRequestAlone(t *testing.T) {
	plant, erp := edKey(t, 'a'), edKey(t, 'b')
	answer := func(asked *message.Hop) *message.Hop {
		h := &message.Hop{Status: 201, Body: []byte(`{"number":"1"}`), Header: map[string][]string{"Content-Type": {"application/json"}}, Asked: asked}
		if err := erp.ProveHop(h, signedAt, "n2"); err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := answer(posted(t, plant))
	if err := checkHop(h, erp.Key(), signedAt); err != nil {
		t.Fatalf("as it was signed: %v", err)
	}
	again := posted(t, plant)
	if err := plant.ProveHop(again, signedAt, "n3"); err != nil {
		t.Fatal(err)
	}
	h.Asked = again
	if err := checkHop(h, erp.Key(), signedAt); err == nil {
		t.Error("an answer to an earlier request is believed")
	}
	h = answer(posted(t, plant))
	h.Status = 200
	if err := checkHop(h, erp.Key(), signedAt); err == nil {
		t.Error("another status is believed")
	}
}

// TestAnswerIsTiedToTheEventOfItsRequest: also where the request has no signature of its own that the answer could cover.
func TestAnswerIsTiedToTheEventOfItsRequest(t *testing.T) {
	plant, erp := edKey(t, 'a'), edKey(t, 'b')
	tests := []struct {
		name  string
		other func(asked *message.Hop)
		fails bool
	}{
		{"the same", func(*message.Hop) {}, false},
		{"another event", func(asked *message.Hop) { asked.Header["Ce-Id"] = []string{"m2"} }, true},
		{"another body", func(asked *message.Hop) { asked.Header["Content-Digest"] = []string{"sha-256=:AAAA:"} }, true},
		{"no event any more", func(asked *message.Hop) { delete(asked.Header, "Ce-Id") }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := posted(t, plant)
			delete(asked.Header, "Signature")
			h := &message.Hop{Status: 201, Body: []byte(`{"number":"1"}`), Header: map[string][]string{"Content-Type": {"application/json"}}, Asked: asked}
			if err := erp.ProveHop(h, signedAt, "n2"); err != nil {
				t.Fatal(err)
			}
			tt.other(asked)
			if err := checkHop(h, erp.Key(), signedAt); (err != nil) != tt.fails {
				t.Errorf("got %v, want an error: %t", err, tt.fails)
			}
		})
	}
}

// TestHeadersThatDecideAreCovered: what the plant or the ERP acts on is signed where it is there, and cannot be put in where it is not.
func TestHeadersThatDecideAreCovered(t *testing.T) {
	k := edKey(t, 'a')
	request := func() *message.Hop {
		return &message.Hop{Method: "POST", Scheme: "https", Authority: "erp.example", Path: "/o", Header: map[string][]string{}}
	}
	answer := func() *message.Hop { return &message.Hop{Status: 201, Header: map[string][]string{}, Asked: request()} }
	tests := []struct {
		header string
		made   func() *message.Hop
		covers []string // beside what every proof covers
		added  bool     // that it is put in later is noticed too
	}{
		{"Location", answer, nil, true},
		{"Retry-After", answer, nil, true},
		{"Idempotency-Key", request, nil, true},
		{"X-Idempotency-Key", request, nil, true},
		{"If-Match", request, nil, true},
		{"If-None-Match", request, nil, true},
		{"X-Http-Method-Override", request, nil, true},
		{"X-Company", request, []string{"X-Company", "If-Match"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			sign := func(value string) *message.Hop {
				h := tt.made()
				h.Covers = tt.covers
				if value != "" {
					h.Header[tt.header] = []string{value}
				}
				if err := k.ProveHop(h, signedAt, "n1"); err != nil {
					t.Fatal(err)
				}
				return h
			}
			believed := func(what string, h *message.Hop, want bool) {
				t.Helper()
				if err := checkHop(h, k.Key(), signedAt); (err == nil) != want {
					t.Errorf("%s: got %v, want it believed: %t", what, err, want)
				}
			}
			h := sign("/documents/4711")
			believed("as signed", h, true)
			h.Header[tt.header] = []string{"/documents/9999"}
			believed("altered", h, false)
			delete(h.Header, tt.header)
			believed("taken out", h, false)
			h = sign("")
			h.Header[tt.header] = []string{"/documents/9999"}
			believed("put in", h, !tt.added)
		})
	}
}

func TestKeysOfASender(t *testing.T) {
	block, _ := pem.Decode([]byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n-----END PUBLIC KEY-----\n"))
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text string
		want       int // keys; 0 if it is refused
	}{
		{"a set", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}]}`, 1},
		{"a key without a name", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}]}`, 1},
		{"PEM", string(pem.EncodeToMemory(block)), 1},
		{"two of one name", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"},{"kty":"OKP","crv":"Ed25519","kid":"a","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}]}`, 0},
		{"a private key", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","d":"n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}]}`, 0},
		{"a secret", `{"keys":[{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`, 0},
		{"nothing", ``, 0},
		{"no keys", `{"keys":[]}`, 0},
		{"no file of keys", `hello`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys([]byte(tt.text))
			if len(keys) != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("got %d keys, %v, want %d", len(keys), err, tt.want)
			}
		})
	}
}
