package backup_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
)

// sftpServer is OpenSSH's own, as Debian has it.
const sftpServer = "/usr/lib/openssh/sftp-server"

// sshKey is a private key as ssh-keygen writes it, and its public half.
func sshKey(t *testing.T) ([]byte, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), signer
}

func line(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

// serveSSH lets who has the key in by SSH, and gives them OpenSSH's sftp-server.
func serveSSH(t *testing.T, host ssh.Signer, client ssh.PublicKey) string {
	t.Helper()
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if line(k) != line(client) {
			return nil, errors.New("a stranger")
		}
		return nil, nil
	}}
	cfg.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveConn(c, cfg)
		}
	}()
	return l.Addr().String()
}

func serveConn(c net.Conn, cfg *ssh.ServerConfig) {
	defer c.Close()
	_, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for ch := range chans {
		ch, reqs, err := ch.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range reqs {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		}()
		cmd := exec.Command(sftpServer)
		cmd.Stdout = ch
		in, err := cmd.StdinPipe()
		if err != nil || cmd.Start() != nil {
			return
		}
		go func() { _, _ = io.Copy(in, ch); _ = in.Close() }()
		go func() { _ = cmd.Wait(); _ = ch.Close() }()
	}
}

// TestCopiesOnAnotherMachine, over SSH, on OpenSSH's own server: written, listed, proven, removed; and not with another key, nor to another
// machine that has taken the address.
func TestCopiesOnAnotherMachine(t *testing.T) {
	if _, err := os.Stat(sftpServer); err != nil {
		t.Skip("skipped for want of OpenSSH's sftp-server")
	}
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 5)
	private, client := sshKey(t)
	_, host := sshKey(t)
	there := &backup.SFTP{
		Address: serveSSH(t, host, client.PublicKey()), User: "holdfast", Folder: filepath.Join(t.TempDir(), "a", "b"), PrivateKey: private, HostKey: line(host.PublicKey()),
	}
	if err := there.Check(); err != nil {
		t.Fatal(err)
	}
	s.opt.Places = []backup.Place{there}
	m := s.create()
	if _, err := backup.Verify(t.Context(), there, m.ID, s.trial(s.recovery)); err != nil {
		t.Error(err)
	}
	if all, err := backup.List(t.Context(), there, nil); err != nil || len(all) != 1 || all[0].Proven == nil {
		t.Errorf("got %+v, %v", all, err)
	}
	if err := there.Remove(t.Context(), m.ID+".json"); err != nil {
		t.Error(err)
	}
	if _, err := backup.Verify(t.Context(), there, m.ID, s.trial(s.own)); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "the manifest is missing") {
		t.Errorf("what was removed: got %v, want its manifest missed", err)
	}
	other, stranger := sshKey(t)
	for name, wrong := range map[string]*backup.SFTP{
		"another key":     {Address: there.Address, User: "holdfast", Folder: there.Folder, PrivateKey: other, HostKey: there.HostKey},
		"another machine": {Address: there.Address, User: "holdfast", Folder: there.Folder, PrivateKey: private, HostKey: line(stranger.PublicKey())},
		"nobody":          {Address: "127.0.0.1:1", User: "holdfast", Folder: there.Folder, PrivateKey: private, HostKey: there.HostKey},
	} {
		if _, err := wrong.List(t.Context()); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%s: got %v, want it unavailable", name, err)
		}
	}
	for name, wrong := range map[string]*backup.SFTP{
		"no key":      {PrivateKey: []byte("x"), HostKey: there.HostKey},
		"no host key": {PrivateKey: private, HostKey: "x"},
	} {
		if err := wrong.Check(); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}
