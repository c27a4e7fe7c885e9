package rest

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"holdfast/internal/problem"
)

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		key    string // that the error names
	}{
		{"no address", func(c *Config) { c.BaseURL = "" }, "base_url"},
		{"another scheme", func(c *Config) { c.BaseURL = "ftp://erp" }, "base_url"},
		{"plain http to another host", func(c *Config) { c.BaseURL = "http://erp.example" }, "base_url"},
		{"credentials in the address", func(c *Config) { c.BaseURL = "https://u:p@erp.example" }, "base_url"},
		{"a query in the address", func(c *Config) { c.BaseURL = "https://erp.example?client=100" }, "base_url"},
		{"credentials of the proxy", func(c *Config) { c.Proxy = "http://u:p@proxy" }, "proxy"},
		{"a negative time", func(c *Config) { c.Timeout = -1 }, "timeout"},
		{"to believe \"not found\" before the call is over", func(c *Config) { c.AskAfter = 499 * time.Millisecond }, "ask_after"},
		{"the same, with the default for a call", func(c *Config) { c.Timeout, c.AskAfter = 0, 29*time.Second }, "ask_after"},
		{"no such contract", func(c *Config) { c.Spec = "nowhere.yaml" }, "spec"},
		{"a written-out password", func(c *Config) { c.Auth.Basic = &Basic{"u", "hunter2"} }, "auth.basic.password"},
		{"two ways to sign in", func(c *Config) { c.Auth = Auth{Bearer: "env:A", Header: &Key{"X-Key", "env:B"}} }, "auth"},
		{"a header of ours", func(c *Config) { c.Headers = map[string]string{"authorization": "x"} }, "headers.authorization"},
		{"half a client certificate", func(c *Config) { c.TLS.Cert = "cert.pem" }, "tls"},
		{"no such authority", func(c *Config) { c.TLS.CA = "nowhere.pem" }, "tls.ca"},
		{"an operation that is not there", func(c *Config) { c.Operations = map[string]Operation{"creat": {}} }, "operations.creat"},
		{"two ways to settle", func(c *Config) { c.Default.Idempotent = true }, "default"},
		{"an unknown meaning", func(c *Config) { c.Default.Answers = map[int]Meaning{500: "maybe"} }, "default.answers.500"},
		{"a receipt that is no pointer", func(c *Config) { c.Default.Receipt = "number" }, "default.receipt"},
		{"to ask by an operation that writes", func(c *Config) { c.Default.Ask.Operation = "createConfirmation" }, "default.ask.operation"},
		{"to ask by a parameter that is not there", func(c *Config) { c.Default.Ask.Param = "id" }, "default.ask"},
		{"to believe an ERP that may ignore a filter", func(c *Config) { c.Default.Ask.Match = "" }, "default.ask.match"},
		{"to ask without a number", func(c *Config) { c.Default.Ask.Number = "" }, "default.ask.number"},
		{"a probe that is not there", func(c *Config) { c.Probe = &Probe{Operation: "ping"} }, "probe.operation"},
		{"a poll without a name", func(c *Config) { c.Polls[0].Name = "" }, "polls[0].name"},
		{"two polls of one name", func(c *Config) { c.Polls = append(c.Polls, c.Polls[0]) }, "polls[1].name"},
		{"a poll by a write", func(c *Config) { c.Polls[0].Operation = "createMaterial" }, "polls[0].operation"},
		{"a poll by a parameter that is not there", func(c *Config) { c.Polls[0].Since = "after" }, "polls[0]"},
		{"a poll that never moves", func(c *Config) { c.Polls[0].Token = "" }, "polls[0]"},
		{"a poll that cannot tell a state that comes back", func(c *Config) { c.Polls[0].Version, c.Polls[0].Time = "", "" }, "polls[0].version"},
		{"a poll without a key", func(c *Config) { c.Polls[0].Key = "" }, "polls[0].key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := plainERP("https://erp.example/api/")
			c.Polls = []PollConfig{materialsPoll()}
			tt.change(&c)
			_, err := Open(c, noSecret, slog.New(slog.DiscardHandler))
			if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), tt.key+":") {
				t.Fatalf("err = %v, want one that names %s", err, tt.key)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
}

// TestTheDemosTimesAreGood: those of the configuration that holdfast init writes, and the shortest that are.
func TestTheDemosTimesAreGood(t *testing.T) {
	for _, times := range [][2]time.Duration{{2 * time.Second, 3 * time.Second}, {30 * time.Second, time.Minute}, {time.Second, time.Second}} {
		c := plainERP("https://erp.example")
		c.Timeout, c.AskAfter = times[0], times[1]
		if got := open(t, c).cfg.AskAfter; got != times[1] {
			t.Errorf("ask_after of %s became %s", times[1], got)
		}
	}
}

func TestWarningsNameWritesThatAPersonMustSettle(t *testing.T) {
	c := plainERP("https://erp.example")
	if got := open(t, c).Warnings(); len(got) != 1 || !strings.Contains(got[0], "reads no orders back") {
		t.Errorf("every write can be asked about, and nothing is read back, but: %q", got)
	}
	c.Reads = plainReads()
	if got := open(t, c).Warnings(); len(got) != 0 {
		t.Errorf("nothing is left open, but: %q", got)
	}
	c.Default.Ask = nil
	got := strings.Join(open(t, c).Warnings(), "\n")
	if !strings.Contains(got, "createConfirmation") || strings.Contains(got, "listConfirmations") {
		t.Errorf("warnings:\n%s", got)
	}
}

func TestAcceptsTellsMappingsApart(t *testing.T) {
	l := open(t, plainERP("https://erp.example"))
	for target, want := range map[string]bool{"createConfirmation": true, "listConfirmations": false, "create": false} {
		if got := l.Accepts(target) == nil; got != want {
			t.Errorf("%s accepted: %t, want %t", target, got, want)
		}
	}
}

func TestCheckTriesTheConnection(t *testing.T) {
	tests := []struct {
		name   string
		status int
		probe  bool
		ok     bool
	}{
		{"anything will do", 404, false, true},
		{"not signed in", 401, false, false},
		{"an error", 500, false, false},
		{"the probe answers", 200, true, true},
		{"the probe is not there", 404, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := patient(asked(t, tt.status, "application/json", "{}"), specFile(t, pollDocument))
			if tt.probe {
				c.Probe = &Probe{Operation: "things", Params: map[string]string{"since": "1"}}
			}
			if err := open(t, c).Check(t.Context()); (err == nil) != tt.ok {
				t.Errorf("err = %v, want none: %t", err, tt.ok)
			}
		})
	}
	err := open(t, plainERP("http://127.0.0.1:1")).Check(t.Context())
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "the ERP was not reached") {
		t.Errorf("nobody listens: err = %v", err)
	}
}

// TestTheDocumentedConfigurationWorks reads the example of docs/rest-link.md as the program does.
func TestTheDocumentedConfigurationWorks(t *testing.T) {
	doc, err := os.ReadFile("../../docs/rest-link.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	var file struct {
		Links map[string]struct {
			Kind   string `yaml:"kind"`
			Config `yaml:",inline"`
		} `yaml:"links"`
	}
	if err := yaml.Load([]byte(example), &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	c := file.Links["erp"].Config
	c.Spec, c.TLS.CA = Builtin, "" // the files of the example are not here
	l := open(t, c)
	if len(l.Polls()) != 1 || l.cfg.AskAfter != time.Minute || l.cfg.Operations["cancelConfirmation"].Answers[409] != MeansDelivered {
		t.Errorf("read as %+v", l.cfg)
	}
}
