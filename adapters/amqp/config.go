package amqp

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// Config is one link of kind amqp. Zero fields mean the default. It holds no secret, only references to them, and may be printed.
type Config struct {
	// Addresses are the nodes of one cluster, tried in turn: amqps://host:port/vhost.
	Addresses []string `yaml:"addresses"`
	// AllowPlaintext permits amqp:// to another host. Whoever is on the way can then read and change every message.
	AllowPlaintext bool `yaml:"allow_plaintext,omitempty"`
	// User signs in with Password; without a user the client's certificate does (SASL EXTERNAL).
	User     string `yaml:"user,omitempty"`
	Password string `yaml:"password,omitempty"` // reference
	TLS      TLS    `yaml:"tls,omitempty"`
	// Renew is how often the references and certificates are looked at. When they have changed, the connection is made anew; 1 min.
	Renew time.Duration `yaml:"renew,omitempty"`
	// ConnectTimeout is for a connection with all that belongs to it; 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout,omitempty"`
	// Heartbeat is how often each side shows that it lives; after three without a sign the connection is given up; 5 s.
	Heartbeat time.Duration `yaml:"heartbeat,omitempty"`
	// WriteTimeout is how long one write may hang before the connection is given up; 10 s.
	WriteTimeout time.Duration `yaml:"write_timeout,omitempty"`
	// ConfirmTimeout is how long a confirm may be outstanding before the connection is given up, and with it the whole window; 30 s. While
	// the broker has blocked us it does not count.
	ConfirmTimeout time.Duration `yaml:"confirm_timeout,omitempty"`
	// StopTimeout is how long a stop waits for confirms, and for the batch in hand; 10 s.
	StopTimeout time.Duration `yaml:"stop_timeout,omitempty"`
	// Declare makes the exchanges and queues where they are missing; false only looks whether they are there; true.
	Declare   *bool      `yaml:"declare,omitempty"`
	Exchanges []Exchange `yaml:"exchanges,omitempty"`
	Queues    []Queue    `yaml:"queues,omitempty"`
	Publish   *Publish   `yaml:"publish,omitempty"` // where what the plant owes goes; nothing is sent without it
	Receive   *Receive   `yaml:"receive,omitempty"` // where the ERP's messages come from; nothing is received without it
}

// TLS says whom we trust and which certificate we show. All are files in PEM, read anew for each connection.
type TLS struct {
	CA         string `yaml:"ca,omitempty"`   // instead of the system's
	Cert       string `yaml:"cert,omitempty"` // the client's, with its chain
	Key        string `yaml:"key,omitempty"`
	ServerName string `yaml:"server_name,omitempty"` // where the certificate names another host than the address
}

// Exchange is a durable exchange.
type Exchange struct {
	Name      string `yaml:"name"`
	Kind      string `yaml:"kind,omitempty"`      // topic, direct, fanout or headers; topic
	Alternate string `yaml:"alternate,omitempty"` // exchange that takes what no queue here does; such a message counts as delivered
}

// Queue is a durable queue.
type Queue struct {
	Name     string    `yaml:"name"`
	Kind     string    `yaml:"kind,omitempty"` // quorum or classic; quorum
	Bindings []Binding `yaml:"bindings,omitempty"`
	// DeliveryLimit is how often the broker offers a message again before it goes to DeadLetter, without which it would be lost.
	// Without a limit a quorum queue puts a returned message at its end, with one at its place.
	DeliveryLimit int    `yaml:"delivery_limit,omitempty"`
	DeadLetter    string `yaml:"dead_letter,omitempty"`     // exchange
	DeadLetterKey string `yaml:"dead_letter_key,omitempty"` // instead of the message's own routing key
	// AtLeastOnce has a dead letter leave the queue only when its new one has it. It needs Reject.
	AtLeastOnce bool `yaml:"at_least_once,omitempty"`
	MaxLength   int  `yaml:"max_length,omitempty"`
	// Reject turns new messages away when MaxLength is reached, rather than dropping the oldest.
	Reject bool `yaml:"reject,omitempty"`
	// SingleActive gives the messages to one consumer at a time, so that their order holds although several nodes consume, and although
	// the broker may notice late that an earlier connection of ours is gone. It is always set for Receive.Queue.
	SingleActive bool `yaml:"single_active,omitempty"`
}

// Binding leads messages from an exchange into a queue.
type Binding struct {
	Exchange string `yaml:"exchange"`
	Key      string `yaml:"key,omitempty"`
}

// Publish is where messages go.
type Publish struct {
	Exchange string `yaml:"exchange"` // "" is the broker's default one, which takes queue names as routing keys
	// Key is the routing key, in which {kind}, {key}, {lane}, {link} and {source} stand for those of the message; {kind}. A mapping's
	// target goes before it. {type} stands for the type of an IDoc, where the link carries those.
	Key    string `yaml:"key,omitempty"`
	Window int    `yaml:"window,omitempty"` // messages that may wait for their confirms at once; 500
	// Binary sends the attributes of an event as headers (the binary mode of CloudEvents) rather than in the body with its data (the
	// structured mode). Brokers can route by headers, and carry about half as many such messages.
	Binary bool `yaml:"binary,omitempty"`
}

// Receive is where messages come from.
type Receive struct {
	Queue    string `yaml:"queue"`
	InFlight int    `yaml:"in_flight,omitempty"` // messages that may be in hand, unacknowledged; 500
	// InFlightBytes is how many bytes of bodies may be in hand; 128 MiB. Where messages are larger, fewer are taken at a time.
	InFlightBytes int64 `yaml:"in_flight_bytes,omitempty"`
	Batch         int   `yaml:"batch,omitempty"` // messages that are accepted together; 100
	// Mapping turns what comes into an event of the plant, Mappings that of a certain kind. A message cannot name its own.
	Mapping  string            `yaml:"mapping,omitempty"`
	Mappings map[string]string `yaml:"mappings,omitempty"`
	// Each declares a queue for each topic that a Watermill subscriber asks for; {topic} in it stands for the topic. Without it the
	// topic is the name of the queue.
	Each *Queue `yaml:"-"`
}

// maxShort is the most bytes of a name, routing key or property in AMQP 0-9-1 (shortstr). A longer one would cost the connection.
const maxShort = 255

// wrong is a mistake in the configuration.
func wrong(key, why, hint string) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "configuration of an amqp link", Why: key + ": " + why, Hint: hint,
		Fields: []problem.Field{{Pointer: key, Why: why}},
	}
}

// withDefaults fills in the zero fields.
func (c Config) withDefaults() Config {
	c.Renew = cmp.Or(c.Renew, time.Minute)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 10*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 5*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, 30*time.Second)
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
	if c.Publish != nil {
		p := *c.Publish
		p.Key = cmp.Or(p.Key, "{kind}")
		p.Window = cmp.Or(p.Window, 500)
		c.Publish = &p
	}
	if c.Receive != nil {
		r := *c.Receive
		r.InFlight = cmp.Or(r.InFlight, 500)
		r.InFlightBytes = cmp.Or(r.InFlightBytes, handBytes)
		r.Batch = cmp.Or(r.Batch, 100)
		c.Receive = &r
		c.Queues = slices.Clone(c.Queues)
		for i := range c.Queues {
			c.Queues[i].SingleActive = c.Queues[i].SingleActive || c.Queues[i].Name == r.Queue
		}
	}
	return c
}

// declares tells whether missing exchanges and queues are made.
func (c Config) declares() bool { return c.Declare == nil || *c.Declare }

// check tells what is wrong with the configuration by itself.
func (c Config) check() error {
	for key, d := range map[string]time.Duration{
		"renew": c.Renew, "connect_timeout": c.ConnectTimeout, "heartbeat": c.Heartbeat, "write_timeout": c.WriteTimeout, "confirm_timeout": c.ConfirmTimeout,
		"stop_timeout": c.StopTimeout,
	} {
		if d < 0 {
			return wrong(key, "it is negative", "leave it out for the default")
		}
	}
	if len(c.Addresses) == 0 {
		return wrong("addresses", "there is none", "for example [amqps://mq1.example:5671/plant]")
	}
	for i, a := range c.Addresses {
		if err := c.checkAddress(fmt.Sprintf("addresses[%d]", i), a); err != nil {
			return err
		}
	}
	if err := c.checkIdentity(); err != nil {
		return err
	}
	if err := c.checkFlow(); err != nil {
		return err
	}
	return c.checkTopology()
}

func (c Config) checkAddress(key, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "amqp" && u.Scheme != "amqps":
		return wrong(key, "it is no amqp or amqps address", "for example amqps://mq1.example:5671/plant")
	case u.User != nil:
		return wrong(key, "it has credentials in it", "use user, with a reference for the password")
	case u.RawQuery != "" || u.Fragment != "":
		return wrong(key, "it has a query or a fragment", "everything but host, port and virtual host has a key of its own")
	case u.Scheme == "amqp" && !c.AllowPlaintext && !loopback(u.Hostname()):
		return wrong(key, "it is plain amqp to another host", "use amqps, or set allow_plaintext: true where the network itself is trusted")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) checkIdentity() error {
	switch {
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return wrong("tls", "cert and key go together", "give both or neither")
	case (c.User == "") != (c.Password == ""):
		return wrong("user", "user and password go together", "give both, or neither and a client certificate")
	case c.User == "" && c.TLS.Cert == "":
		return wrong("user", "nothing says who we are", "give user and password, or tls.cert and tls.key")
	case c.Password != "" && !strings.HasPrefix(c.Password, "env:") && !strings.HasPrefix(c.Password, "file:") && !strings.HasPrefix(c.Password, "vault:"):
		return wrong("password", "it is not a reference to a secret", "write env:NAME, file:PATH or vault:PATH, never the secret itself")
	}
	return nil
}

func (c Config) checkFlow() error {
	if p := c.Publish; p != nil {
		if p.Window < 0 || p.Window > maxWindow {
			return wrong("publish.window", fmt.Sprintf("it is not from 1 to %d", maxWindow), "leave it out for the default")
		}
		if len(p.Exchange) > maxShort || len(p.Key) > maxShort {
			return wrong("publish", fmt.Sprintf("a name is longer than %d bytes", maxShort), "use a shorter one")
		}
	}
	if r := c.Receive; r != nil {
		if r.InFlight < 0 || r.InFlight > 1<<16-1 || r.InFlightBytes < 0 || r.Batch < 0 {
			return wrong("receive", "in_flight is not from 1 to 65535, or in_flight_bytes or batch is negative", "leave them out for the defaults")
		}
		if r.Queue == "" && r.Each == nil {
			return wrong("receive.queue", "it is missing", "name the queue")
		}
	}
	return nil
}

// checkTopology refuses what the broker would accept and what would then lose messages.
func (c Config) checkTopology() error {
	for i, e := range c.Exchanges {
		if e.Name == "" || len(e.Name) > maxShort {
			return wrong(fmt.Sprintf("exchanges[%d].name", i), "it is missing or too long", "name the exchange; the default one needs no declaration")
		}
	}
	for i, q := range c.Queues {
		if err := q.check(fmt.Sprintf("queues[%d]", i)); err != nil {
			return err
		}
	}
	if c.Receive != nil && c.Receive.Each != nil {
		return c.Receive.Each.check("receive.each")
	}
	return nil
}

func (q Queue) check(key string) error {
	switch {
	case q.Name == "" || len(q.Name) > maxShort:
		return wrong(key+".name", "it is missing or too long", "name the queue")
	case q.Kind != "" && q.Kind != "quorum" && q.Kind != "classic":
		return wrong(key+".kind", "it is neither quorum nor classic", "leave it out for quorum")
	case q.DeliveryLimit < 0 || q.MaxLength < 0:
		return wrong(key, "a limit is negative", "leave it out for none")
	case q.DeliveryLimit > 0 && q.DeadLetter == "":
		return wrong(key+".delivery_limit", "a message beyond the limit would be lost", "name a dead_letter exchange with a queue")
	case q.MaxLength > 0 && !q.Reject && q.DeadLetter == "":
		return wrong(key+".max_length", "the oldest message would be lost", "set reject: true, or name a dead_letter exchange")
	case q.AtLeastOnce && (q.DeadLetter == "" || !q.Reject || q.Kind == "classic"):
		return wrong(key+".at_least_once", "it needs dead_letter, reject: true and a quorum queue", "give all three")
	case q.DeliveryLimit > 0 && q.Kind == "classic":
		return wrong(key+".delivery_limit", "classic queues have none", "use a quorum queue")
	}
	return nil
}

// String is a line that may be logged.
func (c Config) String() string { return "amqp link to " + strings.Join(c.Addresses, ", ") }
