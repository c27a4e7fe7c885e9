package idoc

import (
	"cmp"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// The ways in which IDocs are written.
const (
	asXML  = "xml"
	asFlat = "flat"
)

// Builtin is the Config.Descriptions with which flat files go by the descriptions of this program.
const Builtin = "builtin"

// Config is one link of kind sap-idoc. Zero fields mean the default. It holds no secret, only references to them, and may be printed.
type Config struct {
	// Client is SAP's client, three digits.
	Client string `yaml:"client"`
	// Plant and SAP are the two logical systems, and the ports by which IDocs go between them, as SAP's partner profiles (WE20) have them.
	Plant Partner `yaml:"plant"`
	SAP   Partner `yaml:"sap"`
	// Release is DOCREL, the release of SAP for which segments are written.
	Release string `yaml:"release,omitempty"`
	// Zone is the time zone of SAP's dates and times; that of the configuration's plant.
	Zone string `yaml:"zone,omitempty"`
	// Descriptions is a folder with descriptions of IDoc types, which replace those that are shipped. Flat files need it, or the word builtin:
	// their fields go by positions, which only the system that writes them knows exactly.
	Descriptions string   `yaml:"descriptions,omitempty"`
	Send         *Send    `yaml:"send,omitempty"`    // where what the plant owes goes; nothing is sent without it
	Receive      *Receive `yaml:"receive,omitempty"` // how SAP's IDocs come; none come without it
}

// Send is how IDocs go to SAP: by HTTP to URL, through Folder, or by a Carrier.
type Send struct {
	Carried bool   `yaml:"-"`             // they go by the Carrier that the link is given
	URL     string `yaml:"url,omitempty"` // of SAP's port, such as https://s4.example/sap/bc/idoc_xml; sap-client is added
	User    string `yaml:"user,omitempty"`
	Secret  string `yaml:"password,omitempty"` // reference
	TLS     TLS    `yaml:"tls,omitempty"`
	// AllowPlaintext permits http:// to another host. Whoever is on the way can then read and change every message.
	AllowPlaintext bool `yaml:"allow_plaintext,omitempty"`
	// Folder takes a file for each IDoc, which appears there at once and whole.
	Folder   string `yaml:"folder,omitempty"`
	Format   string `yaml:"format,omitempty"`    // xml or flat; xml. By HTTP it is always xml
	CodePage string `yaml:"code_page,omitempty"` // of what is flat, such as iso-8859-1; utf-8
	// DropsKnown says that SAP drops an IDoc whose number it has from this sender: what may have been lost is then sent again by itself.
	// Standard SAP does not; it is a check of its own there, on DOCNUM or ARCKEY.
	DropsKnown bool `yaml:"drops_known,omitempty"`
	// Accepts is what SAP's port says when it has taken an IDoc, or a part of it; "IDoc-XML-inbound ok". An empty answer counts as well. Any other
	// page may be somebody else's, such as a sign-in page, and makes the outcome unknown.
	Accepts string `yaml:"accepts,omitempty"`
	// AnswerWithin is how long SAP's confirmation of an IDoc whose answer was lost is waited for before a person must decide; 1 h.
	AnswerWithin time.Duration `yaml:"answer_within,omitempty"`
	Timeout      time.Duration `yaml:"timeout,omitempty"` // of a request; 30 s
	// MaxRetryAfter bounds what SAP may ask to wait; 15 min.
	MaxRetryAfter time.Duration `yaml:"max_retry_after,omitempty"`
	// Keep is how long it is remembered beside the folder which IDocs were handed over; 90 days.
	Keep time.Duration `yaml:"keep,omitempty"`
}

// TLS says whom we trust and which certificate we show. All are files in PEM.
type TLS struct {
	CA         string `yaml:"ca,omitempty"`
	Cert       string `yaml:"cert,omitempty"`
	Key        string `yaml:"key,omitempty"`
	ServerName string `yaml:"server_name,omitempty"`
}

// Receive is how SAP's IDocs come: SAP calls Listen, puts files into Folder, or they come by a Carrier; each of them or several.
type Receive struct {
	Carried bool `yaml:"-"` // they come by the Carrier that the link is given
	// Listen is the address at which SAP's HTTP port delivers, at /idoc. Beyond this machine it needs a certificate.
	Listen string `yaml:"listen,omitempty"`
	User   string `yaml:"user,omitempty"`
	Secret string `yaml:"password,omitempty"` // reference
	Cert   string `yaml:"cert,omitempty"`     // of the listener, with its chain
	Key    string `yaml:"key,omitempty"`
	// Folder is looked into for files. One that was taken moves into done below it, one that cannot be read into bad, with the reason beside it.
	Folder   string        `yaml:"folder,omitempty"`
	Every    time.Duration `yaml:"every,omitempty"`     // how often; 2 s
	Settle   time.Duration `yaml:"settle,omitempty"`    // for how long a flat file must have stood still before it is read, and any before it is bad; 30 s
	CodePage string        `yaml:"code_page,omitempty"` // of flat files
	// Mappings replace those by which an IDoc of a message type (LOIPRO) or basic type (LOIPRO02) becomes an event of the plant.
	Mappings map[string]string `yaml:"mappings,omitempty"`
	MaxBytes int64             `yaml:"max_bytes,omitempty"` // of a file or request; 32 MiB
	Segments int               `yaml:"segments,omitempty"`  // of an IDoc; 100000
}

// References are where secrets are, by their keys.
func (c Config) References() map[string]string {
	out := map[string]string{}
	if c.Send != nil && c.Send.Secret != "" {
		out["send.password"] = c.Send.Secret
	}
	if c.Receive != nil && c.Receive.Secret != "" {
		out["receive.password"] = c.Receive.Secret
	}
	return out
}

// Files are the paths of a configuration, to be completed by whoever knows where they begin.
func (c *Config) Files() []*string {
	var out []*string
	if c.Descriptions != Builtin {
		out = append(out, &c.Descriptions)
	}
	if s := c.Send; s != nil {
		out = append(out, &s.Folder, &s.TLS.CA, &s.TLS.Cert, &s.TLS.Key)
	}
	if r := c.Receive; r != nil {
		out = append(out, &r.Folder, &r.Cert, &r.Key)
	}
	return out
}

// Address is where the link leads to, for a person.
func (c Config) Address() string {
	switch {
	case c.Send == nil && c.Receive == nil:
		return ""
	case c.Send == nil:
		return cmp.Or(c.Receive.Listen, c.Receive.Folder)
	}
	return cmp.Or(c.Send.URL, c.Send.Folder)
}

// Mappings are those that read what comes in, by message type or basic type.
func (c Config) Mappings() map[string]string {
	out := map[string]string{}
	if c.Receive == nil {
		return out
	}
	for message, mapping := range map[string]string{
		"LOIPRO": "sap-idoc-in/production-order", "MATMAS": "sap-idoc-in/material", "BOMMAT": "sap-idoc-in/bill-of-material", "LOIWCS": "sap-idoc-in/work-centre",
		"LOIROU": "sap-idoc-in/routing",
	} {
		out[message] = mapping
	}
	for message, mapping := range c.Receive.Mappings {
		out[message] = mapping
	}
	return out
}

// String is a line that may be logged.
func (c Config) String() string { return "sap-idoc link to " + c.Address() }

// wrong is a mistake in the configuration.
func wrong(key, why, hint string) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "configuration of a sap-idoc link", Why: key + ": " + why, Hint: hint,
		Fields: []problem.Field{{Pointer: key, Why: why}},
	}
}

// complete fills in the zero fields and checks the others.
func (c Config) complete() (Config, error) {
	if len(c.Client) != 3 || !digits(c.Client) {
		return c, wrong("client", "it is not three digits", `write SAP's client as a text, such as "100"`)
	}
	for key, v := range map[string]string{"plant.port": c.Plant.Port, "plant.system": c.Plant.System, "sap.port": c.SAP.Port, "sap.system": c.SAP.System} {
		if v == "" || len(v) > 10 || printable(v) != nil {
			return c, wrong(key, "it is missing, or longer than 10 characters", "write it as the partner profile has it (WE20, WE21)")
		}
	}
	if c.Send == nil && c.Receive == nil {
		return c, wrong("send", "the link neither sends nor receives", "write send with a url or folder, receive with listen or folder, or amqp with publish or receive")
	}
	if err := cmp.Or(c.completeSend(), c.completeReceive()); err != nil {
		return c, err
	}
	return c, c.checkFlat()
}

func (c *Config) completeSend() error {
	if c.Send == nil {
		return nil
	}
	s := *c.Send
	s.Format, s.Timeout = cmp.Or(s.Format, asXML), cmp.Or(s.Timeout, 30*time.Second)
	s.AnswerWithin, s.Keep = cmp.Or(s.AnswerWithin, time.Hour), cmp.Or(s.Keep, 90*24*time.Hour)
	s.MaxRetryAfter, s.Accepts = cmp.Or(s.MaxRetryAfter, 15*time.Minute), cmp.Or(s.Accepts, "IDoc-XML-inbound ok")
	c.Send = &s
	switch {
	case ways(s.URL != "", s.Folder != "", s.Carried) != 1:
		return wrong("send", "it names neither url nor folder, or both, or one of them beside amqp.publish", "name one way")
	case s.Format != asXML && s.Format != asFlat:
		return wrong("send.format", "it is neither xml nor flat", "write xml or flat")
	case s.URL != "" && s.Format != asXML:
		return wrong("send.format", "SAP's HTTP port takes xml alone", "leave it out, or send through a folder")
	case (s.User == "") != (s.Secret == ""):
		return wrong("send.password", "user and password go together", "give both or neither")
	case (s.TLS.Cert == "") != (s.TLS.Key == ""):
		return wrong("send.tls", "cert and key go together", "give both or neither")
	case s.Timeout < 0 || s.AnswerWithin < 0 || s.Keep < 0 || s.MaxRetryAfter < 0:
		return wrong("send", "a duration is below zero", "write a duration such as 30s")
	}
	if _, err := codePage(s.CodePage); err != nil {
		return wrong("send.code_page", err.Error(), "write utf-8, iso-8859-1, windows-1252, or SAP's number")
	}
	return c.checkURL()
}

// ways counts those that are named.
func ways(named ...bool) int {
	n := 0
	for _, is := range named {
		if is {
			n++
		}
	}
	return n
}

func (c *Config) checkURL() error {
	if c.Send.URL == "" {
		return nil
	}
	u, err := url.Parse(c.Send.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return wrong("send.url", "it is no http or https address", "for example https://s4.example/sap/bc/idoc_xml")
	case u.User != nil || u.Fragment != "":
		return wrong("send.url", "it has credentials or a fragment in it", "use user, and password with a reference")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !c.Send.AllowPlaintext:
		return wrong("send.url", "http:// to another host lets anybody on the way read and change every message", "use https://, or set allow_plaintext: true on a line that nobody else reaches")
	}
	return nil
}

// loopback tells whether a host is this machine: by its address, since any name may begin with 127.
func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) completeReceive() error {
	if c.Receive == nil {
		return nil
	}
	r := *c.Receive
	r.Every, r.MaxBytes, r.Segments = cmp.Or(r.Every, 2*time.Second), cmp.Or(r.MaxBytes, Usual().Bytes), cmp.Or(r.Segments, Usual().Segments)
	r.Settle = cmp.Or(r.Settle, 30*time.Second)
	c.Receive = &r
	host, _, hasPort := strings.Cut(r.Listen, ":")
	if i := strings.LastIndexByte(r.Listen, ':'); i > 0 {
		host = strings.Trim(r.Listen[:i], "[]")
	}
	switch {
	case ways(r.Listen != "", r.Folder != "", r.Carried) == 0:
		return wrong("receive", "it names neither listen nor folder", "name one of them, or both, or amqp.receive")
	case r.Listen != "" && !hasPort:
		return wrong("receive.listen", "it is no address with a port", "write an address such as 127.0.0.1:8424")
	case r.Listen != "" && (r.User == "" || r.Secret == ""):
		return wrong("receive.password", "anybody who reaches the port could send orders", "name the user by which SAP signs in, and a reference to the password")
	case (r.Cert == "") != (r.Key == ""):
		return wrong("receive.cert", "cert and key go together", "give both or neither")
	case r.Listen != "" && r.Cert == "" && !loopback(host):
		return wrong("receive.listen", "passwords and orders would cross the network in the clear", "name cert and key, or listen on 127.0.0.1 behind a proxy")
	case r.Every < 0 || r.Settle < 0 || r.MaxBytes < 0 || r.Segments < 0:
		return wrong("receive", "a limit is below zero", "leave it out for the default")
	case c.Send != nil && c.Send.Folder != "" && r.Folder != "" && filepath.Clean(c.Send.Folder) == filepath.Clean(r.Folder):
		return wrong("receive.folder", "it is the folder that is sent through: the plant would read what it has written", "give each direction a folder of its own")
	}
	if _, err := codePage(r.CodePage); err != nil {
		return wrong("receive.code_page", err.Error(), "write utf-8, iso-8859-1, windows-1252, or SAP's number")
	}
	return nil
}

// checkFlat refuses flat files whose positions nobody vouches for.
func (c *Config) checkFlat() error {
	if c.Descriptions == "" && c.Send != nil && c.Send.Format == asFlat {
		return wrong("descriptions", "fields of flat files go by positions, which only your system knows exactly",
			"name a folder with what WE60 exports of each type (Parser), or write builtin to go by the descriptions of this program")
	}
	return nil
}
