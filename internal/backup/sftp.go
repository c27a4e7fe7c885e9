package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"holdfast/internal/problem"
)

// SFTP is a folder of another machine, reached by SSH. Each call has a connection of its own.
type SFTP struct {
	Address string // host:port
	User    string
	Folder  string
	// PrivateKey is the key to sign in with, in PEM or OpenSSH's form, and HostKey the only one that is taken for the machine's, as a line of
	// known_hosts has it without the name: "ssh-ed25519 AAAA…".
	PrivateKey []byte
	HostKey    string
}

// sshTimeout is how long a connection may take to be made.
const sshTimeout = 20 * time.Second

// String is Place.
func (s *SFTP) String() string {
	return "sftp://" + s.User + "@" + s.Address + path.Join("/", s.Folder)
}

// Check reads key and host key, without a connection.
func (s *SFTP) Check() error {
	_, err := s.config()
	return err
}

func (s *SFTP) config() (*ssh.ClientConfig, error) {
	signer, err := ssh.ParsePrivateKey(s.PrivateKey)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the key for " + s.String(), Why: err.Error(), Hint: "make one without a passphrase: ssh-keygen -t ed25519 -N ''"}
	}
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.HostKey))
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "read the host key of " + s.String(), Why: err.Error(), Hint: "write it as ssh-keyscan prints it, without the name: ssh-ed25519 AAAA…",
		}
	}
	return &ssh.ClientConfig{
		User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(host),
		HostKeyAlgorithms: []string{host.Type()}, Timeout: sshTimeout,
	}, nil
}

// session is a connection with the folder made.
type session struct {
	*sftp.Client
	under *ssh.Client
	stop  func() bool
}

// Close ends the connection.
func (c *session) Close() error {
	c.stop()
	err := c.Client.Close()
	if cerr := c.under.Close(); err == nil && !errors.Is(cerr, net.ErrClosed) {
		err = cerr
	}
	return err
}

func (s *SFTP) open(ctx context.Context) (*session, error) {
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	away := func(err error) error {
		return &problem.Error{
			Kind: problem.Unavailable, What: "reach " + s.String(), Why: err.Error(), Hint: "look at address, user, key and host key: sftp " + s.User + "@" + s.Address, Cause: err,
		}
	}
	wire, err := (&net.Dialer{Timeout: sshTimeout}).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return nil, away(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = wire.Close() })
	_ = wire.SetDeadline(time.Now().Add(sshTimeout)) // one that says nothing must not hold up the other places
	conn, chans, reqs, err := ssh.NewClientConn(wire, s.Address, cfg)
	if err != nil {
		stop()
		return nil, errors.Join(away(err), wire.Close())
	}
	under := ssh.NewClient(conn, chans, reqs)
	c, err := sftp.NewClient(under)
	if err != nil {
		stop()
		return nil, errors.Join(away(err), under.Close())
	}
	_ = wire.SetDeadline(time.Time{})
	return &session{c, under, stop}, nil
}

// Put is Place: a file that is written beside its name, flushed where the server can, and renamed.
func (s *SFTP) Put(ctx context.Context, name string, r io.Reader) (err error) {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.MkdirAll(s.Folder); err != nil {
		return fmt.Errorf("make folder %s: %w", s, err)
	}
	var tail [6]byte
	if _, err := rand.Read(tail[:]); err != nil {
		return fmt.Errorf("name a file: %w", err)
	}
	temporary := path.Join(s.Folder, beginning+hex.EncodeToString(tail[:]))
	f, err := c.Create(temporary)
	if err != nil {
		return fmt.Errorf("write to %s: %w", s, err)
	}
	_, err = io.Copy(f, r)
	if _, can := c.HasExtension("fsync@openssh.com"); can && err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.PosixRename(temporary, path.Join(s.Folder, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write to %s: %w", s, err), c.Remove(temporary))
	}
	return nil
}

// Get is Place.
func (s *SFTP) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	c, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	f, err := c.Open(path.Join(s.Folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(missing(s, name), c.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a backup in %s: %w", s, err), c.Close())
	}
	return remote{f, c}, nil
}

// remote is a file with the connection that it is read over.
type remote struct {
	*sftp.File
	over *session
}

// Close ends both.
func (r remote) Close() error { return errors.Join(r.File.Close(), r.over.Close()) }

// List is Place. A folder that is not there yet has nothing.
func (s *SFTP) List(ctx context.Context) (names []string, err error) {
	c, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	entries, err := c.ReadDirContext(ctx, s.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the backups in %s: %w", s, err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Remove is Place.
func (s *SFTP) Remove(ctx context.Context, name string) (err error) {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Remove(path.Join(s.Folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a backup in %s: %w", s, err)
	}
	return nil
}

func (s *SFTP) sweep(ctx context.Context, then time.Time) (err error) {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	entries, err := c.ReadDirContext(ctx, s.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the backups in %s: %w", s, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), beginning) || !e.Mode().IsRegular() || e.ModTime().After(then) {
			continue
		}
		if err := c.Remove(path.Join(s.Folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what was left of an upload in %s: %w", s, err)
		}
	}
	return nil
}
