package rest

import (
	"cmp"
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
	"sync"
	"time"
)

// newTransport is the client side of HTTP, without redirects, cookies, or a proxy from the environment. The link calls its
// RoundTrip itself: http.Client would add those.
func newTransport(cfg Config) (*http.Transport, error) {
	secure, err := newTLS(cfg.TLS)
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.HTTP2)
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &wire{Conn: c}, nil
		},
		TLSClientConfig: secure, TLSHandshakeTimeout: cfg.ConnectTimeout, Protocols: &protocols,
		MaxIdleConns: cfg.IdleConnections, MaxIdleConnsPerHost: cfg.IdleConnections, IdleConnTimeout: cfg.IdleTimeout,
		MaxResponseHeaderBytes: 256 << 10,
	}
	if cfg.Proxy != "" {
		proxy, err := url.Parse(cfg.Proxy)
		if err != nil {
			return nil, wrong("proxy", "it is no address", "for example http://proxy.example:3128")
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}

// newTLS trusts the given authority, or the system's, and shows the client certificate. The certificate is read anew for each
// connection, so that a renewed one needs no restart.
func newTLS(c TLS) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, wrong("tls.ca", fmt.Sprintf("it cannot be read: %v", err), "name a PEM file of the authority that signed the ERP's certificate")
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, wrong("tls.ca", "it has no certificate in PEM", "name a PEM file of the authority that signed the ERP's certificate")
		}
	}
	if c.Cert == "" {
		return out, nil
	}
	if _, err := tls.LoadX509KeyPair(c.Cert, c.Key); err != nil {
		return nil, wrong("tls.cert", fmt.Sprintf("certificate and key do not load: %v", err), "name PEM files that belong together")
	}
	out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		return &pair, err
	}
	return out, nil
}

// errSealed is what a write gets on a connection that was given up.
var errSealed = errors.New("the connection was given up before this was written")

// wire is a TCP connection that counts its writes, refuses those of a request whose time is over, and can be sealed against any.
type wire struct {
	net.Conn

	mu     sync.Mutex // guards what follows
	writes int64
	sealed bool
	over   func() error // of the request that has the connection: why it may not be written any more; nil before the first
}

// Write counts before it writes: a write that is under way is one that may have arrived. What net/http has looked at before says
// nothing of now: the process may have been stopped in between, and another node may have the message in hand meanwhile.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

func (w *wire) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed {
		return errSealed
	}
	if w.over != nil {
		if err := w.over(); err != nil {
			return err
		}
	}
	w.writes++
	return nil
}

// carry gives the connection to a request, until the next one gets it.
func (w *wire) carry(over func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = over
}

// over tells why a request may not be written any more, by the clock and by the context itself: a timer that should have ended it may
// not have run yet.
func over(ctx context.Context) func() error {
	return func() error {
		if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
			return context.DeadlineExceeded
		}
		return ctx.Err()
	}
}

func (w *wire) count() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// seal lets nothing more be written, and tells whether nothing was since the count was n.
func (w *wire) seal(n int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed = true
	return w.writes == n
}

// attempt watches one call of RoundTrip, and holds it to one request on the wire. Three things keep net/http from sending a write
// again by itself: the body has no GetBody; the name of an Idempotency-Key is spelled in lower case, which net/http does not
// recognise; and, should a later release of Go find another reason, a second connection is sealed before it is written to,
// unless the first one was sealed without a byte of this request.
type attempt struct {
	over func() error // why the request may not be written any more

	mu    sync.Mutex // guards what follows
	used  []mark
	blind bool // a connection was used whose writes cannot be told apart: HTTP/2
}

type mark struct {
	w *wire
	n int64 // its count when this request got it
}

// got is called by net/http when the request gets a connection, before anything of it is written.
func (a *attempt) got(info httptrace.GotConnInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := wireOf(info.Conn)
	if w == nil {
		a.blind = true
		return
	}
	w.carry(a.over)
	former := a.untouched()
	a.used = append(a.used, mark{w, w.count()})
	if !former {
		w.seal(0)
	}
}

// wireOf finds our connection below TLS; nil if several requests share it at a time.
func wireOf(c net.Conn) *wire {
	if t, ok := c.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return nil
		}
		c = t.NetConn()
	}
	w, _ := c.(*wire)
	return w
}

// untouched seals the connections that the request was given and tells whether nothing of it was or will be written.
func (a *attempt) untouched() bool {
	none := !a.blind
	for _, m := range a.used {
		if !m.w.seal(m.n) {
			none = false
		}
	}
	return none
}

// neverSent tells whether the ERP certainly has got nothing of the request, and never will.
func (a *attempt) neverSent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.untouched()
}

// answer is what the ERP answered.
type answer struct {
	status int
	header http.Header
	body   []byte
	cut    error // the body did not come in full, or was longer than allowed
	at     time.Time
}

// errTooLong is the cut of an answer above Config.MaxBody.
var errTooLong = errors.New("the answer is longer than max_body allows")

// exchange sends the request once and reads the answer. If there is none, sent tells whether the ERP may have got the request.
func (l *Link) exchange(req *http.Request) (a answer, sent bool, err error) {
	ctx, cancel := context.WithTimeout(req.Context(), l.cfg.Timeout)
	defer cancel()
	whole, callers := over(ctx), over(req.Context()) // the caller's own context may know by a clock what ours has not heard yet
	try := attempt{over: func() error { return cmp.Or(callers(), whole()) }}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: try.got})
	resp, err := l.rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return answer{}, !try.neverSent(), bare(err)
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header, at: l.now()}
	a.body, a.cut = io.ReadAll(io.LimitReader(resp.Body, l.cfg.MaxBody+1))
	if int64(len(a.body)) > l.cfg.MaxBody {
		a.body, a.cut = a.body[:l.cfg.MaxBody], errTooLong
	}
	return a, true, nil
}

// bare takes the address off an error: its query may name what is nobody's business in a log.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
