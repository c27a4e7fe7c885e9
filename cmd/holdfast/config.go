package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"holdfast/adapters/amqp"
	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/adapters/sap"
	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/access"
	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

// Config is holdfast.yaml: one section for each part. It holds no secret, only where each is, so that printing it is always safe.
// docs/configuration.md explains every key.
type Config struct {
	Plant     PlantConfig     `yaml:"plant"`
	Database  DatabaseConfig  `yaml:"database"`
	API       APIConfig       `yaml:"api"`
	Ops       OpsConfig       `yaml:"ops"`
	Log       LogConfig       `yaml:"log"`
	Telemetry TelemetryConfig `yaml:"telemetry"`
	Mappings  string          `yaml:"mappings"` // folder of own mappings; it need not exist
	// MappingsPolicy is open, or four_eyes: published mappings are used only after somebody else has approved them.
	MappingsPolicy string                `yaml:"mappings_policy"`
	Outbox         OutboxConfig          `yaml:"outbox"`
	Relay          RelayConfig           `yaml:"relay"`
	Inbox          InboxConfig           `yaml:"inbox"`
	Keys           KeysConfig            `yaml:"keys"`
	Audit          AuditConfig           `yaml:"audit"`
	Backup         *BackupConfig         `yaml:"backup"`
	Policy         PolicyConfig          `yaml:"policy"`
	Reconcile      ReconcileConfig       `yaml:"reconcile"`
	Sensitive      *SensitiveConfig      `yaml:"sensitive"`
	Anomaly        *AnomalyConfig        `yaml:"anomaly"`
	SIEM           []CollectorConfig     `yaml:"siem"`
	Alerts         AlertsConfig          `yaml:"alerts"`
	Access         *AccessConfig         `yaml:"access"`
	Links          map[string]LinkConfig `yaml:"links"`
	Routes         []RouteConfig         `yaml:"routes"`

	file   string        // absolute path of the file
	by     *access.Actor // who calls from elsewhere; nil: whoever has started the program
	places strict.Places
	vault  *vaultSecrets
}

// PlantConfig says who and where the plant is, and how strict its rules are.
type PlantConfig struct {
	Number       string          `yaml:"number"`        // of the plant in the ERP
	Source       string          `yaml:"source"`        // CloudEvents source of all it sends
	Zone         string          `yaml:"zone"`          // IANA name; its days begin there
	OverDelivery decimal.Decimal `yaml:"over_delivery"` // percent above an order's quantity
	OverIssue    decimal.Decimal `yaml:"over_issue"`    // percent above what a component requires
	OverReceipt  decimal.Decimal `yaml:"over_receipt"`  // percent above the confirmed yield
	Ahead        time.Duration   `yaml:"ahead"`         // how far in the future a report may lie
	OrderPrefix  string          `yaml:"order_prefix"`  // of orders that the plant makes itself
	LotPrefix    string          `yaml:"lot_prefix"`    // of lots that it makes itself
}

// DatabaseConfig says where the database is.
type DatabaseConfig struct {
	URL            string        `yaml:"url"` // or a reference to it, where it has a password
	BusyTimeout    time.Duration `yaml:"busy_timeout"`
	Readers        int           `yaml:"readers"`
	MaxConnections int           `yaml:"max_connections"`
}

// APIConfig is the listener of the plant's API.
type APIConfig struct {
	Listen       string        `yaml:"listen"`
	BodyLimit    int64         `yaml:"body_limit"` // bytes
	Timeout      time.Duration `yaml:"timeout"`
	MaxWait      time.Duration `yaml:"max_wait"` // for Prefer: wait=N
	CheckAnswers bool          `yaml:"check_answers"`
	TLS          APITLSConfig  `yaml:"tls"`
}

// OpsConfig is the listener for those who operate it: /livez, /readyz and /metrics.
type OpsConfig struct {
	Listen string `yaml:"listen"`
}

// LogConfig says how to log; logs go to stderr.
type LogConfig struct {
	Format string `yaml:"format"` // text or json
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// TelemetryConfig says where traces go.
type TelemetryConfig struct {
	Endpoint      string `yaml:"endpoint"`       // OTLP over HTTP; empty: OTEL_EXPORTER_OTLP_ENDPOINT, or no traces
	SamplePercent int    `yaml:"sample_percent"` // of the calls that nobody else decided about
}

// OutboxConfig tunes what the plant owes.
type OutboxConfig struct {
	Lease    time.Duration `yaml:"lease"`
	Backoff  time.Duration `yaml:"backoff"`
	AskAfter time.Duration `yaml:"ask_after"`
	Keep     time.Duration `yaml:"keep"`
	Inline   int           `yaml:"inline"` // bytes of a body that is kept in its message's own row

	// RestoredDoubt is how long after a restore what a caller may be repeating is asked for before it is sent.
	RestoredDoubt time.Duration `yaml:"restored_doubt"`
}

// RelayConfig tunes how messages are moved.
type RelayConfig struct {
	Node     string        `yaml:"node"`     // unique among the processes of one database; default the host's name
	Poll     time.Duration `yaml:"poll"`     // the net under the wakes
	Grace    time.Duration `yaml:"grace"`    // for what is under way when the program is stopped
	Backoff  time.Duration `yaml:"backoff"`  // after the first failed attempt, doubled each time
	Failures int           `yaml:"failures"` // in a row, after which a link counts as down
	Probe    time.Duration `yaml:"probe"`    // how often a link that is down is tried
}

// InboxConfig tunes what the ERP sends.
type InboxConfig struct {
	GapAlert  time.Duration `yaml:"gap_alert"`  // how long a number may be missing before it is told
	MaxBody   int           `yaml:"max_body"`   // bytes
	Inline    int           `yaml:"inline"`     // bytes of a body that is kept in its message's own row
	MaxEarly  int           `yaml:"max_early"`  // messages of one lane that wait for a missing one
	Batch     int           `yaml:"batch"`      // messages that are applied in one transaction
	Keep      time.Duration `yaml:"keep"`       // how long a message is remembered, to know it again
	KeepCount int           `yaml:"keep_count"` // how many are remembered
}

// PolicyConfig says what needs a second person.
type PolicyConfig struct {
	ReplayOver int  `yaml:"replay_over"` // a replay of more messages; 0: none does
	FourEyes   bool `yaml:"four_eyes"`   // a correction or discard of a message
}

// LinkConfig is one connection to one ERP.
type LinkConfig struct {
	Kind        string `yaml:"kind"`        // rest, odata, sap, sap-idoc or amqp
	Rate        int    `yaml:"rate"`        // requests a second at most; 0: no limit but what the ERP answers
	Concurrency int    `yaml:"concurrency"` // requests at a time at most

	Proof       string       `yaml:"proof"`        // by which each request shows who sends it: http-signature or standard-webhooks
	ProofSecret string       `yaml:"proof_secret"` // reference to a shared secret to sign with, instead of the node's key
	ProofKey    string       `yaml:"proof_key"`    // the name that the far side has for it
	EncryptTo   string       `yaml:"encrypt_to"`   // file of the receiver's public key, a JWK or PEM, to which payloads are encrypted
	DecryptWith string       `yaml:"decrypt_with"` // reference to the plant's private key, a JWK, to which events that come in are encrypted
	Verify      VerifyConfig `yaml:"verify"`
	Reveal      []string     `yaml:"reveal"` // classes of sensitive values that the ERP is told; of others it gets the tokens

	Batch    int `yaml:"batch"`    // messages of one lane in hand at most
	Attempts int `yaml:"attempts"` // answers about one message after which its lane is parked

	REST  rest.Config  `yaml:"-"` // the keys that go with kind: rest
	OData odata.Config `yaml:"-"` // the keys that go with kind: odata
	SAP   sap.Config   `yaml:"-"` // the keys that go with kind: sap
	AMQP  amqp.Config  `yaml:"-"` // the keys that go with kind: amqp
	IDoc  idocConfig   `yaml:"-"` // the keys that go with kind: sap-idoc
}

// Variants are the keys that each kind of link has besides those of all.
func (l *LinkConfig) Variants() (string, map[string]any) {
	return "kind", map[string]any{"rest": &l.REST, "odata": &l.OData, "sap": &l.SAP, "amqp": &l.AMQP, "sap-idoc": &l.IDoc}
}

// RouteConfig says which messages go to which link, through which mapping.
type RouteConfig struct {
	Kinds    []string      `yaml:"kinds"`
	Link     string        `yaml:"link"`
	Mapping  string        `yaml:"mapping"` // may be left out for a link that takes the events themselves
	Priority int           `yaml:"priority"`
	Expires  time.Duration `yaml:"expires"`
	Delay    time.Duration `yaml:"delay"` // how old a message is at least when it is sent
}

// defaults is every value that a file may leave out; what is zero here has its default in the part itself and is told in
// docs/configuration.md.
func defaults() Config {
	return Config{
		Plant:     PlantConfig{Zone: "UTC"},
		Database:  DatabaseConfig{URL: "sqlite:holdfast.db"},
		API:       APIConfig{Listen: "127.0.0.1:8420"},
		Ops:       OpsConfig{Listen: "127.0.0.1:8421"},
		Log:       LogConfig{Format: "text", Level: "info"},
		Telemetry: TelemetryConfig{SamplePercent: 100},
		Mappings:  "mappings", MappingsPolicy: "open",
		Keys:  KeysConfig{Folder: "keys", Life: 7 * 24 * time.Hour, Renew: 24 * time.Hour, ColdStart: "deny", AtRest: "on"},
		Audit: AuditConfig{Checkpoints: "audit", Every: time.Minute},
	}
}

// loadConfig reads a file. Its error joins a problem for each mistake, with file and line.
func loadConfig(file string) (Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Config{}, &problem.Error{
			Kind: problem.NotFound, What: "read the configuration " + file, Why: why(err),
			Hint: "name another file with --config, or write one with: holdfast init",
		}
	}
	return parseConfig(file, text)
}

// parseConfig reads the text of a file; it opens nothing.
func parseConfig(file string, text []byte) (Config, error) {
	cfg := defaults()
	places, unread := strict.Decode(file, text, &cfg)
	if !places.Read() {
		return Config{}, unread
	}
	var err error
	cfg.places = places
	if cfg.file, err = filepath.Abs(file); err != nil {
		return Config{}, fmt.Errorf("find %s: %w", file, err)
	}
	if cfg.Plant.Source == "" {
		cfg.Plant.Source = "urn:holdfast:plant:" + cfg.Plant.Number
	}
	if err := errors.Join(unread, cfg.check()); err != nil {
		mistakes := leaves(err)
		places.Sort(mistakes)
		return Config{}, errors.Join(mistakes...)
	}
	cfg.anchor()
	cfg.vault = &vaultSecrets{}
	return cfg, nil
}

// String is one line, safe for logs.
func (c Config) String() string {
	return fmt.Sprintf("%s: plant %s, %d links, %d routes", c.file, c.Plant.Number, len(c.Links), len(c.Routes))
}

// zone is the plant's time zone, which check has found.
func (c Config) zone() *time.Location {
	z, err := time.LoadLocation(c.Plant.Zone)
	if err != nil {
		return time.UTC
	}
	return z
}

// dir is the folder of the file: relative paths begin there, so that it matters nowhere from where the program is called.
func (c Config) dir() string { return filepath.Dir(c.file) }

// beside makes a path of the file absolute.
func (c Config) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.dir(), path)
}
