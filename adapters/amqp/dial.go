package amqp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/problem"
)

// identity is who we are and whom we trust, as the references and files say it now.
type identity struct {
	password string
	tls      *tls.Config
	mark     [32]byte // changes with any of it
}

// identify reads the references and the certificates.
func (c Config) identify(ctx context.Context, resolve Resolve) (identity, error) {
	var id identity
	h := sha256.New()
	if c.Password != "" {
		secret, err := resolve(ctx, c.Password)
		if err != nil {
			return id, fmt.Errorf("sign in to RabbitMQ: %w", err)
		}
		id.password = secret
		fmt.Fprintf(h, "%d %s", len(secret), secret)
	}
	id.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLS.ServerName}
	read := func(file string) ([]byte, error) {
		b, err := os.ReadFile(file)
		fmt.Fprintf(h, "%d %s", len(b), b)
		if err != nil {
			return nil, wrong("tls", fmt.Sprintf("a certificate or key cannot be read: %v", err), "let the user that runs holdfast read it")
		}
		return b, nil
	}
	if c.TLS.CA != "" {
		pem, err := read(c.TLS.CA)
		if err != nil {
			return id, err
		}
		id.tls.RootCAs = x509.NewCertPool()
		if !id.tls.RootCAs.AppendCertsFromPEM(pem) {
			return id, wrong("tls.ca", c.TLS.CA+" has no certificate in PEM", "give the certificate of the authority that signed the broker's")
		}
	}
	if c.TLS.Cert != "" {
		cert, err := read(c.TLS.Cert)
		if err != nil {
			return id, err
		}
		key, err := read(c.TLS.Key)
		if err != nil {
			return id, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return id, wrong("tls.cert", "certificate and key do not fit: "+err.Error(), "give a key and the certificate made for it, both in PEM")
		}
		id.tls.Certificates = []tls.Certificate{pair}
	}
	h.Sum(id.mark[:0])
	return id, nil
}

// renewal looks at the credentials every Config.Renew. What it gives is closed when they have changed since the session was made. It asks beside
// the watch of the connection: a vault that does not answer must not keep the end of a connection from being seen.
func (k *keeper) renewal(ctx context.Context, s *session) <-chan struct{} {
	changed := make(chan struct{})
	k.asking.Go(func() {
		renew := time.NewTicker(k.cfg.Renew)
		defer renew.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-renew.C:
				if k.renewed(ctx, s) {
					close(changed)
					return
				}
			}
		}
	})
	return changed
}

// renewed tells whether the credentials have changed since the session was made. What cannot be read now has not changed.
func (k *keeper) renewed(ctx context.Context, s *session) bool {
	id, err := k.cfg.identify(ctx, k.resolve)
	if err != nil {
		if ctx.Err() == nil {
			k.log.Warn("the credentials cannot be read again; the connection stays", "err", err)
		}
		return false
	}
	return id.mark != s.mark
}

// dial makes a connection to the next address, and signs in. A password that was refused is left alone for a while.
func (k *keeper) dial(ctx context.Context) (*session, error) {
	var id identity
	left, err := k.guard.Enter(ctx, func(ctx context.Context) (password string, err error) {
		id, err = k.cfg.identify(ctx, k.resolve)
		return id.password, err
	})
	if err != nil {
		return nil, err
	}
	address := k.cfg.Addresses[k.address%len(k.cfg.Addresses)]
	k.address++
	s, err := k.open(ctx, address, id)
	switch {
	case err == nil:
		left(http.StatusOK)
	case k.cfg.User != "" && refusesUser(err):
		k.guard.Refuse(id.password, "the broker refuses the credentials: "+words(err))
		fallthrough
	default:
		left(0)
		return nil, unreachable(address, err)
	}
	k.address-- // this one is good: it is tried first the next time
	k.generation++
	s.generation, s.mark = k.generation, id.mark
	return s, nil
}

// silentClose is nearly how long RabbitMQ waits before it ends the connection of a user that it refuses, without a word, since the library does not
// say that it would take one (rabbit_reader's SILENT_CLOSE_DELAY is 3 s).
const silentClose = 2500 * time.Millisecond

// errWentAway is a connection that was cut while we signed in. The library calls that a refusal too (ErrCredentials), but a broker that restarts
// and a line that breaks cut many, and have refused nobody.
var errWentAway = errors.New("it went away while we signed in")

// signedIn says what the end of a sign-in that took so long means.
func signedIn(ctx context.Context, took time.Duration, err error) error {
	if errors.Is(err, amqp091.ErrCredentials) && (took < silentClose || ctx.Err() != nil) {
		return errWentAway
	}
	return err
}

// refusesUser tells whether the broker does not take who we say we are.
func refusesUser(err error) bool {
	lib, ok := errors.AsType[*amqp091.Error](err)
	return ok && lib != nil && (lib.Server && lib.Code == amqp091.AccessRefused || errors.Is(err, amqp091.ErrCredentials))
}

func (k *keeper) open(ctx context.Context, address string, id identity) (*session, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"amqp": "5672", "amqps": "5671"}[u.Scheme]
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if by, ok := ctx.Deadline(); ok {
		err = raw.SetDeadline(by) // taken away by the library when it has signed in
	}
	if err == nil && u.Scheme == "amqps" {
		conf := id.tls.Clone()
		if conf.ServerName == "" {
			conf.ServerName = u.Hostname()
		}
		secured := tls.Client(raw, conf)
		err = secured.HandshakeContext(ctx)
		raw = secured
	}
	if err != nil {
		_ = raw.Close() // the first error is the one to tell
		return nil, err
	}
	w := newWire(raw, k.cfg.WriteTimeout)
	began := time.Now()
	conn, err := amqp091.Open(w, k.protocol(u, id))
	if err = signedIn(ctx, time.Since(began), err); err != nil {
		_ = w.Close() // never fails
		w.wait()
		return nil, err
	}
	return &session{
		conn: conn, drops: dropsByItself(conn.Properties["version"]), wire: w, log: k.log, dead: make(chan struct{}),
		closed: conn.NotifyClose(make(chan *amqp091.Error, 1)), blockings: conn.NotifyBlocked(make(chan amqp091.Blocking, 16)),
	}, nil
}

// protocol is what the library is told.
func (k *keeper) protocol(u *url.URL, id identity) amqp091.Config {
	c := amqp091.Config{
		Vhost: strings.TrimPrefix(u.Path, "/"), Heartbeat: k.cfg.Heartbeat, Locale: "en_US", FrameSize: 128 << 10,
		Properties: amqp091.Table{
			"product": "Holdfast", "connection_name": "holdfast " + k.name + " " + strconv.Itoa(os.Getpid()),
		},
		SASL: []amqp091.Authentication{&amqp091.ExternalAuth{}},
	}
	if c.Vhost == "" {
		c.Vhost = "/"
	}
	if k.cfg.User != "" {
		c.SASL = []amqp091.Authentication{&amqp091.PlainAuth{Username: k.cfg.User, Password: id.password}}
	}
	return c
}

// unreachable is an attempt to connect that came to nothing.
func unreachable(address string, err error) error {
	p := &problem.Error{
		Kind: problem.Unavailable, What: "connect to " + address, Why: words(err), Hint: "see that the broker runs and can be reached from here",
	}
	var lib *amqp091.Error
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		p.Hint = "see that tls.ca is the authority of the broker's certificate, and tls.server_name the name in it"
	case errors.Is(err, amqp091.ErrSASL):
		p.Hint = "the broker does not offer this way to sign in; for a client certificate, enable rabbitmq_auth_mechanism_ssl"
	case refusesUser(err):
		p.Why, p.Hint = "the broker refuses the credentials: "+words(err), "see the user and where its password comes from; another one is tried at once"
	case errors.As(err, &lib) && lib.Code == amqp091.NotAllowed:
		p.Hint = "see that the virtual host exists and the user may use it"
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		p.Why = "it did not answer in time"
	}
	return p
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// soon is a deadline for what should take no time.
func soon() time.Time { return time.Now().Add(time.Second) }
