package seal

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// A hop proof is an HTTP Message Signature (RFC 9421) over a digest of the body (RFC 9530), made anew for each request and each answer. It
// covers method, address, type, length and digest of the body, each attribute of a CloudEvent that stands in a header, and each header by
// which something is decided. That of an answer covers the request too: its address, its body's digest, its event and its signature, so
// that it serves no other request.

const (
	hopLabel = "holdfast" // of our signature; others may stand beside it
	hopTag   = "holdfast" // of any proof that is made for us, so that no signature for another use is one
	// HopAge is how old a hop proof may be, unless a policy says otherwise.
	HopAge = 5 * time.Minute
	// hopSkew is how far the clock of a sender may be ahead.
	hopSkew = time.Minute
	nonces  = 16 // random bytes of a nonce
)

// component is a part of a message that a signature covers.
type component struct{ item }

// part names a component by itself.
func part(name string, params ...param) component {
	return component{item{value: name, params: params}}
}

// asked is the same component of the request.
func (c component) asked() component {
	c.params = append(slices.Clone(c.params), param{"req", true})
	return c
}

// value is what the component has in a message; it is ASCII without line breaks.
func (c component) value(h *message.Hop) (string, error) {
	name, _ := c.item.value.(string)
	key, query := "", ""
	for _, p := range c.params {
		text, isText := p.value.(string)
		switch {
		case p.key == "req" && p.value == true:
			if h = h.Asked; h == nil {
				return "", fmt.Errorf("%s: there is no request to this", c)
			}
		case p.key == "key" && isText:
			key = text
		case p.key == "name" && isText && name == "@query-param":
			query = text
		default:
			return "", fmt.Errorf("%s: parameter %s is not known here", c, p.key)
		}
	}
	v, err := derived(h, name, query)
	if !strings.HasPrefix(name, "@") {
		v, err = header(h, name, key)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", c, err)
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
		return "", fmt.Errorf("%s: its value has characters that no signature covers", c)
	}
	return v, nil
}

var errNotThere = errors.New("it is not there")

// derived is a component that is no header.
func derived(h *message.Hop, name, query string) (string, error) {
	if name == "@status" && h.Status != 0 {
		return fmt.Sprintf("%03d", h.Status), nil
	}
	if h.Status != 0 {
		return "", errNotThere
	}
	path := h.Path
	if path == "" {
		path = "/"
	}
	target := path
	if h.Query != "" {
		target += "?" + h.Query
	}
	switch name {
	case "@method":
		return h.Method, nil
	case "@authority":
		return hostOf(h), nil
	case "@scheme":
		return strings.ToLower(h.Scheme), nil
	case "@path":
		return path, nil
	case "@query":
		return "?" + h.Query, nil
	case "@request-target":
		return target, nil
	case "@target-uri":
		return strings.ToLower(h.Scheme) + "://" + hostOf(h) + target, nil
	case "@query-param":
		return queryParam(h.Query, query)
	}
	return "", errNotThere
}

// hostOf is the host in the one form that RFC 9421 section 2.2.3 has for it.
func hostOf(h *message.Hop) string {
	a := strings.ToLower(h.Authority)
	if h.Scheme == "https" {
		return strings.TrimSuffix(a, ":443")
	}
	return strings.TrimSuffix(a, ":80")
}

func queryParam(query, name string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil || len(values[name]) != 1 {
		return "", errors.New("it is not there once")
	}
	return strings.ReplaceAll(url.QueryEscape(values[name][0]), "+", "%20"), nil
}

// header is a field with all its lines, or one member of it.
func header(h *message.Hop, name, key string) (string, error) {
	lines := h.Header[textproto.CanonicalMIMEHeaderKey(name)]
	if len(lines) == 0 || name != strings.ToLower(name) {
		return "", errNotThere
	}
	all := make([]string, len(lines))
	for i, l := range lines {
		all[i] = strings.TrimSpace(l)
	}
	joined := strings.Join(all, ", ")
	if key == "" {
		return joined, nil
	}
	members, err := readDictionary(joined)
	if err != nil {
		return "", err
	}
	m, ok := find(members, key)
	if !ok {
		return "", errNotThere
	}
	return m.String(), nil
}

// base is what is signed (RFC 9421 section 2.5); input is the inner list of components with the signature's parameters.
func base(h *message.Hop, input item) ([]byte, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, i := range input.items {
		c := component{i}
		name, ok := i.value.(string)
		if !ok || name == "@signature-params" || seen[c.String()] {
			return nil, fmt.Errorf("%s: it is no component, or comes twice", c)
		}
		seen[c.String()] = true
		v, err := c.value(h)
		if err != nil {
			return nil, err
		}
		b.WriteString(c.String() + ": " + v + "\n")
	}
	b.WriteString(`"@signature-params": ` + input.String())
	return []byte(b.String()), nil
}

// decides tells whether a header, by its canonical name, decides what a request does or what an answer says. Where it is there a proof
// covers it, so that nobody on the way alters it, takes it out or puts it in.
func decides(name string, answer bool) bool {
	switch name {
	case "Location", "Retry-After":
		return answer
	case "Idempotency-Key", "X-Idempotency-Key", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override":
		return !answer
	case "Holdfast-Statement":
		return true
	}
	return strings.HasPrefix(name, "Ce-")
}

// cover is what a proof of this message covers at least, in the order in which we sign.
func cover(h *message.Hop) []component {
	var all []component
	if h.Status != 0 {
		all = append(all, part("@status"))
	} else {
		all = append(all, part("@method"), part("@authority"), part("@path"), part("@query"))
	}
	if len(h.Body) > 0 || h.Header["Content-Digest"] != nil {
		all = append(all, part("content-type"), part("content-digest"), part("content-length"))
	}
	var headers []string
	for name := range h.Header {
		if decides(name, h.Status != 0) {
			headers = append(headers, strings.ToLower(name))
		}
	}
	slices.Sort(headers)
	for _, name := range headers {
		all = append(all, part(name))
	}
	if h.Status == 0 || h.Asked == nil {
		return all
	}
	for _, name := range []string{"@method", "@authority", "@path", "@query"} {
		all = append(all, part(name).asked())
	}
	for _, name := range []string{"Content-Digest", "Ce-Id"} {
		if h.Asked.Header[name] != nil {
			all = append(all, part(strings.ToLower(name)).asked())
		}
	}
	if h.Asked.Header["Signature"] != nil {
		all = append(all, part("signature", param{"key", hopLabel}).asked())
	}
	return all
}

// more is what only who signs knows that it must be covered: Hop.Covers, without what any proof covers.
func more(h *message.Hop) []component {
	var all []component
	seen := map[string]bool{}
	for _, c := range cover(h) {
		seen[c.String()] = true
	}
	for _, name := range h.Covers {
		c := part(strings.ToLower(name))
		if h.Header[textproto.CanonicalMIMEHeaderKey(name)] != nil && !seen[c.String()] {
			all = append(all, c)
			seen[c.String()] = true
		}
	}
	return all
}

// ContentDigest is a body's digest as its header says it (RFC 9530).
func ContentDigest(sum [sha256.Size]byte) string {
	return "sha-256=" + item{value: sum[:]}.String()
}

// ProveHop signs a request or an answer that is about to leave, in its header. nonce must be new each time.
func (k SigningKey) ProveHop(h *message.Hop, at time.Time, nonce string) error {
	if len(h.Body) > 0 && h.Header["Content-Digest"] == nil {
		h.Header["Content-Digest"] = []string{ContentDigest(sha256.Sum256(h.Body))}
	}
	if h.Header["Content-Digest"] != nil && h.Header["Content-Length"] == nil {
		h.Header["Content-Length"] = []string{strconv.Itoa(len(h.Body))}
	}
	input := item{inner: true, params: []param{
		{"created", at.Unix()},
		{"expires", at.Add(HopAge).Unix()},
		{"nonce", nonce},
		{"keyid", string(k.ID)},
		{"alg", string(k.Algorithm)},
		{"tag", hopTag},
	}}
	for _, c := range append(cover(h), more(h)...) {
		input.items = append(input.items, c.item)
	}
	text, err := base(h, input)
	if err != nil {
		return fmt.Errorf("sign a request: %w", err)
	}
	h.Header["Signature-Input"] = []string{hopLabel + "=" + input.String()}
	h.Header["Signature"] = []string{hopLabel + "=" + item{value: k.sign(text)}.String()}
	return nil
}

// hopProof is a signature as a message has it.
type hopProof struct {
	input     item
	signature []byte
	created   time.Time
	expires   time.Time // zero if it says none
	key       KeyID
	algorithm string // that it says, "" if none
	nonce     string
}

// readHopProof finds the one proof that was made for us.
func readHopProof(h *message.Hop) (hopProof, error) {
	inputs, err := readDictionary(strings.Join(h.Header["Signature-Input"], ", "))
	if err != nil {
		return hopProof{}, err
	}
	signatures, err := readDictionary(strings.Join(h.Header["Signature"], ", "))
	if err != nil {
		return hopProof{}, err
	}
	var found []hopProof
	for _, m := range inputs {
		if m.param("tag") != hopTag {
			continue
		}
		s, _ := find(signatures, m.key)
		p, err := hopProofOf(m.item, s)
		if err != nil {
			return hopProof{}, err
		}
		found = append(found, p)
	}
	switch len(found) {
	case 0:
		return hopProof{}, errUnsigned
	case 1:
		return found[0], nil
	}
	return hopProof{}, errors.New("it has more than one signature for this use")
}

var errUnsigned = errors.New(`it has no signature with the tag "holdfast"`)

func hopProofOf(input, signature item) (p hopProof, err error) {
	p.input = input
	var okSignature, okCreated bool
	p.signature, okSignature = signature.value.([]byte)
	created, okCreated := input.param("created").(int64)
	if !input.inner || !okSignature || !okCreated || created < 0 {
		return p, errors.New("its signature is incomplete")
	}
	p.created = time.Unix(created, 0)
	if e, ok := input.param("expires").(int64); ok {
		p.expires = time.Unix(e, 0)
	} else if input.param("expires") != nil {
		return p, errors.New("its signature expires at no time")
	}
	key, _ := input.param("keyid").(string)
	p.key = KeyID(key)
	p.algorithm, _ = input.param("alg").(string)
	p.nonce, _ = input.param("nonce").(string)
	return p, nil
}

// mostNonce bounds what is kept of a proof.
const mostNonce = 200

// check is nil if the proof is fresh, complete and the key's own over this message.
func (p hopProof) check(h *message.Hop, k Key, now time.Time, age time.Duration) error {
	switch {
	case p.algorithm != "" && p.algorithm != string(k.Algorithm):
		return bad(problem.Integrity, "its signature says "+shown(p.algorithm)+", and key "+string(k.ID)+" is for "+string(k.Algorithm))
	case p.created.After(now.Add(hopSkew)):
		return bad(problem.Integrity, "it was signed at "+p.created.UTC().Format(time.RFC3339)+", which is yet to come")
	case !now.Before(p.created.Add(age)) || !p.expires.IsZero() && !now.Before(p.expires):
		return bad(problem.Integrity, "its proof has expired: it was signed at "+p.created.UTC().Format(time.RFC3339))
	case !k.counts(p.created):
		return bad(problem.Denied, "key "+string(k.ID)+" does not count at that time")
	case h.Status == 0 && (p.nonce == "" || len(p.nonce) > mostNonce):
		return bad(problem.Integrity, "its signature has no nonce, or too long a one")
	}
	for _, c := range cover(h) {
		if !slices.ContainsFunc(p.input.items, func(i item) bool { return i.String() == c.String() }) {
			return bad(problem.Integrity, "its signature does not cover "+c.String())
		}
	}
	if err := checkDigest(h); err != nil {
		return err
	}
	text, err := base(h, p.input)
	if err != nil {
		return bad(problem.Integrity, "its signature covers what cannot be read: "+err.Error())
	}
	if !k.verify(text, p.signature) {
		return bad(problem.Integrity, "its signature is not over this content, or not by this key")
	}
	return nil
}

// until is when a proof is refused for its age.
func (p hopProof) until(age time.Duration) time.Time {
	until := p.created.Add(age)
	if !p.expires.IsZero() && p.expires.Before(until) {
		return p.expires
	}
	return until
}

// checkDigest compares the body with its digest: every one of the two functions that are not broken (RFC 9530 section 5), at least one.
func checkDigest(h *message.Hop) error {
	if len(h.Body) == 0 && h.Header["Content-Digest"] == nil {
		return nil
	}
	members, err := readDictionary(strings.Join(h.Header["Content-Digest"], ", "))
	if err != nil {
		return bad(problem.Integrity, "the digest of its body cannot be read: "+err.Error())
	}
	compared := 0
	for _, m := range members {
		want, _ := m.value.([]byte)
		var got []byte
		switch m.key {
		case "sha-256":
			sum := sha256.Sum256(h.Body)
			got = sum[:]
		case "sha-512":
			sum := sha512.Sum512(h.Body)
			got = sum[:]
		default:
			continue
		}
		if subtle.ConstantTimeCompare(got, want) != 1 {
			return bad(problem.Integrity, "its body is not that of which its header has the digest")
		}
		compared++
	}
	if compared == 0 {
		return bad(problem.Integrity, "it has no digest of its body by sha-256 or sha-512")
	}
	return nil
}

// bad is what is wrong with what a sender proves.
func bad(kind problem.Kind, why string) error {
	return &problem.Error{
		Kind: kind, What: "believe what came", Why: why,
		Hint: "have the sender send it anew, signed as docs/signatures.md says; if it goes on, somebody between the two alters or invents messages",
	}
}

// shown is a few characters of what a stranger wrote.
func shown(s string) string {
	if len(s) > 60 {
		s = s[:60]
	}
	return strconv.QuoteToASCII(s)
}
