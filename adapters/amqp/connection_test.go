package amqp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// A peer that does not read fills the buffers of both sides; then a write would hang for ever.
func TestAWriteThatHangsEndsTheConnection(t *testing.T) {
	quietly(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(c, 100*time.Millisecond)
	chunk := make([]byte, 128<<10)
	begun := time.Now()
	for err == nil && time.Since(begun) < 10*time.Second {
		_, err = w.Write(chunk)
	}
	if !isTimeout(err) {
		t.Errorf("got %v, want a timeout", err)
	}
	if _, err := w.Write(chunk); err == nil {
		t.Error("it takes more afterwards")
	}
	w.wait()
}

// Whoever is given a connection that has just ended tries it, and is given it again until the keeper has noticed: a storm.
func TestAConnectionThatHasEndedIsNotGiven(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	k := newKeeper("receive", Config{}, nil, slog.New(slog.DiscardHandler), newGuard())
	s := &session{wire: newWire(near, time.Minute), dead: make(chan struct{})}
	k.tell(Connected, s, nil)
	lost := errors.New("the broker is gone")
	s.kill(lost)
	s.wire.wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := k.await(ctx); got != nil || !errors.Is(err, context.Canceled) || !errors.Is(err, lost) {
		t.Errorf("got %v, %v; want none, and why", got, err)
	}
}

func TestCredentialsThatTheBrokerRefuses(t *testing.T) {
	b := amqptest.Shared(t)
	c, _ := toQueue(t, b)
	l, err := Open(c, func(context.Context, string) (string, error) { return "wrong", nil }, testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	until(t, "it is told why", func() bool {
		o := one(t, l, "m")
		return o.Verdict == message.Again && o.LinkDown && strings.Contains(o.Err.Error(), "refuses the credentials")
	})
	if s := l.Status(); strings.Contains(s.Reason.Error(), "wrong") {
		t.Errorf("the secret is in the error: %v", s.Reason)
	}
	if err := l.Check(t.Context()); err == nil {
		t.Error("the doctor finds nothing")
	}
}

// A broker that restarts cuts whoever is just signing in. It has refused nobody: the credentials are tried again at once.
func TestABrokerThatGoesAwayAtTheSignInHasRefusedNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 8)) // the protocol's header
			_, _ = c.Write(connectionStart())
			_, _ = c.Read(make([]byte, 1)) // of connection.start-ok
			_ = c.Close()
		}
	}()
	cfg := Config{Addresses: []string{"amqp://" + l.Addr().String()}, User: "plant", Password: "env:PASSWORD", WriteTimeout: time.Second}
	k := newKeeper("publish", cfg, func(context.Context, string) (string, error) { return "right", nil }, slog.New(slog.DiscardHandler), newGuard())
	for n := range 3 {
		if _, err := k.dial(t.Context()); err == nil || !strings.Contains(err.Error(), "it went away while we signed in") {
			t.Errorf("attempt %d: %v", n+1, err)
		}
	}
}

func TestWhatTheEndOfASignInMeans(t *testing.T) {
	late, cancel := context.WithCancel(t.Context())
	cancel()
	said := &amqp091.Error{Code: amqp091.AccessRefused, Reason: "ACCESS_REFUSED - Login was refused", Server: true}
	for name, tt := range map[string]struct {
		ctx  context.Context
		took time.Duration
		err  error
		want bool // the user is refused
	}{
		"it went in":                        {t.Context(), time.Second, nil, false},
		"cut at once":                       {t.Context(), 10 * time.Millisecond, amqp091.ErrCredentials, false},
		"closed as RabbitMQ does":           {t.Context(), 3 * time.Second, amqp091.ErrCredentials, true},
		"no answer in our time":             {late, 10 * time.Second, amqp091.ErrCredentials, false},
		"the broker says so":                {t.Context(), 10 * time.Millisecond, said, true},
		"the broker is stopped":             {t.Context(), 3 * time.Second, &amqp091.Error{Code: amqp091.ConnectionForced, Server: true}, false},
		"it offers no way that we know":     {t.Context(), 10 * time.Millisecond, amqp091.ErrSASL, false},
		"the virtual host is another's":     {t.Context(), 10 * time.Millisecond, amqp091.ErrVhost, false},
		"the line breaks before any answer": {t.Context(), 3 * time.Second, io.ErrUnexpectedEOF, false},
	} {
		if got := refusesUser(signedIn(tt.ctx, tt.took, tt.err)); got != tt.want {
			t.Errorf("%s: refused is %t, want %t", name, got, tt.want)
		}
	}
}

// connectionStart is the frame of AMQP 0-9-1 with which a broker greets (section 1.4.2.1): version 0-9, no properties, PLAIN, en_US.
func connectionStart() []byte {
	method := []byte{0, 10, 0, 10, 0, 9, 0, 0, 0, 0}
	for _, text := range []string{"PLAIN", "en_US"} {
		method = append(append(method, 0, 0, 0, byte(len(text))), text...)
	}
	return append(append([]byte{1, 0, 0, 0, 0, 0, byte(len(method))}, method...), 0xCE)
}

// The client's certificate is replaced while messages flow: the connection is made anew, and no message is unknown.
func TestCertificatesAreRenewedWithoutARestart(t *testing.T) {
	b := amqptest.Shared(t)
	quietly(t)
	ca := newAuthority(t)
	dir := t.TempDir()
	ca.write(t, dir, "client", 101)
	serial := secured(t, b, ca)
	c, _ := toQueue(t, b)
	c.Addresses = []string{"amqps://" + serial.address}
	c.TLS = TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")}
	c.Renew = 50 * time.Millisecond
	l := open(t, b, c)
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		unsure := 0
		for {
			select {
			case <-stop:
				done <- unsure
				return
			default:
				if o := one(t, l, "m"); o.Verdict != message.Delivered && o.Verdict != message.Again {
					unsure++
				}
			}
		}
	}()
	ca.write(t, dir, "client", 102)
	until(t, "the new certificate is shown", func() bool { return serial.last.Load() == 102 })
	connected(t, l)
	close(stop)
	if n := <-done; n > 0 {
		t.Errorf("%d messages became unknown", n)
	}
	if g := l.Status().Generation; g < 2 {
		t.Errorf("generation %d", g)
	}
	l.Close()
	serial.stop()
}

// authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for this machine.
func (a *authority) issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "holdfast"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (a *authority) write(t *testing.T, dir, name string, serial int64) {
	t.Helper()
	cert, key := a.issue(t, serial)
	for file, text := range map[string][]byte{name + ".pem": cert, name + ".key": key, "ca.pem": a.pem} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tlsDoor takes TLS with client certificates and passes on to the broker.
type tlsDoor struct {
	address string
	last    atomic.Int64 // serial of the last client's certificate
	stop    func()
}

func secured(t *testing.T, b *amqptest.Broker, ca *authority) *tlsDoor {
	t.Helper()
	cert, key := ca.issue(t, 2)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(b.Address)
	d := &tlsDoor{address: l.Addr().String(), stop: func() { _ = l.Close() }}
	t.Cleanup(d.stop)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.pass(c.(*tls.Conn), u.Host)
		}
	}()
	return d
}

func (d *tlsDoor) pass(c *tls.Conn, to string) {
	defer c.Close()
	if c.Handshake() != nil {
		return
	}
	d.last.Store(c.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		defer s.Close()
		_, _ = io.Copy(s, c)
	}()
	_, _ = io.Copy(c, s)
}

func TestTopologyIsDeclaredOrLookedAt(t *testing.T) {
	b := amqptest.Shared(t)
	main, other, dead, queue := b.Name(t), b.Name(t), b.Name(t), b.Name(t)
	c := config(b)
	c.Exchanges = []Exchange{{Name: other, Kind: "fanout"}, {Name: main, Alternate: other}, {Name: dead, Kind: "fanout"}}
	c.Queues = []Queue{
		{
			Name: queue, Bindings: []Binding{{main, "order.#"}}, DeliveryLimit: 5, DeadLetter: dead, AtLeastOnce: true, MaxLength: 1000, Reject: true,
		},
		{Name: other, Kind: "classic", Bindings: []Binding{{Exchange: other}}},
		{Name: dead, Bindings: []Binding{{Exchange: dead}}},
	}
	c.Publish = &Publish{Exchange: main}
	l := open(t, b, c)
	for _, target := range []string{"order.released", "something.else"} {
		d := delivery(t, target)
		d.Doc.Target = target
		if o := l.Deliver(t.Context(), []message.Delivery{d})[0]; o.Verdict != message.Delivered {
			t.Errorf("%s: got %v", target, o)
		}
	}
	if got := b.Drain(t, queue); len(got) != 1 || got[0].MessageId != "order.released" {
		t.Errorf("the queue has %d messages", len(got))
	}
	if got := b.Drain(t, other); len(got) != 1 || got[0].MessageId != "something.else" {
		t.Errorf("the alternate exchange was given %d messages", len(got))
	}

	no := false
	looked := c
	looked.Declare = &no
	open(t, b, looked)
	changed := c
	changed.Queues = []Queue{{Name: queue, DeliveryLimit: 6, DeadLetter: dead}}
	wrongly, err := Open(changed, password(b), testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer wrongly.Close()
	until(t, "it is told what differs", func() bool {
		reason := wrongly.Status().Reason
		return reason != nil && strings.Contains(reason.Error(), "declare queue \""+queue+"\"") && strings.Contains(reason.Error(), "made otherwise")
	})
	gone := looked
	gone.Queues = []Queue{{Name: "test.no-such-queue"}, {Name: "test.nor-this"}}
	gone.Exchanges = []Exchange{{Name: "test.no-such-exchange"}}
	l2 := open(t, b, Config{Addresses: c.Addresses, User: c.User, Password: c.Password, Publish: &Publish{}})
	l2.cfg = gone.withDefaults()
	err = l2.Check(t.Context())
	for _, want := range []string{"queue \"test.no-such-queue\"", "queue \"test.nor-this\"", "exchange \"test.no-such-exchange\""} {
		if err == nil || !strings.Contains(err.Error(), "look for "+want) {
			t.Errorf("Check does not name %s: %v", want, err)
		}
	}
	_ = b.Do(func(ch *amqp091.Channel) error { _, err := ch.QueueDelete(dead, false, false, false); return err })
}

// TestABrokersUserIsNotLockedByTries: both connections of a link try a wrong password twice together, and another one at once.
func TestABrokersUserIsNotLockedByTries(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Receive = &Receive{Queue: queue}
	var mu sync.Mutex
	secret, told := "wrong", 0
	l, err := Open(c, func(context.Context, string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		return secret, nil
	}, testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := l.Run(ctx, func(context.Context, []message.Incoming) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	defer work.Wait()
	defer cancel()
	l.WhenDenied(func(error) { told++ })
	tries := 0
	until(t, "it was tried for a while", func() bool { // each look is one at the reason, and the connections are made anew all the time
		o := one(t, l, "m")
		tries++
		return tries > 20 && o.LinkDown && strings.Contains(o.Err.Error(), "2 times in a row; so that no user is locked")
	})
	mu.Lock()
	secret = b.Password
	mu.Unlock()
	until(t, "another password is tried at once", func() bool { return one(t, l, "n").Verdict == message.Delivered })
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
