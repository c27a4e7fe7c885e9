package seal

import (
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"holdfast/internal/store"
)

// Foresee tells why a node would not start now, in the words of OpenRest and OpenRing, nil if it would. It changes nothing. away is why the keyring
// does not answer, nil if it does; one that is to be logged in at is asked for no seed.
func Foresee(ctx context.Context, db *store.DB, from Keyring, safe *Safe, node string, ring RingConfig, rest RestConfig, away error) error {
	if err := foreseeRest(ctx, db, from, rest, away); err != nil {
		return err
	}
	if ring.Now == nil {
		ring.Now = db.Now
	}
	r := &Ring{db: db, from: from, safe: safe, node: node, cfg: ring, log: slog.New(slog.DiscardHandler)}
	if err := r.restore(ctx); err != nil {
		return err
	}
	if r.key.Load() == nil {
		return away
	}
	return nil
}

func foreseeRest(ctx context.Context, db *store.DB, from Keyring, cfg RestConfig, away error) error {
	w, ok := from.(Wrapper)
	if _, login := from.(*Vault); !ok || login && away == nil {
		return nil
	}
	r := newRest(db, w, cfg, slog.New(slog.DiscardHandler))
	kept, err := r.read(ctx)
	if err != nil {
		return err
	}
	if kept.beganAt == 0 {
		if r.cfg.Off || r.cfg.Later {
			return nil
		}
		return away
	}
	if away == nil {
		err = r.take(ctx, kept)
	} else if err = r.learnSafe(away); err == nil {
		err = r.takeKnown(ctx, kept)
	}
	if err != nil || r.cfg.Off {
		return err
	}
	_, _, err = r.choose(kept)
	return err
}

// PlantOf is the plant that a CA was made for by InitLocal, "" for another's.
func PlantOf(root *x509.Certificate) string {
	plant, _ := strings.CutPrefix(root.Subject.CommonName, authorityName)
	return plant
}

// Left is what a keyring that was used has left in its folder although its CA is gone, "" for nothing.
func (s *Safe) Left() string {
	if _, err := os.Stat(s.path(authorityFile)); err == nil {
		return ""
	}
	for _, name := range []string{listFile, "node-*.age", "rest-*.age"} {
		if found, err := filepath.Glob(s.path(name)); err == nil && len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// HasAuthority tells whether the CA of a local keyring is in it.
func (s *Safe) HasAuthority() bool {
	_, err := os.Stat(s.path(authorityFile))
	return err == nil
}

// Readable are the folder and those of its secrets that others than their owner may read or write.
func (s *Safe) Readable() []string {
	secrets, err := filepath.Glob(s.path("*.age"))
	if err != nil {
		return nil
	}
	var out []string
	for _, path := range append([]string{s.dir}, secrets...) {
		if Readable(path) {
			out = append(out, path)
		}
	}
	return out
}

// Readable tells whether others than its owner may read or write a file or folder.
func Readable(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.Mode().Perm()&0o066 != 0
}
