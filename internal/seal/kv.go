package seal

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"holdfast/internal/problem"
)

// How long a secret of Vault's is used before it is read again, how soon it is tried again where Vault does not answer, and how old one may be
// that a start takes from the safe.
const (
	secretAgain  = 5 * time.Minute
	secretSoon   = 30 * time.Second
	secretBudget = 7 * 24 * time.Hour
)

// secretsFile is what the safe has of them.
const secretsFile = "secrets.age"

// Secrets reads secrets from Vault's kv engine, version 2, such as the key that a partner shares. The last value of each is used for as long as
// Vault does not answer; what Vault has no more, or does not allow any more, is not used. It is safe for use by many goroutines.
type Secrets struct {
	vault *Vault
	safe  *Safe // nil: they are kept in memory alone, so that a start needs Vault
	now   func() time.Time
	log   *slog.Logger

	mu   sync.Mutex
	kept map[string]keptSecret // guarded by mu
	next map[string]time.Time  // by reference: when Vault is asked again; guarded by mu

	failed map[string]error // by reference, why there is no value; guarded by mu
}

// keptSecret is a value as it was at a time.
type keptSecret struct {
	Value string
	At    time.Time
}

// NewSecrets asks nothing yet. What was read goes into the safe, if there is one, and comes out of it for a week.
func NewSecrets(v *Vault, safe *Safe, now func() time.Time, log *slog.Logger) *Secrets {
	return &Secrets{vault: v, safe: safe, now: now, log: log, next: map[string]time.Time{}, failed: map[string]error{}}
}

// Get is the secret at MOUNT/PATH#FIELD. Errors: Invalid for what is no such reference or has no such field, Denied where Vault does not allow it,
// Unavailable where it does not answer and nothing is kept.
func (s *Secrets) Get(ctx context.Context, reference string) (string, error) {
	mount, path, field, err := splitSecret(reference)
	if err != nil {
		return "", err
	}
	k, have, due := s.have(ctx, reference)
	if have && !due {
		return k.Value, nil
	}
	if err := s.failing(reference); err != nil && !due {
		return "", err
	}
	value, err := s.vault.kv(ctx, mount, path, field)
	gone := problem.KindOf(err) == problem.Denied || problem.KindOf(err) == problem.Invalid
	if err != nil && have && !gone {
		s.log.WarnContext(ctx, "Vault does not give a secret: the last value is used", "part", "keys", "err", err)
		return k.Value, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[reference] = err
	if have && gone { // taken back, as after a leak
		s.drop(ctx, reference)
	}
	if err != nil {
		return "", err
	}
	s.next[reference] = s.now().Add(secretAgain)
	s.keep(ctx, reference, keptSecret{value, s.now()}, k)
	return value, nil
}

// have is the last value, and whether Vault is to be asked for another: by the caller alone, so that the others go on with it meanwhile, however
// long Vault takes.
func (s *Secrets) have(ctx context.Context, reference string) (k keptSecret, have, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(ctx)
	k, have = s.kept[reference]
	if s.now().Before(s.next[reference]) {
		return k, have, false
	}
	if s.next[reference] = s.now().Add(secretSoon); !have {
		s.next[reference] = s.now().Add(firstPause)
	}
	return k, have, true
}

// failing is why there is no value, as of the last time that Vault was asked; nil if it was not yet.
func (s *Secrets) failing(reference string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed[reference]
}

// drop forgets a value, in the safe too. It needs mu.
func (s *Secrets) drop(ctx context.Context, reference string) {
	s.log.WarnContext(ctx, "Vault has a secret no more: its last value is no longer used", "part", "keys", "secret", reference)
	delete(s.kept, reference)
	s.write(ctx)
}

// begin takes what the safe has. It needs mu.
func (s *Secrets) begin(ctx context.Context) {
	if s.kept != nil {
		return
	}
	s.kept = map[string]keptSecret{}
	if s.safe == nil {
		return
	}
	if err := s.safe.read(secretsFile, &s.kept); err != nil && problem.KindOf(err) != problem.NotFound {
		s.log.WarnContext(ctx, "secrets of Vault's that were sealed cannot be read", "part", "keys", "err", err)
	}
	for name, k := range s.kept {
		if s.now().Sub(k.At) > secretBudget {
			delete(s.kept, name)
		}
	}
}

// keep remembers a value, in the safe too: at once if it is another one, else once half of its time there is over. It needs mu.
func (s *Secrets) keep(ctx context.Context, reference string, k, before keptSecret) {
	if k.Value == before.Value && k.At.Sub(before.At) < secretBudget/2 {
		return
	}
	s.kept[reference] = k
	s.write(ctx)
}

// write has the safe keep them. It needs mu.
func (s *Secrets) write(ctx context.Context) {
	if s.safe == nil {
		return
	}
	if err := s.safe.write(secretsFile, s.kept); err != nil {
		s.log.WarnContext(ctx, "a secret of Vault's cannot be sealed for a start without it", "part", "keys", "err", err)
	}
}

// CheckSecret tells whether Get can read a reference, as far as it shows.
func CheckSecret(reference string) error {
	_, _, _, err := splitSecret(reference)
	return err
}

// splitSecret parts MOUNT/PATH#FIELD.
func splitSecret(reference string) (mount, path, field string, err error) {
	at, field, ok := strings.Cut(reference, "#")
	mount, path, deep := strings.Cut(at, "/")
	if !ok || !deep || mount == "" || path == "" || field == "" || strings.Contains(at, "..") || strings.ContainsAny(at, "?%") {
		return "", "", "", &problem.Error{
			Kind: problem.Invalid, What: "find the secret vault:" + reference, Why: "it is none of a kv engine", Hint: "write vault:MOUNT/PATH#FIELD, such as vault:holdfast-kv/erp#token",
		}
	}
	return mount, path, field, nil
}

// kv reads one field of a secret.
func (v *Vault) kv(ctx context.Context, mount, path, field string) (string, error) {
	s, err := v.read(ctx, mount+"/data/"+path)
	if err != nil {
		return "", err
	}
	data, _ := s.Data["data"].(map[string]any)
	value, ok := data[field].(string)
	if !ok || value == "" {
		return "", &problem.Error{
			Kind: problem.Invalid, What: "find the secret vault:" + mount + "/" + path + "#" + field, Why: "the secret has no such field, or it is no text",
			Hint: fmt.Sprintf("write it there: vault kv put -mount=%s %s %s=…", mount, path, field),
		}
	}
	return value, nil
}
