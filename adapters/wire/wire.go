// Package wire sends an HTTP request at most once and knows afterwards whether the far side can have got any of it.
//
// # Guarantees
//
//   - One Exchange puts a write on the wire at most once, however net/http would like to help: the body has no GetBody, and a second
//     connection is sealed before it is written to unless the first was sealed without a byte of this request. GET and HEAD, which
//     change nothing, may be repeated on a new connection where an old one had died.
//   - "Not sent" is said only where nothing was written and nothing can be: the connection is sealed before it is looked at.
//   - Nothing of a request is written after its context has ended, also where net/http has looked at it before: the process may have been
//     stopped in between, and another node may have the message in hand meanwhile.
//   - Redirects are never followed, cookies are not kept, no proxy is taken from the environment.
//   - Answers are read up to a limit, after gzip as before it, and say whether they are whole.
//
// On HTTP/1.1 one connection carries one request at a time, and only therefore can the second and third be said. Where HTTP/2 is allowed
// and the far side speaks it, what is not answered counts as sent.
package wire

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/internal/message"
)

// Statement is the header in which a request that carries a mapped document says what was signed of the event behind it
// (message.Message.Statement). Who does not know it passes it over.
const Statement = "Holdfast-Statement"

// Config tunes a Client; zero fields mean no limit, save where said.
type Config struct {
	Timeout        time.Duration // of a whole exchange
	ConnectTimeout time.Duration // of the TCP connection, and again of the TLS handshake
	IdleTimeout    time.Duration // how long an unused connection is kept
	Idle           int           // how many are kept
	MaxBody        int64         // bytes of an answer that are read, unpacked; required
	HTTP2          bool          // may be spoken
	Proxy          *url.URL
	TLS            *tls.Config
}

// Client is safe for concurrent use, once it was told by ProveBy what it proves.
type Client struct {
	cfg    Config
	rt     *http.Transport
	signer Signer
	judge  message.HopVerifier
}

// New returns a Client. It opens nothing.
func New(cfg Config) *Client {
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.HTTP2)
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &conn{Conn: c}, nil
		},
		TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: cfg.ConnectTimeout, Protocols: &protocols, DisableCompression: true,
		MaxIdleConns: cfg.Idle, MaxIdleConnsPerHost: cfg.Idle, IdleConnTimeout: cfg.IdleTimeout, MaxResponseHeaderBytes: 256 << 10,
	}
	if cfg.Proxy != nil {
		t.Proxy = http.ProxyURL(cfg.Proxy)
	}
	return &Client{cfg: cfg, rt: t}
}

// Close gives up the idle connections. Exchanges in hand are not disturbed.
func (c *Client) Close() { c.rt.CloseIdleConnections() }

// Answer is what the far side answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Cut    error // the body did not come in full, or was longer than allowed (ErrTooLong)
	At     time.Time
	Proof  message.Proof // that the far side has given this answer to this request; of a Client that asks for none it proves nothing
}

// The reasons why an Answer may be Cut that say nothing of the connection, see Broke.
var (
	ErrTooLong = errors.New("the answer is longer than max_body allows")
	ErrPacked  = errors.New("the answer is not packed as it says")
)

// Broke tells whether an answer was cut because the connection broke; else it comes from a far side that is well.
func Broke(cut error) bool { return !errors.Is(cut, ErrTooLong) && !errors.Is(cut, ErrPacked) }

// Exchange sends the request once and reads the answer. Where there is none, sent tells whether the far side may have got any of it.
// covers are headers that decide what the request does: whoever alters one spoils its proof.
func (c *Client) Exchange(req *http.Request, covers ...string) (a Answer, sent bool, err error) {
	callers := req.Context()
	ctx, cancel := context.WithTimeout(callers, c.cfg.Timeout)
	defer cancel()
	try := attempt{
		over:   func() error { return cmp.Or(Over(callers), Over(ctx)) }, // the caller's may know by a clock what ours has not heard yet
		repeat: req.Method == http.MethodGet || req.Method == http.MethodHead,
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: try.got})
	req.GetBody = nil
	if c.judge == nil {
		req.Header.Set("Accept-Encoding", "gzip") // else the digest of a packed body would be that of what was packed (RFC 9530 section 2)
	}
	asked, err := c.prove(ctx, req, covers)
	if err != nil {
		return Answer{}, false, err
	}
	resp, err := c.rt.RoundTrip(req.WithContext(traced))
	if err != nil {
		return Answer{}, !try.neverSent(), bare(err)
	}
	defer resp.Body.Close()
	a = Answer{Status: resp.StatusCode, Header: resp.Header, At: time.Now()}
	a.Body, a.Cut = c.read(resp)
	a.Proof = c.proofOf(ctx, a, asked)
	return a, true, nil
}

// read reads a body, unpacked, up to the limit.
func (c *Client) read(resp *http.Response) ([]byte, error) {
	in := io.Reader(resp.Body)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") && resp.Request.Method != http.MethodHead {
		z, err := gzip.NewReader(resp.Body)
		switch {
		case errors.Is(err, io.EOF) && resp.ContentLength == 0:
			return nil, nil
		case errors.Is(err, gzip.ErrHeader):
			return nil, ErrPacked
		case err != nil:
			return nil, err
		}
		in = z
	}
	body, err := io.ReadAll(io.LimitReader(in, c.cfg.MaxBody+1))
	if int64(len(body)) > c.cfg.MaxBody {
		return body[:c.cfg.MaxBody], ErrTooLong
	}
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		err = ErrPacked
	}
	return body, err
}

// bare takes the address off an error: its query may name what is nobody's business in a log.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// SettingError says which setting of TLS does not do, and why.
type SettingError struct {
	Setting string // tls.ca or tls.cert
	Why     string
}

// Error is both.
func (e *SettingError) Error() string { return e.Setting + ": " + e.Why }

// TLS trusts the authority in the PEM file ca, or the system's, and shows the client certificate. The certificate is read anew for
// each connection, so that a renewed one needs no restart. The error is a *SettingError.
func TLS(ca, cert, key, serverName string) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, &SettingError{"tls.ca", fmt.Sprintf("it cannot be read: %v", err)}
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &SettingError{"tls.ca", "it has no certificate in PEM"}
		}
	}
	if cert == "" {
		return out, nil
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return nil, &SettingError{"tls.cert", fmt.Sprintf("certificate and key do not load: %v", err)}
	}
	out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}
	return out, nil
}

// RetryAfter reads Retry-After in both its forms (RFC 9110 section 10.2.3), up to a limit. A date is taken relative to the answer's
// own Date, so that the clocks need not agree.
func RetryAfter(h http.Header, now time.Time, most time.Duration) (wait time.Duration, given bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 64); err == nil {
		return min(time.Duration(min(n, uint64(most/time.Second)+1))*time.Second, most), true //nolint:gosec // the bound is no negative number
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), most), true
}

// errSealed is what a write gets on a connection that was given up.
var errSealed = errors.New("the connection was given up before this was written")

// conn is a TCP connection that counts its writes, refuses those of a request whose time is over, and can be sealed against any.
type conn struct {
	net.Conn

	mu     sync.Mutex // guards what follows
	writes int64
	sealed bool
	over   func() error // of the request that has the connection: why it may not be written any more; nil before the first
}

// Write counts before it writes: a write that is under way is one that may have arrived.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *conn) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		return errSealed
	}
	if c.over != nil {
		if err := c.over(); err != nil {
			return err
		}
	}
	c.writes++
	return nil
}

// carry gives the connection to a request, until the next one gets it.
func (c *conn) carry(over func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = over
}

// Over tells why nothing may be written any more for the sake of ctx, nil if something may: by the clock and by the context itself, since
// a timer that should have ended it may not have run yet.
func Over(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

func (c *conn) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// seal lets nothing more be written, and tells whether nothing was since the count was n.
func (c *conn) seal(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.writes == n
}

// attempt watches one exchange, and holds a write to one request on the wire. Three things keep net/http from sending it again by
// itself: the body has no GetBody; the name of an Idempotency-Key is spelled in lower case by who sends one, which net/http does not
// recognise; and, should a later release of Go find another reason, a second connection is sealed before it is written to, unless the
// first one was sealed without a byte of this request.
type attempt struct {
	over   func() error // why the request may not be written any more
	repeat bool         // it changes nothing, and may be repeated as net/http likes

	mu    sync.Mutex // guards what follows
	used  []mark
	blind bool // a connection was used whose writes cannot be told apart: HTTP/2
}

type mark struct {
	c *conn
	n int64 // its count when this request got it
}

// got is called by net/http when the request gets a connection, before anything of it is written.
func (a *attempt) got(info httptrace.GotConnInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := connOf(info.Conn)
	if c == nil {
		a.blind = true
		return
	}
	c.carry(a.over)
	alone := a.repeat || a.untouched()
	a.used = append(a.used, mark{c, c.count()})
	if !alone {
		c.seal(0)
	}
}

// connOf finds our connection below TLS; nil if several requests share it at a time.
func connOf(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return nil
		}
		c = t.NetConn()
	}
	w, _ := c.(*conn)
	return w
}

// untouched seals the connections that the request was given and tells whether nothing of it was or will be written.
func (a *attempt) untouched() bool {
	none := !a.blind
	for _, m := range a.used {
		if !m.c.seal(m.n) {
			none = false
		}
	}
	return none
}

// neverSent tells whether the far side certainly has got nothing of the request, and never will.
func (a *attempt) neverSent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.untouched()
}
