package seal

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/problem"
)

// Wrapper keeps the seeds of what is sealed at rest: it makes one, and shows it again to whoever may see it. Local has a key for that
// beside its CA, Vault its transit engine. Kinds of errors are those of a Keyring; that of a seed whose version is no longer shown is Denied.
type Wrapper interface {
	// Wrap makes n new seeds: each plain, and as it is kept.
	Wrap(ctx context.Context, n int) (plain [][]byte, wrapped []string, err error)
	// Unwrap gives the seeds of what is kept, in its order. With an error of kind Denied those that it refuses are nil, or there are none at all.
	Unwrap(ctx context.Context, wrapped []string) ([][]byte, error)
	// Rewrap gives what is to be kept after a rotation of the wrapping key, in its order: what is of its latest version already is as it was, and
	// with an error of kind Denied what it refuses.
	Rewrap(ctx context.Context, wrapped []string) ([]string, error)
}

// seedSize is the size of a seed and of each key that is made from it: AES-256.
const seedSize = 32

// bound writes parts so that no two lists of parts give the same bytes.
func bound(to []byte, parts ...[]byte) []byte {
	for _, p := range parts {
		to = strconv.AppendInt(to, int64(len(p)), 10)
		to = append(append(to, ':'), p...)
	}
	return to
}

// newAEAD is AES-256-GCM under a key made from a seed for one purpose. It puts a nonce made by chance before what it seals.
func newAEAD(seed []byte, salt []byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, seed, salt, purpose, seedSize)
	if err != nil {
		return nil, fmt.Errorf("make a key from a seed: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a key from a seed: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func newSeed() ([]byte, error) {
	b := make([]byte, seedSize)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make a seed: %w", err)
	}
	return b, nil
}

// wrapping are the keys by which a local keyring wraps seeds, the first under version 1. The first is made from the key of the CA, so that a
// keyring of the release before has one too, and nodes that got a copy of its file have the same.
func (a authority) wrapping(version int) (cipher.AEAD, error) {
	const purpose = "holdfast/rest/wrap/1"
	if version == 1 {
		return newAEAD(a.key.Seed(), nil, purpose)
	}
	if version < 1 || version-2 >= len(a.rest) {
		return nil, &problem.Error{
			Kind: problem.Unavailable, What: "unwrap a seed of what is sealed at rest", Why: fmt.Sprintf("this node's keyring has no wrapping key of version %d", version),
			Hint: "copy ca.age from the node on which holdfast keys rewrap was run, and start this one again",
		}
	}
	return newAEAD(a.rest[version-2], nil, purpose)
}

func (a authority) latest() int { return 1 + len(a.rest) }

const localPrefix = "local:v"

func (a authority) wrap(seed []byte) (string, error) {
	k, err := a.wrapping(a.latest())
	if err != nil {
		return "", err
	}
	prefix := localPrefix + strconv.Itoa(a.latest()) + ":"
	return prefix + base64.RawStdEncoding.EncodeToString(k.Seal(nil, nil, seed, []byte(prefix))), nil //nolint:gosec // the AEAD makes its nonce itself (cipher.NewGCMWithRandomNonce)
}

func (a authority) unwrap(wrapped string) ([]byte, error) {
	version, text, ok := strings.Cut(strings.TrimPrefix(wrapped, localPrefix), ":")
	n, err := strconv.Atoi(version)
	sealed, err2 := base64.RawStdEncoding.DecodeString(text)
	if !ok || err != nil || err2 != nil {
		return nil, notOurs("it was not wrapped by a keyring of the plant's own")
	}
	k, err := a.wrapping(n)
	if err != nil {
		return nil, err
	}
	seed, err := k.Open(nil, nil, sealed, []byte(localPrefix+version+":"))
	if err != nil {
		return nil, notOurs("this keyring did not wrap it, or it was altered")
	}
	return seed, nil
}

func notOurs(why string) error {
	return &problem.Error{
		Kind: problem.Denied, What: "unwrap a seed of what is sealed at rest", Why: why,
		Hint: "give the plant the keyring that it was run with (keys.folder, keys.passphrase, keys.vault)",
	}
}

// Wrap makes seeds under the keyring's latest wrapping key.
func (l *Local) Wrap(_ context.Context, n int) (plain [][]byte, wrapped []string, err error) {
	ca, err := l.reopen(0)
	if err != nil {
		return nil, nil, err
	}
	for range n {
		seed, err := newSeed()
		if err != nil {
			return nil, nil, err
		}
		kept, err := ca.wrap(seed)
		if err != nil {
			return nil, nil, err
		}
		plain, wrapped = append(plain, seed), append(wrapped, kept)
	}
	return plain, wrapped, nil
}

// Unwrap opens seeds. A version that is newer than what was read of the file has it read again.
func (l *Local) Unwrap(_ context.Context, wrapped []string) ([][]byte, error) {
	newest := 0
	for _, w := range wrapped {
		version, _, _ := strings.Cut(strings.TrimPrefix(w, localPrefix), ":")
		if n, err := strconv.Atoi(version); err == nil {
			newest = max(newest, n)
		}
	}
	ca, err := l.reopen(newest)
	if err != nil {
		return nil, err
	}
	var refused error
	plain := make([][]byte, 0, len(wrapped))
	for _, w := range wrapped {
		seed, err := ca.unwrap(w)
		if isDenied(err) {
			refused = cmp.Or(refused, err)
		} else if err != nil {
			return nil, err
		}
		plain = append(plain, seed)
	}
	return plain, refused
}

// Rewrap wraps seeds anew that are not under the latest wrapping key.
func (l *Local) Rewrap(ctx context.Context, wrapped []string) ([]string, error) {
	plain, refused := l.Unwrap(ctx, wrapped)
	if plain == nil && refused != nil {
		return nil, refused
	}
	ca, err := l.reopen(0)
	if err != nil {
		return nil, err
	}
	fresh := make([]string, len(wrapped))
	for n, w := range wrapped {
		if fresh[n] = w; plain[n] == nil || strings.HasPrefix(w, localPrefix+strconv.Itoa(ca.latest())+":") {
			continue
		}
		if fresh[n], err = ca.wrap(plain[n]); err != nil {
			return nil, err
		}
	}
	return fresh, refused
}

// reopen is the authority with a wrapping key of that version at least, if the file has one.
func (l *Local) reopen(version int) (authority, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known.root != nil && l.known.latest() >= version {
		return l.known, nil
	}
	ca, err := l.open()
	if err == nil {
		l.known = ca
	}
	return ca, err
}

// RotateWrapping adds a wrapping key to the keyring: seeds are under it once they are wrapped anew (Rewrap). Where nodes have copies of the
// file, each must get the new one. It returns the version.
func (l *Local) RotateWrapping() (int, error) {
	unlock, err := l.safe.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	ca, err := l.open()
	if err != nil {
		return 0, err
	}
	seed, err := newSeed()
	if err != nil {
		return 0, err
	}
	ca.rest = append(ca.rest, seed)
	if err := l.safe.write(authorityFile, sealedAuthority{ca.key.Seed(), ca.root.Raw, ca.rest}); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = ca
	return ca.latest(), nil
}

// restKey is the name of the key at the transit engine by which seeds are wrapped.
const restKey = "rest"

// Wrap has Vault's transit engine make data keys.
func (v *Vault) Wrap(ctx context.Context, n int) (plain [][]byte, wrapped []string, err error) {
	path := v.cfg.Transit + "/datakey/plaintext/" + restKey
	for range n {
		s, err := v.write(ctx, path, map[string]any{"bits": 8 * seedSize})
		if err != nil {
			return nil, nil, err
		}
		seed, kept, err := seedOf(s, path)
		if err != nil {
			return nil, nil, err
		}
		plain, wrapped = append(plain, seed), append(wrapped, kept)
	}
	return plain, wrapped, nil
}

func seedOf(s *api.Secret, path string) (seed []byte, wrapped string, err error) {
	text, _ := s.Data["plaintext"].(string)
	wrapped, _ = s.Data["ciphertext"].(string)
	if seed, err = base64.StdEncoding.DecodeString(text); err != nil || len(seed) != seedSize || wrapped == "" {
		return nil, "", strange(path)
	}
	return seed, wrapped, nil
}

func strange(path string) error {
	return &problem.Error{
		Kind: problem.Denied, What: "ask Vault for " + path, Why: "its answer holds no key of 256 bits", Hint: "set up the key with deploy/vault/setup plant",
	}
}

// Unwrap has Vault's transit engine open what it wrapped, all in one call.
func (v *Vault) Unwrap(ctx context.Context, wrapped []string) ([][]byte, error) {
	path := v.cfg.Transit + "/decrypt/" + restKey
	texts, refused := v.batch(ctx, path, wrapped, "plaintext")
	if texts == nil {
		return nil, refused
	}
	plain := make([][]byte, len(texts))
	for n, t := range texts {
		if t == "" {
			continue
		}
		seed, err := base64.StdEncoding.DecodeString(t)
		if err != nil || len(seed) != seedSize {
			refused = cmp.Or(refused, strange(path))
			continue
		}
		plain[n] = seed
	}
	return plain, refused
}

// Rewrap has Vault's transit engine wrap seeds under the key's latest version, without showing them.
func (v *Vault) Rewrap(ctx context.Context, wrapped []string) ([]string, error) {
	fresh, err := v.batch(ctx, v.cfg.Transit+"/rewrap/"+restKey, wrapped, "ciphertext")
	for n := range fresh {
		if fresh[n] == "" || versionOf(fresh[n]) == versionOf(wrapped[n]) {
			fresh[n] = wrapped[n]
		}
	}
	return fresh, err
}

// versionOf is "vault:v3" of what version 3 of a key wrapped.
func versionOf(wrapped string) string { return wrapped[:max(0, strings.LastIndexByte(wrapped, ':'))] }

// batch does one thing to many ciphertexts, and gives a field of each answer. With an error of kind Denied those that Vault refuses are empty, or
// there are none at all.
func (v *Vault) batch(ctx context.Context, path string, wrapped []string, field string) ([]string, error) {
	if len(wrapped) == 0 {
		return nil, nil
	}
	input := make([]map[string]any, 0, len(wrapped))
	for _, w := range wrapped {
		input = append(input, map[string]any{"ciphertext": w})
	}
	s, err := v.write(ctx, path, map[string]any{"batch_input": input, "partial_failure_response_code": http.StatusOK})
	if err != nil {
		return nil, err
	}
	results, _ := s.Data["batch_results"].([]any)
	if len(results) != len(wrapped) {
		return nil, strange(path)
	}
	var refused error
	texts := make([]string, len(results))
	for n, r := range results {
		one, _ := r.(map[string]any)
		if said, _ := one["error"].(string); said != "" {
			refused = cmp.Or(refused, error(&problem.Error{Kind: problem.Denied, What: "ask Vault for " + path, Why: "it does not open a seed: " + said, Hint: hintBrake}))
			continue
		}
		texts[n], _ = one[field].(string)
	}
	return texts, refused
}

const hintBrake = "lower min_decryption_version of the key, if what it has sealed is needed"
