package rest

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// Config is one link of kind rest. Zero fields mean the default. It holds no secret, only references to them, and may be printed.
type Config struct {
	// BaseURL is where the paths of the contract begin. It is https, except for loopback addresses or with AllowPlaintext.
	BaseURL string `yaml:"base_url"`
	// Spec is the file of the OpenAPI document, or "builtin:erp".
	Spec string `yaml:"spec"`
	// AllowPlaintext permits http:// to another host. Whoever is on the way can then read and change every message.
	AllowPlaintext bool `yaml:"allow_plaintext,omitempty"`
	// Timeout is for a whole call, from the connection to the last byte of the answer; 30 s.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// ConnectTimeout is for the TCP connection, and again for the TLS handshake; 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout,omitempty"`
	// AskAfter is how long the ERP may still be working on a request whose answer was lost. Before it has passed since the
	// attempt, "not found" is not believed. It must be longer than the ERP's own limit for one request, and is no less than Timeout;
	// 2 × Timeout.
	AskAfter time.Duration `yaml:"ask_after,omitempty"`
	// MaxRetryAfter bounds how long an ERP can put us off by Retry-After; 1 h.
	MaxRetryAfter time.Duration `yaml:"max_retry_after,omitempty"`
	// IdleTimeout is how long an unused connection is kept, better less than the ERP keeps it; 30 s.
	IdleTimeout time.Duration `yaml:"idle_timeout,omitempty"`
	// IdleConnections is how many unused connections are kept; 16.
	IdleConnections int `yaml:"idle_connections,omitempty"`
	// Parallel bounds how many deliveries of one batch are under way at once; 16.
	Parallel int `yaml:"parallel,omitempty"`
	// MaxBody bounds the answers that are read, in bytes; 8 MiB. A longer one counts as cut off.
	MaxBody int64 `yaml:"max_body,omitempty"`
	// MaxReceipt bounds what a receipt keeps of an answer, in bytes; 16 KiB.
	MaxReceipt int `yaml:"max_receipt,omitempty"`
	// HTTP2 allows HTTP/2. Fewer connections, but a request on a connection that dies is then always unknown.
	HTTP2 bool `yaml:"http2,omitempty"`
	// Proxy is the URL of an HTTP proxy; none by default, whatever the environment says.
	Proxy string `yaml:"proxy,omitempty"`
	// Headers go with every call.
	Headers map[string]string `yaml:"headers,omitempty"`
	// IdempotencyHeader carries the message's ID to every operation that declares it; "Idempotency-Key".
	IdempotencyHeader string    `yaml:"idempotency_header,omitempty"`
	Auth              Auth      `yaml:"auth,omitempty"`
	TLS               TLS       `yaml:"tls,omitempty"`
	Envelope          Envelope  `yaml:"envelope,omitempty"`
	Default           Operation `yaml:"default,omitempty"` // for every write that Operations does not list, and for what those leave open
	// Operations says how to treat single operations, by operationId.
	Operations map[string]Operation `yaml:"operations,omitempty"`
	Polls      []PollConfig         `yaml:"polls,omitempty"`
	// Reads says how what the ERP has is read back, to be held against what the plant has.
	Reads Reads `yaml:"reads,omitempty"`
	// Probe is a harmless operation that shows whether the connection and the credentials are good.
	Probe *Probe `yaml:"probe,omitempty"`
}

// Auth says who we are to the ERP; one of Basic, Bearer and Header at most.
type Auth struct {
	Basic  *Basic `yaml:"basic,omitempty"`
	Bearer string `yaml:"bearer,omitempty"` // reference to the token (RFC 6750)
	Header *Key   `yaml:"header,omitempty"`
}

// Basic is a user with a password (RFC 7617).
type Basic struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"` // reference
}

// Key is an API key in a header.
type Key struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"` // reference
}

// TLS says whom we trust and which certificate we show. All are files in PEM.
type TLS struct {
	CA         string `yaml:"ca,omitempty"`   // instead of the system's
	Cert       string `yaml:"cert,omitempty"` // the client's, with its chain
	Key        string `yaml:"key,omitempty"`
	ServerName string `yaml:"server_name,omitempty"` // where the certificate names another host than base_url
}

// Envelope names what carries the message itself: a top-level property of the request body or a query or header parameter. Each
// is filled in for the operations that have it, unless the mapping has done so.
type Envelope struct {
	MessageID  string `yaml:"message_id,omitempty"`
	Digest     string `yaml:"digest,omitempty"`
	Lane       string `yaml:"lane,omitempty"`
	LaneNumber string `yaml:"lane_number,omitempty"`
}

// Operation says how one write is treated.
type Operation struct {
	// Ask finds what became of a message whose answer was lost.
	Ask *Ask `yaml:"ask,omitempty"`
	// Idempotent says that the contract promises one effect however often the same message comes. It is then sent again.
	Idempotent bool `yaml:"idempotent,omitempty"`
	// Receipt is where the answer has the document's number: a JSON pointer, or "location" for the end of the Location header.
	Receipt string `yaml:"receipt,omitempty"`
	// Kind is the ERP's word for the document: a JSON pointer, or the word.
	Kind string `yaml:"kind,omitempty"`
	// Params fill in what a mapping leaves open.
	Params map[string]string `yaml:"params,omitempty"`
	// Answers says what a status means where the ERP differs from the rules: delivered, again, refused, unknown or down.
	Answers map[int]Meaning `yaml:"answers,omitempty"`
}

// Meaning is what a status means.
type Meaning string

// The meanings. Down is Again for a reason that lies with the link and not with the message.
const (
	MeansDelivered Meaning = "delivered"
	MeansAgain     Meaning = "again"
	MeansRefused   Meaning = "refused"
	MeansUnknown   Meaning = "unknown"
	MeansDown      Meaning = "down"
)

// Ask is a read operation that finds a document by the ID of the message that brought it about.
type Ask struct {
	Operation string            `yaml:"operation"`
	Param     string            `yaml:"param"`            // takes the message's ID
	Params    map[string]string `yaml:"params,omitempty"` // the others
	Items     string            `yaml:"items,omitempty"`  // JSON pointer to the list of documents; empty where the answer is the document
	// Match is the JSON pointer, in a document, to the message's ID. It proves that the ERP did select by it; an ERP that
	// ignores a filter would otherwise seem to have every message.
	Match  string `yaml:"match,omitempty"`
	Number string `yaml:"number"`         // JSON pointer, in a document, to its number
	Kind   string `yaml:"kind,omitempty"` // the same to the ERP's word for it
}

// Probe is a call that changes nothing.
type Probe struct {
	Operation string            `yaml:"operation"`
	Params    map[string]string `yaml:"params,omitempty"`
}

// wrong is a mistake in the configuration.
func wrong(key, why, hint string) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "configuration of a rest link", Why: key + ": " + why, Hint: hint,
		Fields: []problem.Field{{Pointer: key, Why: why}},
	}
}

const defaultTimeout = 30 * time.Second

// Patience is how long after the last attempt, or after the first question where nobody knows of one, the ERP's "not there" is not believed yet: AskAfter, or its default.
func (c Config) Patience() time.Duration { return c.withDefaults().AskAfter }

// withDefaults fills in the zero fields.
func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 10*time.Second)
	c.AskAfter = cmp.Or(c.AskAfter, 2*c.Timeout)
	c.MaxRetryAfter = cmp.Or(c.MaxRetryAfter, time.Hour)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	c.IdleConnections = cmp.Or(c.IdleConnections, 16)
	c.Parallel = cmp.Or(c.Parallel, 16)
	c.MaxBody = cmp.Or(c.MaxBody, 8<<20)
	c.MaxReceipt = cmp.Or(c.MaxReceipt, 16<<10)
	c.IdempotencyHeader = cmp.Or(c.IdempotencyHeader, "Idempotency-Key")
	return c
}

// check tells what is wrong with the configuration by itself, and gives the base URL.
func (c Config) check() (*url.URL, error) {
	for key, n := range map[string]int64{
		"timeout": int64(c.Timeout), "connect_timeout": int64(c.ConnectTimeout), "ask_after": int64(c.AskAfter),
		"max_retry_after": int64(c.MaxRetryAfter), "idle_timeout": int64(c.IdleTimeout), "idle_connections": int64(c.IdleConnections),
		"parallel": int64(c.Parallel), "max_body": c.MaxBody, "max_receipt": int64(c.MaxReceipt),
	} {
		if n < 0 {
			return nil, wrong(key, "it is negative", "leave it out for the default")
		}
	}
	if most := cmp.Or(c.Timeout, defaultTimeout); c.AskAfter != 0 && c.AskAfter < most {
		return nil, wrong("ask_after", fmt.Sprintf("%s is less than the timeout of %s", c.AskAfter, most),
			"give at least the timeout, better twice it: the ERP may work on a request as long as that, and \"not found\" is believed after it")
	}
	for name := range c.Headers {
		if slices.Contains([]string{"Authorization", "Cookie", "Host", "Content-Length", "Content-Type", "Traceparent"}, http.CanonicalHeaderKey(name)) {
			return nil, wrong("headers."+name, "this header is not free", "credentials belong under auth")
		}
	}
	if err := c.Auth.check(); err != nil {
		return nil, err
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return nil, wrong("tls", "cert and key go together", "give both or neither")
	}
	return c.checkURL()
}

// checkURL reads the base URL; secrets and plaintext to other hosts are refused.
func (c Config) checkURL() (*url.URL, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, wrong("base_url", "it is no http or https address", "for example https://erp.example/api")
	case u.User != nil:
		return nil, wrong("base_url", "it has credentials in it", "use auth.basic with a reference for the password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, wrong("base_url", "it has a query or a fragment", "give parameters per operation")
	case u.Scheme == "http" && !c.AllowPlaintext && !loopback(u.Hostname()):
		return nil, wrong("base_url", "it is plain http to another host", "use https, or set allow_plaintext: true where the network itself is trusted")
	}
	if p, err := url.Parse(c.Proxy); err != nil || p.User != nil {
		return nil, wrong("proxy", "it is no address without credentials", "for example http://proxy.example:3128")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// check refuses two ways at once, and secrets that are written out.
func (a Auth) check() error {
	ways := 0
	refs := map[string]string{}
	if a.Basic != nil {
		ways++
		refs["auth.basic.password"] = a.Basic.Password
	}
	if a.Bearer != "" {
		ways++
		refs["auth.bearer"] = a.Bearer
	}
	if a.Header != nil {
		ways++
		refs["auth.header.value"] = a.Header.Value
		if !validHeader(a.Header.Name, "") {
			return wrong("auth.header.name", "it is no header's name", "for example X-API-Key")
		}
	}
	if ways > 1 {
		return wrong("auth", "it names more than one way", "choose basic, bearer or header")
	}
	for key, ref := range refs {
		if !strings.HasPrefix(ref, "env:") && !strings.HasPrefix(ref, "file:") && !strings.HasPrefix(ref, "vault:") {
			return wrong(key, "it is not a reference to a secret", "write env:NAME, file:PATH or vault:PATH, never the secret itself")
		}
	}
	return nil
}

// String is a line that may be logged.
func (c Config) String() string { return fmt.Sprintf("rest link to %s by %s", c.BaseURL, c.Spec) }
