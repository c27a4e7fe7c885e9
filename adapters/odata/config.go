package odata

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

// Config is one link of kind odata. Zero fields mean the default. It holds no secret, only references to them, and may be printed.
type Config struct {
	// BaseURL is the system's address, to which each service adds its path. It is https, except for loopback addresses or with
	// AllowPlaintext.
	BaseURL string `yaml:"base_url"`
	// Services are those that mappings may name, by the name that they use.
	Services map[string]Service `yaml:"services"`
	// Writes says how single targets are treated: SERVICE/SET, SERVICE/SET/change or SERVICE/OPERATION.
	Writes map[string]Write `yaml:"writes,omitempty"`
	// Client and Language are SAP's: sap-client chooses the tenant, sap-language the language of error texts. "EN" by default where a
	// client is given: who reads codes must not depend on a user's settings.
	Client   string `yaml:"sap_client,omitempty"`
	Language string `yaml:"sap_language,omitempty"`
	// Hosts are other names of the system that its answers may name in links. Whatever they say, calls go to BaseURL.
	Hosts []string `yaml:"hosts,omitempty"`
	// Codes says what an error code means where the ERP differs from the rules: again, refused, unknown or down. A lock is "again".
	Codes map[string]Meaning `yaml:"codes,omitempty"`
	// Locks are parts of an error text by which an object that somebody works on is known where no code tells it.
	Locks []string `yaml:"locks,omitempty"`
	// LockWait is how long to wait before a locked object is tried again; 5 s.
	LockWait time.Duration `yaml:"lock_wait,omitempty"`
	// AllowPlaintext permits http:// to another host. Whoever is on the way can then read and change every message.
	AllowPlaintext bool `yaml:"allow_plaintext,omitempty"`
	// Timeout is for a whole call; 30 s.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// ConnectTimeout is for the TCP connection, and again for the TLS handshake; 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout,omitempty"`
	// AskAfter is how long the ERP may still be working on a request whose answer was lost. Before it has passed since the attempt,
	// "not found" is not believed. It is no less than Timeout and WorkLimit; 2 × Timeout, or half as long again as WorkLimit if that is more.
	AskAfter time.Duration `yaml:"ask_after,omitempty"`
	// WorkLimit is how long the ERP lets one step of a request work, whether or not anybody still waits for its answer. SAPWorkLimit where the
	// ERP is SAP; else it is not known.
	WorkLimit time.Duration `yaml:"work_limit,omitempty"`
	// SAP says that the ERP is an SAP system, as a Client does.
	SAP bool `yaml:"-"`
	// MaxRetryAfter bounds how long an ERP can put us off by Retry-After; 1 h.
	MaxRetryAfter time.Duration `yaml:"max_retry_after,omitempty"`
	// MetadataAge is how long a $metadata is used before the service is asked whether it has changed; 1 h.
	MetadataAge time.Duration `yaml:"metadata_age,omitempty"`
	// IdleTimeout is how long an unused connection is kept, better less than the ERP keeps it; 30 s.
	IdleTimeout time.Duration `yaml:"idle_timeout,omitempty"`
	// Parallel bounds how many requests are under way at once; 16.
	Parallel int `yaml:"parallel,omitempty"`
	// Batch is how many writes go in one $batch, each in a change set of its own; 1 is none. Only what waits is joined: nothing is
	// held back for it.
	Batch int `yaml:"batch,omitempty"`
	// BatchFormat is "multipart", or "json" for V4 services that know it.
	BatchFormat string `yaml:"batch_format,omitempty"`
	// MaxBody bounds the answers that are read, in bytes, unpacked; 32 MiB. A longer one counts as cut off.
	MaxBody int64 `yaml:"max_body,omitempty"`
	// MaxReceipt bounds what a receipt keeps of an answer, in bytes; 16 KiB.
	MaxReceipt int `yaml:"max_receipt,omitempty"`
	// MaxPages bounds how many pages one reading follows; 10,000.
	MaxPages int `yaml:"max_pages,omitempty"`
	// Proxy is the URL of an HTTP proxy; none by default, whatever the environment says.
	Proxy string `yaml:"proxy,omitempty"`
	// Headers go with every call.
	Headers map[string]string `yaml:"headers,omitempty"`
	Polls   []PollConfig      `yaml:"polls,omitempty"`
	Auth    Auth              `yaml:"auth,omitempty"`
	TLS     TLS               `yaml:"tls,omitempty"`
}

// Service is one OData service of the system.
type Service struct {
	// Path is its root below BaseURL, such as /sap/opu/odata/sap/API_MATERIAL_DOCUMENT_SRV.
	Path string `yaml:"path"`
	// Metadata is a file with its $metadata, which is used while the service cannot be asked for it; none by default.
	Metadata string `yaml:"metadata,omitempty"`
	// IEEE754 has a V4 service read and write decimals and 64-bit numbers as text.
	IEEE754 bool `yaml:"ieee754,omitempty"`
	// NoCSRF leaves out the fetching of a CSRF token. By default a service that gives none is not asked again.
	NoCSRF bool `yaml:"no_csrf,omitempty"`
	// NoRequestID leaves out RequestID and RepeatabilityCreation, for a service that refuses what it cannot repeat.
	NoRequestID bool `yaml:"no_request_id,omitempty"`
	// Optional has the doctor pass over the service where it is not there, unless a route or a poll needs it.
	Optional bool `yaml:"optional,omitempty"`
}

// Write says how one target is treated.
type Write struct {
	// ID is the field, or the parameter of an operation, that carries the message's ID, so that the ERP can be asked for it. In an
	// Edm.Guid it is the ID if that is a UUID, else one made of it; in a text field the ID if it fits, else a hash of it.
	ID string `yaml:"id,omitempty"`
	// AskSet and AskField say where the ID is found again; the set and the field that it was written to.
	AskSet   string `yaml:"ask_set,omitempty"`
	AskField string `yaml:"ask_field,omitempty"`
	// AskFields find what became of a write that has no field for an ID: fields of AskSet, each with the field or parameter of the
	// document whose value it has once the write took effect. AskValues are fields that have these values then.
	AskFields map[string]string `yaml:"ask_fields,omitempty"`
	AskValues map[string]string `yaml:"ask_values,omitempty"`
	// Number are the fields that are the document's number, in order; the key.
	Number []string `yaml:"number,omitempty"`
	// Kind is the ERP's word for the document; the name of the set or operation.
	Kind string `yaml:"kind,omitempty"`
	// Idempotent says that the same write has one effect however often it comes. It is then sent again where its answer was lost; a change only if its
	// entity is as it was before, for somebody else may have changed it since.
	Idempotent bool `yaml:"idempotent,omitempty"`
	// Alone keeps the write out of $batch.
	Alone bool `yaml:"alone,omitempty"`
}

// Auth says who we are to the ERP; one of Basic, Bearer and OAuth at most. A client certificate is in TLS.
type Auth struct {
	Basic  *Basic `yaml:"basic,omitempty"`
	Bearer string `yaml:"bearer,omitempty"` // reference to the token (RFC 6750)
	OAuth  *OAuth `yaml:"oauth,omitempty"`
}

// Basic is a user with a password (RFC 7617).
type Basic struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"` // reference
}

// OAuth gets tokens by client credentials (RFC 6749 section 4.4).
type OAuth struct {
	TokenURL string `yaml:"token_url"`
	ClientID string `yaml:"client_id"`
	Secret   string `yaml:"client_secret"` // reference
	Scope    string `yaml:"scope,omitempty"`
}

// TLS says whom we trust and which certificate we show. All are files in PEM.
type TLS struct {
	CA         string `yaml:"ca,omitempty"`
	Cert       string `yaml:"cert,omitempty"`
	Key        string `yaml:"key,omitempty"`
	ServerName string `yaml:"server_name,omitempty"`
}

// Meaning is what an error code means.
type Meaning string

// The meanings. Down is Again for a reason that lies with the link and not with the message.
const (
	MeansAgain   Meaning = "again"
	MeansRefused Meaning = "refused"
	MeansUnknown Meaning = "unknown"
	MeansDown    Meaning = "down"
)

// The forms of a $batch.
const (
	Multipart = "multipart"
	JSON      = "json"
)

// wrong is a mistake in the configuration.
func wrong(key, why, hint string) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "configuration of an odata link", Why: key + ": " + why, Hint: hint,
		Fields: []problem.Field{{Pointer: key, Why: why}},
	}
}

const defaultTimeout = 30 * time.Second

// SAPWorkLimit is how long an SAP system lets a dialog step work if nobody has set it otherwise: rdisp/max_wprun_time, or
// rdisp/scheduler/prio_normal/max_runtime, 600 s. A step that hangs in the database is ended up to a minute later.
const SAPWorkLimit = 10 * time.Minute

// mustOutlast is what ask_after is held against: the limit, and a tenth for a step that must be ended by force.
func mustOutlast(limit time.Duration) time.Duration { return limit + limit/10 }

// Patience is how long after the last attempt, or after the first question where nobody knows of one, the ERP's "not there" is not believed yet: AskAfter, or its default.
func (c Config) Patience() time.Duration { return c.withDefaults().AskAfter }

// withDefaults fills in the zero fields.
func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 10*time.Second)
	if c.SAP || c.Client != "" {
		c.WorkLimit = cmp.Or(c.WorkLimit, SAPWorkLimit)
	}
	c.AskAfter = cmp.Or(c.AskAfter, max(2*c.Timeout, c.WorkLimit+c.WorkLimit/2))
	c.MaxRetryAfter = cmp.Or(c.MaxRetryAfter, time.Hour)
	c.MetadataAge = cmp.Or(c.MetadataAge, time.Hour)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	c.LockWait = cmp.Or(c.LockWait, 5*time.Second)
	c.Parallel = cmp.Or(c.Parallel, 16)
	c.Batch = cmp.Or(c.Batch, 1)
	c.BatchFormat = cmp.Or(c.BatchFormat, Multipart)
	c.MaxBody = cmp.Or(c.MaxBody, 32<<20)
	c.MaxReceipt = cmp.Or(c.MaxReceipt, 16<<10)
	c.MaxPages = cmp.Or(c.MaxPages, 10_000)
	if c.Client != "" {
		c.Language = cmp.Or(c.Language, "EN")
	}
	return c
}

// mostBatch is what services take at the most in one request; SAP's own limit is far above what is sensible.
const mostBatch = 1000

// check tells what is wrong with the configuration by itself, and gives the base URL.
func (c Config) check() (*url.URL, error) {
	for key, n := range map[string]int64{
		"timeout": int64(c.Timeout), "connect_timeout": int64(c.ConnectTimeout), "ask_after": int64(c.AskAfter), "work_limit": int64(c.WorkLimit),
		"max_retry_after": int64(c.MaxRetryAfter), "metadata_age": int64(c.MetadataAge), "idle_timeout": int64(c.IdleTimeout),
		"lock_wait": int64(c.LockWait), "parallel": int64(c.Parallel), "batch": int64(c.Batch), "max_body": c.MaxBody,
		"max_receipt": int64(c.MaxReceipt), "max_pages": int64(c.MaxPages),
	} {
		if n < 0 {
			return nil, wrong(key, "it is negative", "leave it out for the default")
		}
	}
	switch most := cmp.Or(c.Timeout, defaultTimeout); {
	case c.AskAfter != 0 && c.AskAfter < most:
		return nil, wrong("ask_after", fmt.Sprintf("%s is less than the timeout of %s", c.AskAfter, most), "give at least the timeout, better twice it")
	case c.AskAfter != 0 && c.AskAfter < c.WorkLimit:
		return nil, wrong("ask_after", fmt.Sprintf("%s is less than the work_limit of %s: what is not there yet could be sent a second time", c.AskAfter, c.WorkLimit),
			"leave it out, or give more than the ERP may work on a request")
	case c.Batch > mostBatch:
		return nil, wrong("batch", fmt.Sprintf("%d is more than %d", c.Batch, mostBatch), "some 50 to 100 take away most of the requests")
	case c.BatchFormat != "" && c.BatchFormat != Multipart && c.BatchFormat != JSON:
		return nil, wrong("batch_format", fmt.Sprintf("%q is neither multipart nor json", c.BatchFormat), "leave it out for multipart")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return nil, wrong("tls", "cert and key go together", "give both or neither")
	case len(c.Services) == 0:
		return nil, wrong("services", "there is none", "name each OData service with its path")
	}
	for name := range c.Headers {
		if slices.Contains([]string{"Authorization", "Cookie", "Host", "Content-Length", "Content-Type", "X-Csrf-Token", "If-Match"}, http.CanonicalHeaderKey(name)) {
			return nil, wrong("headers."+name, "this header is not free", "credentials belong under auth")
		}
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	if err := c.Auth.check(c.AllowPlaintext); err != nil {
		return nil, err
	}
	return c.checkURL()
}

// checkNames looks at services, targets and meanings.
func (c Config) checkNames() error {
	for name, s := range c.Services {
		if name == "" || strings.Contains(name, "/") {
			return wrong("services", fmt.Sprintf("%q cannot be a service's name", name), "use a name without a slash, such as API_MATERIAL_DOCUMENT_SRV")
		}
		if u, err := url.Parse(s.Path); err != nil || !strings.HasPrefix(s.Path, "/") || u.RawQuery != "" || u.Host != "" {
			return wrong("services."+name+".path", "it is no path", "for example /sap/opu/odata/sap/"+name)
		}
	}
	for target := range c.Writes {
		service, rest, _ := strings.Cut(target, "/")
		if _, ok := c.Services[service]; !ok || rest == "" {
			return wrong("writes."+target, "it names no target of a service above", "write SERVICE/SET, SERVICE/SET/change or SERVICE/OPERATION")
		}
	}
	for code, m := range c.Codes {
		if !slices.Contains([]Meaning{MeansAgain, MeansRefused, MeansUnknown, MeansDown}, m) {
			return wrong("codes."+code, fmt.Sprintf("%q is no meaning", m), "use again, refused, unknown or down")
		}
	}
	return nil
}

// checkURL reads the base URL; secrets and plaintext to other hosts are refused.
func (c Config) checkURL() (*url.URL, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, wrong("base_url", "it is no http or https address", "for example https://my300000-api.s4hana.example")
	case u.User != nil:
		return nil, wrong("base_url", "it has credentials in it", "use auth.basic with a reference for the password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, wrong("base_url", "it has a query or a fragment", "sap_client and sap_language have keys of their own")
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

// References are where the secrets are, by the key that names each; there is one for each way to sign in.
func (a Auth) References() map[string]string {
	refs := map[string]string{}
	if a.Basic != nil {
		refs["auth.basic.password"] = a.Basic.Password
	}
	if a.Bearer != "" {
		refs["auth.bearer"] = a.Bearer
	}
	if a.OAuth != nil {
		refs["auth.oauth.client_secret"] = a.OAuth.Secret
	}
	return refs
}

// check refuses two ways at once, and secrets that are written out.
func (a Auth) check(plaintext bool) error {
	if o := a.OAuth; o != nil {
		u, err := url.Parse(o.TokenURL)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !plaintext && !loopback(u.Hostname())) {
			return wrong("auth.oauth.token_url", "it is no https address without credentials", "for example https://login.example/oauth/token")
		}
	}
	refs := a.References()
	if len(refs) > 1 {
		return wrong("auth", "it names more than one way", "choose basic, bearer or oauth")
	}
	for key, ref := range refs {
		if !strings.HasPrefix(ref, "env:") && !strings.HasPrefix(ref, "file:") && !strings.HasPrefix(ref, "vault:") {
			return wrong(key, "it is not a reference to a secret", "write env:NAME, file:PATH or vault:PATH, never the secret itself")
		}
	}
	return nil
}

// String is a line that may be logged.
func (c Config) String() string {
	return fmt.Sprintf("odata link to %s with %d services", c.BaseURL, len(c.Services))
}
