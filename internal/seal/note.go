package seal

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// ForCheckpoint is the purpose of a signature over a checkpoint of the audit record. Its text begins with it, as a checkpoint's origin,
// which is text that no other purpose's signed bytes begin with.
const ForCheckpoint Purpose = "holdfast/audit/1/"

// noteHash is what a signature line of a note (c2sp.org/signed-note) tells its key by. It is a hint: two keys may share it.
func noteHash(name string, public ed25519.PublicKey) uint32 {
	const algorithm = 1 // Ed25519
	sum := sha256.Sum256(append([]byte(name+"\n"), append([]byte{algorithm}, public...)...))
	return binary.BigEndian.Uint32(sum[:])
}

// noteLine is a signature as it stands under a note.
func noteLine(name string, public ed25519.PublicKey, signature []byte) string {
	b := binary.BigEndian.AppendUint32(nil, noteHash(name, public))
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(b, signature...)) + "\n"
}

// NoteKey is a public key as programs that check notes are told it: name, hash and key.
func NoteKey(name string, public ed25519.PublicKey) string {
	key := append([]byte{1}, public...)
	return fmt.Sprintf("%s+%08x+%s", name, noteHash(name, public), base64.StdEncoding.EncodeToString(key))
}

// forCheckpoint refuses a text that could be taken for something else than a checkpoint.
func forCheckpoint(text string) error {
	if strings.HasPrefix(text, string(ForCheckpoint)) && strings.HasSuffix(text, "\n") {
		return nil
	}
	return &problem.Error{
		Kind: problem.Internal, What: "sign a checkpoint", Why: "the text is none: it does not begin with " + string(ForCheckpoint),
		Hint: "this is a defect of Holdfast; please report it",
	}
}

// SignCheckpoint signs the text of a checkpoint with the node's key of the moment and returns the line that stands under it, with its end
// of line. It asks nobody. Errors are those of Sign.
func (r *Ring) SignCheckpoint(name, text string) (string, error) {
	if err := forCheckpoint(text); err != nil {
		return "", err
	}
	k, _, err := r.ready()
	if err != nil {
		return "", err
	}
	public := k.private.Public().(ed25519.PublicKey)
	return noteLine(name, public, ed25519.Sign(k.private, []byte(text))), nil
}

// Notes checks the signatures under notes of one name, by what a Trust knows and by the keys of an anchor.
type Notes struct {
	trust   *Trust
	name    string
	nodes   map[uint32][]KeyID
	anchors map[uint32][]ed25519.PublicKey
	now     time.Time // see At
}

// At is the check of signatures that somebody shows at now as the word of nodes: a key whose certificate has ended by then says nothing, since
// whoever has stolen it can write any time into what it signs. Without At old checkpoints are good, as those of a record that others vouch for.
func (n *Notes) At(now time.Time) *Notes {
	at := *n
	at.now = now
	return &at
}

// Notes is the check of signatures under notes of name; anchors are the public keys of Vault's anchor, if it is known.
func (t *Trust) Notes(name string, anchors []ed25519.PublicKey) *Notes {
	n := &Notes{trust: t, name: name, nodes: map[uint32][]KeyID{}, anchors: map[uint32][]ed25519.PublicKey{}}
	for id, k := range t.keys {
		if len(k.public) == ed25519.PublicKeySize {
			h := noteHash(name, k.public)
			n.nodes[h] = append(n.nodes[h], id)
		}
	}
	for _, a := range anchors {
		h := noteHash(AnchorName(name), a)
		n.anchors[h] = append(n.anchors[h], a)
	}
	return n
}

// AnchorName is the name that the anchor signs notes of name under.
func AnchorName(name string) string { return name + "/anchor" }

// Verify tells who signed the text, by a signature line with this name and hash: the URI of a node, or "anchor". The time is the one that the
// text says: the node's certificate must have been valid then. An error is of kind NotFound where no key is known by which it could be
// checked, or nobody vouches for the one that is, of kind Denied for a key that was revoked, else of kind Integrity.
func (n *Notes) Verify(name string, hash uint32, text, signature []byte, at time.Time) (who string, err error) {
	bad := func(kind problem.Kind, why, hint string) (string, error) {
		return "", &problem.Error{Kind: kind, What: "verify a signature of " + name, Why: why, Hint: hint}
	}
	if name == AnchorName(n.name) && len(n.anchors[hash]) > 0 {
		for _, a := range n.anchors[hash] {
			if ed25519.Verify(a, text, signature) {
				return "anchor", nil
			}
		}
		return bad(problem.Integrity, "it is not over this text", "something altered the text or the signature")
	}
	if name != n.name || len(n.nodes[hash]) == 0 {
		return bad(problem.NotFound, "no such key is known here", "give the keys that signed it: holdfast keys export")
	}
	for _, id := range n.nodes[hash] {
		k := n.trust.keys[id]
		switch {
		case !ed25519.Verify(k.public, text, signature):
			continue
		case k.broken != "":
			return bad(problem.NotFound, k.broken, "ask whoever runs the keyring for the certificate of key "+string(id))
		case !k.revoked.IsZero():
			return bad(problem.Denied, "the key of "+k.node+" was revoked: "+k.reason, "what a later key or the anchor has signed vouches for it, if that is good")
		case at.Before(k.from) || at.After(k.to):
			return bad(problem.Integrity, fmt.Sprintf("it says %s, the certificate of %s is valid from %s to %s", at.Format(time.RFC3339), k.node,
				k.from.Format(time.RFC3339), k.to.Format(time.RFC3339)), "look at the clock of the node")
		case n.now.After(k.to):
			return bad(problem.Denied, "the certificate of "+k.node+" has ended at "+k.to.Format(time.RFC3339), "have it made anew, by a node whose key counts")
		}
		return k.node, nil
	}
	return bad(problem.Integrity, "it is not over this text", "something altered the text or the signature")
}

// AnchorCheckpoint has Vault's transit engine sign the text of a checkpoint with the key "anchor", which no node holds: who steals a node
// cannot write its history anew. It returns the line that stands under the text.
func (v *Vault) AnchorCheckpoint(ctx context.Context, name, text string) (string, error) {
	if err := forCheckpoint(text); err != nil {
		return "", err
	}
	return v.anchorText(ctx, name, text)
}

// AnchorDigest has the anchor sign a SHA-256 for a purpose that is not ForCheckpoint, and returns a line like that of AnchorCheckpoint, which
// Anchor checks.
func (v *Vault) AnchorDigest(ctx context.Context, name string, p Purpose, digest []byte) (string, error) {
	return v.anchorText(ctx, name, anchoredText(p, digest))
}

// anchoredText is what the anchor signs. Its first line is the purpose, which no checkpoint begins with: that begins with ForCheckpoint.
func anchoredText(p Purpose, digest []byte) string {
	return string(p) + "\n" + hex.EncodeToString(digest) + "\n"
}

// anchorText has the anchor sign a text under a name.
func (v *Vault) anchorText(ctx context.Context, name, text string) (string, error) {
	path := v.cfg.Transit + "/sign/" + anchorKey
	s, err := v.write(ctx, path, map[string]any{"input": base64.StdEncoding.EncodeToString([]byte(text))})
	if err != nil {
		return "", err
	}
	said, _ := s.Data["signature"].(string)
	version, encoded, ok := strings.Cut(strings.TrimPrefix(said, "vault:v"), ":")
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !ok || len(signature) != ed25519.SignatureSize {
		return "", &problem.Error{
			Kind: problem.Denied, What: "ask Vault for " + path, Why: "its answer is no Ed25519 signature", Hint: "set up the key with deploy/vault/setup plant", Cause: err,
		}
	}
	public, err := v.anchorOf(ctx, version, text, signature)
	if err != nil {
		return "", err
	}
	return noteLine(AnchorName(name), public, signature), nil
}

// anchorKey is the name of the key at the transit engine.
const anchorKey = "anchor"

// anchorOf is the anchor's public key of one version, by which the signature is good. A version's key changes only if the anchor was made
// anew: a signature that is not good by the key that is known has Vault asked for it again.
func (v *Vault) anchorOf(ctx context.Context, version, text string, signature []byte) (ed25519.PublicKey, error) {
	if k, ok := v.anchors.Load(version); ok && ed25519.Verify(k.(ed25519.PublicKey), []byte(text), signature) {
		return k.(ed25519.PublicKey), nil
	}
	all, err := v.anchorVersions(ctx)
	if err != nil {
		return nil, err
	}
	v.anchors.Clear()
	for n, k := range all {
		v.anchors.Store(n, k)
	}
	k, ok := all[version]
	switch {
	case !ok:
		return nil, &problem.Error{
			Kind: problem.Denied, What: "ask Vault for version " + version + " of the anchor", Why: "it does not show its public key",
			Hint: "lower min_decryption_version of the key, or see that it is of type ed25519",
		}
	case !ed25519.Verify(k, []byte(text), signature):
		return nil, &problem.Error{
			Kind: problem.Integrity, What: "have the anchor sign", Why: "what Vault answers is not version " + version + "'s signature over it",
			Hint: "look at what stands between this node and Vault, and that the key is not derived or prehashed",
		}
	}
	return k, nil
}

func (v *Vault) anchorVersions(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	s, err := v.read(ctx, v.cfg.Transit+"/keys/"+anchorKey)
	if err != nil {
		return nil, err
	}
	keys, _ := s.Data["keys"].(map[string]any)
	all := map[string]ed25519.PublicKey{}
	for version, k := range keys {
		about, _ := k.(map[string]any)
		text, _ := about["public_key"].(string)
		if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) == ed25519.PublicKeySize {
			all[version] = b
		}
	}
	return all, nil
}

// Anchors are the public keys of the anchor that Vault shows, of every version.
func (v *Vault) Anchors(ctx context.Context) ([]ed25519.PublicKey, error) {
	versions, err := v.anchorVersions(ctx)
	all := make([]ed25519.PublicKey, 0, len(versions))
	for _, k := range versions {
		all = append(all, k)
	}
	return all, err
}

// KnownAnchors is Anchors by what Vault has shown already: it is asked only if that is nothing.
func (v *Vault) KnownAnchors(ctx context.Context) (all []ed25519.PublicKey, err error) {
	v.anchors.Range(func(_, k any) bool {
		all = append(all, k.(ed25519.PublicKey))
		return true
	})
	if len(all) > 0 {
		return all, nil
	}
	versions, err := v.anchorVersions(ctx)
	for n, k := range versions {
		v.anchors.Store(n, k)
		all = append(all, k)
	}
	return all, err
}

// Anchor checks what Vault's anchor has signed beside checkpoints, by its public keys.
type Anchor struct {
	name string
	keys []ed25519.PublicKey
}

// NewAnchor is the anchor that signs under AnchorName(name).
func NewAnchor(name string, keys []ed25519.PublicKey) *Anchor { return &Anchor{AnchorName(name), keys} }

// Verify checks a line of AnchorDigest. Errors: NotFound for a key that is not known, Integrity for whatever is not its signature over that.
func (a *Anchor) Verify(p Purpose, digest []byte, line string) error {
	bad := func(kind problem.Kind, why string) error {
		return &problem.Error{Kind: kind, What: "verify the anchor's signature", Why: why, Hint: "compare the key with what holdfast audit keys prints"}
	}
	parts := strings.Fields(line)
	if len(parts) != 3 || parts[1] != a.name {
		return bad(problem.Integrity, "it is none of "+a.name)
	}
	b, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(b) != 4+ed25519.SignatureSize {
		return bad(problem.Integrity, "it is no signature")
	}
	known := false
	for _, k := range a.keys {
		if noteHash(a.name, k) != binary.BigEndian.Uint32(b) {
			continue
		}
		known = true
		if ed25519.Verify(k, []byte(anchoredText(p, digest)), b[4:]) {
			return nil
		}
	}
	if !known {
		return bad(problem.NotFound, "no such key of the anchor is known here")
	}
	return bad(problem.Integrity, "it is not over this")
}

// NoteKey is the key as programs that check notes of name are told it.
func (c Certificate) NoteKey(name string) (string, error) {
	if len(c.Chain) > 0 {
		if public, ok := c.Chain[0].PublicKey.(ed25519.PublicKey); ok {
			return NoteKey(name, public), nil
		}
	}
	return "", &problem.Error{Kind: problem.Integrity, What: "tell key " + string(c.Key), Why: "its certificate is not for Ed25519", Hint: "put back a backup of seal_keys"}
}

// ParseNoteKey reads what NoteKey wrote for this name.
func ParseNoteKey(name, text string) (ed25519.PublicKey, error) {
	encoded := strings.SplitN(text, "+", 3) // neither name nor hash has one
	key, err := base64.StdEncoding.DecodeString(encoded[len(encoded)-1])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || NoteKey(name, key[1:]) != text {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "read the key " + text, Why: "it is none of " + name, Hint: "write a line of holdfast audit keys",
		}
	}
	return key[1:], nil
}
