package alert_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/port"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// identity is a key with a certificate for 127.0.0.1 that vouches for itself, as files and as what a client believes.
type identity struct {
	cert, key string
	pair      tls.Certificate
	pool      *x509.CertPool
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "collector"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := identity{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool()}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if err := errors.Join(os.WriteFile(id.cert, certPEM, 0o600), os.WriteFile(id.key, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	if id.pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	id.pool.AppendCertsFromPEM(certPEM)
	return id
}

// rsyslog is Debian's, with TLS; it writes what it gets into a file.
type rsyslog struct {
	t       *testing.T
	starts  int
	program string
	id      identity
	dir     string
	address string
	cmd     *exec.Cmd
}

func newRsyslog(t *testing.T) *rsyslog {
	t.Helper()
	program := os.Getenv("HOLDFAST_TEST_RSYSLOG")
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("HOLDFAST_TEST_RSYSLOG is not set, and CI skips nothing: run deploy/dev/services up")
		}
		t.Skip("skipped for want of rsyslog: set HOLDFAST_TEST_RSYSLOG, or run make test, which installs it")
	}
	ports, err := port.Free(1)
	if err != nil {
		t.Fatal(err)
	}
	r := &rsyslog{t: t, program: program, id: newIdentity(t), dir: t.TempDir(), address: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	conf := fmt.Sprintf(`global(processInternalMessages="on" workDirectory="%[1]s" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%[2]s" defaultNetstreamDriverCertFile="%[2]s" defaultNetstreamDriverKeyFile="%[3]s")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="all") { action(type="omfile" file="%[1]s/got" template="raw") }
input(type="imtcp" address="127.0.0.1" port="%[4]d" ruleset="all")
call all
`, r.dir, r.id.cert, r.id.key, ports[0])
	if err := os.WriteFile(filepath.Join(r.dir, "rsyslog.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd != nil {
			r.stop(syscall.SIGKILL)
		}
	})
	return r
}

// start runs it until it listens, of which the kernel tells, and has its own first message in its file: rsyslog 8.2302 closes the descriptor of a
// connection twice, and what opens its file in between loses it to the next connection, together with what it had confirmed.
func (r *rsyslog) start() {
	r.t.Helper()
	r.starts++
	r.cmd = exec.Command(r.program, "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid"))
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	_, at, _ := strings.Cut(r.address, ":")
	n, err := strconv.Atoi(at)
	if err != nil {
		r.t.Fatal(err)
	}
	has := func(file, what string, times int) bool {
		b, _ := os.ReadFile(file) // not there yet
		return strings.Count(string(b), what) >= times
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if has("/proc/net/tcp", fmt.Sprintf("0100007F:%04X 00000000:0000 0A", n), 1) && has(filepath.Join(r.dir, "got"), "] start", r.starts) {
			return
		}
		if time.Now().After(end) {
			r.t.Fatal("rsyslog does not listen within a minute")
		}
	}
}

// stop ends it and waits for that; by SIGTERM it writes first what it has.
func (r *rsyslog) stop(sig syscall.Signal) {
	r.t.Helper()
	_ = r.cmd.Process.Signal(sig)
	_ = r.cmd.Wait()
	r.cmd = nil
}

var placeOf = regexp.MustCompile(`\[audit@32473 plant="1000" place="(\d+)" `)

// places are those of the messages that it has written, each at its first occurrence.
func (r *rsyslog) places() (first []int64, repeated int) {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "got"))
	if err != nil {
		r.t.Fatal(err)
	}
	seen := map[int64]bool{}
	for line := range strings.Lines(string(b)) {
		m := placeOf.FindStringSubmatch(line)
		if m == nil {
			if strings.Contains(line, "rsyslogd") {
				continue
			}
			r.t.Fatalf("not a message of the plant: %q", line)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		if seen[n] {
			repeated++
			continue
		}
		seen[n] = true
		first = append(first, n)
	}
	return first, repeated
}

// record is a plant's audit record with a clock of its own.
type record struct {
	t    *testing.T
	db   *store.DB
	tree *audit.Tree
	n    int
}

func newRecord(t *testing.T, db *store.DB) *record {
	return &record{t: t, db: db, tree: audit.NewTree(db, "holdfast/1000", "n1", audit.Config{}, slog.New(slog.DiscardHandler))}
}

func (r *record) append(n int) {
	r.t.Helper()
	for range n {
		r.n++
		err := r.db.InTx(r.t.Context(), func(tx *store.Tx) error {
			return audit.Append(r.t.Context(), tx, audit.Entry{Actor: "local:anna", Action: "link.pause", Object: fmt.Sprintf("link/%d", r.n), Reason: `a "release"] \ it is`})
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *record) forwarder(node, address string, id identity) *alert.Forwarder {
	return alert.NewForwarder(r.db, r.tree.Place, node, alert.Collector{
		Name: "soc", Address: address, TLS: &tls.Config{RootCAs: id.pool, MinVersion: tls.VersionTLS12}, Form: alert.Form{Name: alert.Syslog, Plant: "1000", Host: node, Version: "1"},
	}, alert.ForwarderConfig{Timeout: 10 * time.Second, Batch: 100}, slog.New(slog.DiscardHandler))
}

// drain hands on until nothing is left.
func drain(t *testing.T, f *alert.Forwarder) (total int) {
	t.Helper()
	for {
		n, err := f.Forward(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

func (r *record) backlog() (b alert.Backlog) {
	r.t.Helper()
	if err := r.db.View(r.t.Context(), func(tx *store.Tx) (err error) {
		b, err = alert.BacklogOf(r.t.Context(), tx, "soc")
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	return b
}

// TestNothingIsLostThroughTenMinutesWithoutACollector kills a real rsyslog for ten minutes of the plant's clock and starts it again; the
// plant's process is another one then, too.
func TestNothingIsLostThroughTenMinutesWithoutACollector(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		collector, r := newRsyslog(t), newRecord(t, db)
		collector.start()
		f := r.forwarder("n1", collector.address, collector.id)
		r.append(20)
		if n := drain(t, f); n != 20 {
			t.Fatalf("handed on %d, want 20", n)
		}
		collector.stop(syscall.SIGTERM)
		for range 10 {
			r.append(25)
			now = now.Add(time.Minute)
			if _, err := f.Forward(t.Context()); problem.KindOf(err) != problem.Unavailable {
				t.Fatalf("without a collector: %v, want unavailable", err)
			}
		}
		if b := r.backlog(); b.Waiting != 250 || b.Place != 20 || b.Trouble == "" {
			t.Errorf("backlog %+v, want 250 after place 20 with its trouble", b)
		}
		collector.start()
		if n := drain(t, r.forwarder("n1", collector.address, collector.id)); n != 250 {
			t.Errorf("handed on %d, want 250", n)
		}
		collector.stop(syscall.SIGTERM)
		got, repeated := collector.places()
		for i, n := range got {
			if n != int64(i) {
				t.Fatalf("message %d is of place %d: lost or out of order", i, n)
			}
		}
		if len(got) != 270 {
			t.Errorf("the collector has %d of 270", len(got))
		}
		t.Logf("%d messages, %d repeated", len(got), repeated)
		if b := r.backlog(); b.Waiting != 0 || b.Trouble != "" {
			t.Errorf("backlog %+v, want none", b)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// dying is a collector that reads so many bytes of its first connection and is gone, as when its machine loses power: TLS does not say that
// it has ended. Afterwards it works.
func dying(t *testing.T, id identity, after int64) (address string, got *bytes.Buffer, done func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got = &bytes.Buffer{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ; first = false {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{id.pair}, MinVersion: tls.VersionTLS12})
			if first {
				_, _ = io.CopyN(io.Discard, c, after)
				_ = raw.Close()
				continue
			}
			_, _ = io.Copy(got, c)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), got, func() { _ = l.Close(); <-ended }
}

func TestWhatACollectorReadBeforeItDiedIsSentAgain(t *testing.T) {
	id := newIdentity(t)
	for _, after := range []int64{0, 1, 1000, 4000} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			r := newRecord(t, storetest.SQLite(t))
			address, got, done := dying(t, id, after)
			f := r.forwarder("n1", address, id)
			r.append(30)
			if _, err := f.Forward(t.Context()); problem.KindOf(err) != problem.Unavailable {
				t.Fatalf("the collector died and %v", err)
			}
			if n := drain(t, f); n != 30 {
				t.Errorf("handed on %d, want all 30 again", n)
			}
			done()
			for i, line := range unframe(t, got.Bytes()) {
				if want := fmt.Sprintf(`place="%d"`, i); !strings.Contains(line, want) {
					t.Fatalf("message %d is %q, want %s", i, line, want)
				}
			}
		})
	}
}

// unframe takes the messages out of a stream (RFC 5425).
func unframe(t *testing.T, b []byte) (lines []string) {
	t.Helper()
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte(" "))
		n, err := strconv.Atoi(string(head))
		if !ok || err != nil || n > len(rest) {
			t.Fatalf("no frame: %.40q", b)
		}
		lines, b = append(lines, string(rest[:n])), rest[n:]
	}
	return lines
}

func TestOneNodeHandsOnAtATime(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r, id := newRecord(t, db), newIdentity(t)
		r.append(3)
		a, b := r.forwarder("n1", "127.0.0.1:1", id), r.forwarder("n2", "127.0.0.1:1", id)
		if _, err := a.Forward(t.Context()); err == nil {
			t.Fatal("handed on to nobody")
		}
		if n, err := b.Forward(t.Context()); n != 0 || err != nil {
			t.Errorf("n2 handed on %d, %v while n1 has the collector", n, err)
		}
		now = now.Add(time.Minute)
		if _, err := b.Forward(t.Context()); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("n2 after n1's lease: %v, want that it tries", err)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

func TestACollectorThatNobodyVouchesForGetsNothing(t *testing.T) {
	r, id := newRecord(t, storetest.SQLite(t)), newIdentity(t)
	address, got, done := dying(t, id, 0)
	r.append(1)
	if _, err := r.forwarder("n1", address, newIdentity(t)).Forward(t.Context()); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("got %v, want that it was not reached", err)
	}
	done()
	if got.Len() > 0 {
		t.Errorf("it has %q", got)
	}
}
