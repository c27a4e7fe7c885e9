// Package adtest starts an Active Directory domain controller for tests: Debian's Samba, each time a copy of one domain that deploy/dev/ad has made,
// in a network namespace of its own, with a new certificate. The domain and its people are in deploy/dev/ad.
package adtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the domain is called, and who reads it.
const (
	Base = "DC=plant,DC=holdfast,DC=test"
	User = "svc-holdfast@plant.holdfast.test"
)

// Password is that of an account.
func Password(account string) string { return account + "-Passw0rd!" }

// Controller is a running one.
type Controller struct {
	URL      string // by LDAPS
	StartTLS string // the same by ldap://
	CA       []byte // PEM, by which it is believed

	t   *testing.T
	dir string
	cmd *exec.Cmd

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]bool
}

// Start starts a controller, which ends with the test. Without HOLDFAST_TEST_AD the test is skipped, in CI it fails.
func Start(t *testing.T) *Controller {
	t.Helper()
	domain := os.Getenv("HOLDFAST_TEST_AD")
	if domain == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("HOLDFAST_TEST_AD is not set, and CI skips nothing: run deploy/dev/services up")
		}
		t.Skip("skipped for want of a domain of Samba's: set HOLDFAST_TEST_AD, or run make test as root, which makes it")
	}
	d := &Controller{t: t, dir: t.TempDir(), conns: map[net.Conn]bool{}}
	d.certify()
	d.cmd = exec.CommandContext(t.Context(), filepath.Join(domain, "ad"), "run", filepath.Join(domain, "domain"), d.dir)
	d.cmd.Stdout, d.cmd.Stderr = t.Output(), t.Output()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Away(true)
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait() // which says that it was killed
	})
	d.URL, d.StartTLS = "ldaps://"+d.pass("127.0.0.1:636"), "ldap://"+d.pass("127.0.0.1:389")
	d.wait("127.0.0.1:389")
	d.wait("127.0.0.1:636")
	return d
}

// wait waits until the controller listens.
func (d *Controller) wait(address string) {
	d.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); ; <-tick.C {
		c, err := d.dial(address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(until) {
			d.t.Fatalf("the controller does not listen on %s: %v", address, err)
		}
	}
}

// dial connects to an address of the controller's namespace. The thread goes there for the call; where it cannot come back, it ends.
func (d *Controller) dial(address string) (net.Conn, error) {
	type answer struct {
		c   net.Conn
		err error
	}
	got := make(chan answer)
	go func() {
		runtime.LockOSThread()
		c, err := dialIn(fmt.Sprintf("/proc/%d/ns/net", d.cmd.Process.Pid), address)
		got <- answer{c, err}
	}() // and with it its thread, which may still be elsewhere
	a := <-got
	return a.c, a.err
}

func dialIn(namespace, address string) (net.Conn, error) {
	f, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the controller's network: %w", err)
	}
	return net.DialTimeout("tcp", address, 5*time.Second)
}

// pass listens on this machine and passes on what comes to an address of the controller's.
func (d *Controller) pass(to string) (at string) {
	d.t.Helper()
	l, err := new(net.ListenConfig).Listen(d.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.join(c, to)
		}
	}()
	return l.Addr().String()
}

func (d *Controller) join(c net.Conn, to string) {
	defer c.Close()
	if !d.take(c) {
		return
	}
	defer d.drop(c)
	out, err := d.dial(to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, c)
		_ = out.Close()
	}()
	_, _ = io.Copy(c, out)
}

func (d *Controller) take(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.away {
		d.conns[c] = true
	}
	return !d.away
}

func (d *Controller) drop(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// Open is how many connections there are.
func (d *Controller) Open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// Away has the controller not answer, or answer again.
func (d *Controller) Away(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
	for c := range d.conns {
		if away {
			_ = c.Close()
		}
	}
}

// Tool runs samba-tool on the controller's database.
func (d *Controller) Tool(args ...string) {
	d.t.Helper()
	domain := filepath.Join(os.Getenv("HOLDFAST_TEST_AD"), "domain")
	pid := fmt.Sprint(d.cmd.Process.Pid)
	all := append([]string{"-t", pid, "-m", "-n", "samba-tool"}, append(args, "-s", filepath.Join(domain, "etc", "smb.conf"))...)
	if out, err := exec.CommandContext(d.t.Context(), "nsenter", all...).CombinedOutput(); err != nil {
		d.t.Fatalf("samba-tool %v: %v\n%s", args, err, out)
	}
}

// certify makes the controller's certificate, for 127.0.0.1 and its name, and the CA that issues it.
func (d *Controller) certify() {
	d.t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the plant's tests"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	dc := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "dc1.plant.holdfast.test"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{"dc1.plant.holdfast.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caKey, dcKey := d.key(), d.key()
	d.CA = d.issue(ca, ca, caKey, caKey)
	key, err := x509.MarshalPKCS8PrivateKey(dcKey)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write("ca.pem", d.CA)
	d.write("dc.pem", d.issue(dc, ca, dcKey, caKey))
	d.write("dc.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func (d *Controller) key() *ecdsa.PrivateKey {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

func (d *Controller) issue(c, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
	d.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), byKey)
	if err != nil {
		d.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (d *Controller) write(name string, text []byte) {
	d.t.Helper()
	dir := filepath.Join(d.dir, "tls")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		d.t.Fatal(err)
	}
}
