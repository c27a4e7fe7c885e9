package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	"holdfast/internal/problem"
)

// Work is how hard a passphrase is to guess: 2 to this power rounds of scrypt, 64 MiB and about a fifth of a second at 16.
const Work = 16

// Safe keeps secrets in files that only a passphrase opens: age's format with scrypt, so that "age -d" opens them too. A file is
// written beside the old one and renamed, so that a crash leaves one of the two, whole.
type Safe struct {
	dir, passphrase string
	work            int
}

// NewSafe is a safe in a folder, made at the first write. work is Work but in tests.
func NewSafe(dir, passphrase string, work int) *Safe { return &Safe{dir, passphrase, work} }

func (s *Safe) path(name string) string { return filepath.Join(s.dir, name) }

// HasKey tells whether there is a key of a node in it, by which it may start without its keyring.
func (s *Safe) HasKey(node string) bool {
	_, err := os.Stat(s.path(keyFile(node)))
	return err == nil
}

// read opens the file of that name into v. The error of a file that is not there is of kind NotFound.
func (s *Safe) read(name string, v any) error {
	sealed, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return &problem.Error{
			Kind: problem.NotFound, What: "open " + s.path(name), Why: "there is no such file", Hint: "if the plant has had keys, put a copy of the file back; else make them with: holdfast keys init",
		}
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", s.path(name), err)
	}
	who, err := age.NewScryptIdentity(s.passphrase)
	if err != nil {
		return s.locked(name, err)
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), who)
	if err != nil {
		return s.locked(name, err)
	}
	if err := json.NewDecoder(plain).Decode(v); err != nil {
		return s.locked(name, err)
	}
	return nil
}

func (s *Safe) locked(name string, err error) error {
	return &problem.Error{
		Kind: problem.Denied, What: "open " + s.path(name), Why: "the passphrase does not open it, or it was altered",
		Hint: "check keys.passphrase; a copy of the file can be put back, and the keys of a plant can be made anew", Cause: err,
	}
}

// write seals v into the file of that name.
func (s *Safe) write(name string, v any) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	to, err := age.NewScryptRecipient(s.passphrase)
	if err != nil {
		return &problem.Error{Kind: problem.Invalid, What: "seal " + s.path(name), Why: "the passphrase is empty", Hint: "set keys.passphrase"}
	}
	to.SetWorkFactor(s.work)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	if _, err := io.Copy(w, bytes.NewReader(plain)); err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	return s.put(name, sealed.Bytes())
}

// put writes a file whole or not at all; it is for the owner's eyes.
func (s *Safe) put(name string, content []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the keys: %w", err)
	}
	f, err := os.CreateTemp(s.dir, name+".new*")
	if err != nil {
		return fmt.Errorf("write %s: %w", s.path(name), err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.path(name), errors.Join(err, os.Remove(f.Name())))
	}
	return syncDir(s.dir)
}

// syncDir makes a rename last beyond a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write %s through to the disk: %w", dir, err)
	}
	return nil
}
