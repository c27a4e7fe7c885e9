package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/problem"
)

// good is what init writes.
func good(t testing.TB) string {
	t.Helper()
	text, err := initial{
		Plant: "1000", Zone: "Europe/Berlin", Database: "sqlite:holdfast.db", API: "127.0.0.1:8420", Ops: "127.0.0.1:8421",
		ERP: "http://127.0.0.1:8422", Every: "5s", Rate: 50,
	}.write()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheWrittenConfigurationIsTaken(t *testing.T) {
	cfg, err := parseConfig("/etc/holdfast/holdfast.yaml", []byte(good(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Database.URL, "sqlite:/etc/holdfast/holdfast.db"; got != want {
		t.Errorf("the database is %s, want %s: a relative path begins beside the file", got, want)
	}
	if got, want := cfg.Links["erp"].REST.Timeout, 30*time.Second; got != want {
		t.Errorf("the timeout is %s, want %s", got, want)
	}
	if got, want := cfg.Plant.Source, "urn:holdfast:plant:1000"; got != want {
		t.Errorf("the source is %s, want %s", got, want)
	}
	if got, want := len(cfg.Links["erp"].REST.Polls), 5; got != want {
		t.Errorf("%d polls, want %d", got, want)
	}
}

// TestEachMistakeIsToldWithItsLine makes one mistake at a time in a good file.
func TestEachMistakeIsToldWithItsLine(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           []string // in what a person reads; the line is checked besides
	}{
		{"an unknown section", "log:", "logs:", []string{"logs: there is no such key", "did you mean log?"}},
		{"a misspelt key", "    timeout: 30s", "    tiemout: 30s", []string{"links.erp.tiemout: there is no such key", "did you mean timeout?"}},
		{"a key that is there twice", "    timeout: 30s", "    timeout: 30s\n    timeout: 40s", []string{"links.erp.timeout: it is there twice"}},
		{"a time without a unit", "timeout: 30s", "timeout: 30", []string{"links.erp.timeout: it is no length of time", "write 500ms, 30s"}},
		{"a number in words", "concurrency: 8 ", "concurrency: many ", []string{"links.erp.concurrency: it is no whole number"}},
		{"a percentage with its sign", `over_delivery: "5" `, `over_delivery: "5 %" `, []string{"plant.over_delivery", "decimal number such as 12.5"}},
		{"a zone that is none", "zone: Europe/Berlin", "zone: Europe/Krefeld", []string{"plant.zone: it is no time zone"}},
		{"a plant number that is too long", `number: "1000"`, `number: "10000"`, []string{"plant.number"}},
		{"an address that others reach", "listen: 127.0.0.1:8420", "listen: 0.0.0.0:8420", []string{"api.listen", "not a loopback address"}},
		{"both listeners on one port", "listen: 127.0.0.1:8421", "listen: 127.0.0.1:8420", []string{"ops.listen: it is the address of api.listen"}},
		{"a level that is none", "level: info", "level: verbose", []string{"log.level", "debug, info, warn, error"}},
		{"a format that is nearly one", "format: text", "format: jsn", []string{"log.format", "did you mean json?"}},
		{"a lease that is too short", "log:", "outbox: {lease: 2s}\nlog:", []string{"outbox.lease: 2s is less than 3s", "renewed each third"}},
		{"a question that comes too early", "ask_after: 60s", "ask_after: 30s", []string{"links.erp.ask_after: 30s is less than the timeout of 30s and a second", "write 31s or more"}},
		{"another database", "url: sqlite:holdfast.db", "url: mysql://db/holdfast", []string{"database.url: it is neither sqlite: nor postgres:"}},
		{"a password in the URL", "url: sqlite:holdfast.db", "url: postgres://u:hunter2@db/holdfast", []string{"database.url: it has a password in it", "file:"}},
		{"a secret written out", `# auth: {bearer: "env:ERP_TOKEN"}`, `auth: {bearer: hunter2}`, []string{"links.erp.auth.bearer: it is no reference to a secret"}},
		{"a secret in Vault", `# auth: {bearer: "env:ERP_TOKEN"}`, `auth: {bearer: "vault:kv/erp#token"}`, []string{"links.erp.auth.bearer: the plant has no Vault"}},
		{"a credential among the headers", "    concurrency: 8", "    headers: {X-Api-Key: hunter2}\n    concurrency: 8", []string{"it looks like a credential"}},
		{"a kind that is nearly one", "kind: rest", "kind: odate", []string{"links.erp.kind: it is none of amqp, odata, rest, sap", "did you mean odata?"}},
		{"a link without an address", "    base_url: http://127.0.0.1:8422\n", "", []string{"links.erp.base_url: it is missing"}},
		{"a route to no link", "    link: erp", "    link: erb", []string{"routes[0].link: there is no link of this name", "did you mean erp?"}},
		{"a route of nothing", "kinds: [order.created, order.completed, operation.confirmed, confirmation.reversed, \"goods.*\", lot.created, lot.changed, inspection.recorded]", "kinds: []", []string{"routes[0].kinds: it is missing"}},
		{"a list that is none", `kinds: [order.created, order.completed, operation.confirmed, confirmation.reversed, "goods.*", lot.created, lot.changed, inspection.recorded]`, "kinds: order.created", []string{"routes[0].kinds: it is a list"}},
		{"an anchor", "log:", "log: &log", []string{"log: anchors and aliases are not part of this file"}},
		{"a tab", "  format: text", "\tformat: text", []string{"this is not YAML", "indent with spaces"}},
	}
	// elsewhere is how many lines further on a mistake is told: at the second of two, or at what the missing thing belongs to.
	elsewhere := map[string]int{"a key that is there twice": 1, "a link without an address": -2}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := good(t)
			at := strings.Index(text, tt.old)
			if at < 0 {
				t.Fatalf("the file has no %q", tt.old)
			}
			_, err := parseConfig("holdfast.yaml", []byte(strings.Replace(text, tt.old, tt.new, 1)))
			if err == nil {
				t.Fatal("the file was taken")
			}
			var b strings.Builder
			printError(&b, err)
			for _, want := range tt.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("got\n%swant it to say %q", b.String(), want)
				}
			}
			if strings.Contains(b.String(), "hunter2") {
				t.Errorf("a secret is told:\n%s", b.String())
			}
			if got := problem.KindOf(err); got != problem.Invalid {
				t.Errorf("kind %s, want %s", got, problem.Invalid)
			}
			line := strings.Count(text[:at], "\n") + 1 + elsewhere[tt.name]
			if want := fmt.Sprintf("holdfast.yaml:%d: ", line); !strings.Contains(b.String(), want) {
				t.Errorf("got\n%swant it to begin with %s", b.String(), want)
			}
		})
	}
}

// TestAllMistakesAreToldAtOnce: what cannot be read and what makes no sense stand in one report, in the order of the file, each once.
func TestAllMistakesAreToldAtOnce(t *testing.T) {
	text := strings.NewReplacer(
		"zone: Europe/Berlin", "zone: Mars", `over_delivery: "5"`, `over_delivery: "-5"`, "level: info", "level: loud", "format: text", "fromat: text",
		"kind: rest", "kind: telex", "base_url:", "base_ulr:", "concurrency: 8", "concurrency: many", "    link: erp", "    link: erb",
	).Replace(good(t))
	_, err := parseConfig("holdfast.yaml", []byte(text))
	var got []string
	last := 0
	for _, e := range leaves(err) {
		p, ok := errors.AsType[*problem.Error](e)
		if !ok {
			t.Fatalf("got %v, want a problem", e)
		}
		var line int
		if _, err := fmt.Sscanf(p.What, "holdfast.yaml:%d:", &line); err != nil || line < last {
			t.Errorf("%q stands behind line %d (%v)", p.What, last, err)
		}
		got, last = append(got, p.Fields[0].Pointer), line
	}
	want := []string{
		"plant.zone", "plant.over_delivery", "log.fromat", "log.level", "links.erp.kind", "links.erp.base_ulr", "links.erp.concurrency", "routes[0].link",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestSecretsAreFoundAndNeverTold(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{file: filepath.Join(dir, "holdfast.yaml")}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOLDFAST_TEST_TOKEN", "fromenv")
	tests := []struct {
		name, reference, want string
		kind                  problem.Kind
	}{
		{"a file beside the configuration", "file:token", "s3cret", ""},
		{"a variable", "env:HOLDFAST_TEST_TOKEN", "fromenv", ""},
		{"a file that is not there", "file:tokens", "", problem.Invalid},
		{"a variable that is not set", "env:HOLDFAST_TEST_NONE", "", problem.Invalid},
		{"Vault", "vault:kv/erp", "", problem.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cfg.secret(t.Context(), tt.reference)
			if got != tt.want || problem.KindOf(err) != tt.kind {
				t.Errorf("got %q, %v, want %q and kind %q", got, err, tt.want, tt.kind)
			}
			if p, ok := errors.AsType[*problem.Error](err); ok && p.Hint == "" {
				t.Errorf("%v says not what to do", err)
			}
		})
	}
}

// FuzzConfig: whatever the file says, it is taken or told what is wrong, with a hint; and what was taken can be checked again.
func FuzzConfig(f *testing.F) {
	// Small ones: what is found from a large one takes minutes to be made small.
	f.Add("plant: {number: \"1\", over_issue: 1.5}\nlog: {level: info}\nrelay: {poll: 1s}\n")
	f.Add("plant: {number: \"1\"}\nlinks: {a: {kind: rest, base_url: x, spec: y, operations: {c: {answers: {409: delivered}}}}}\n")
	f.Add("a: &a [*a]\n")
	f.Add("links: {erp: {auth: {basic: {user: a, password: b}}}}")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := parseConfig("/x/holdfast.yaml", []byte(text))
		if err == nil {
			if again := cfg.check(); again != nil {
				t.Errorf("taken, and then not: %v", again)
			}
			return
		}
		for _, e := range leaves(err) {
			p, ok := errors.AsType[*problem.Error](e)
			if !ok || p.Kind != problem.Invalid || p.Hint == "" || p.Why == "" {
				t.Errorf("got %#v, want a problem that says why and what to do", e)
			}
		}
	})
}

// TestEveryKeyIsDocumented holds docs/configuration.md against the sections; the keys of a rest link are in a document of their own.
func TestEveryKeyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("docs/configuration.md does not explain `%s`", key)
		}
	}
}

// keysOf lists the keys of a section; those of an entry of a list or a table stand alone.
func keysOf(t reflect.Type, path string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue // not of the file, or inlined: the link's own document
		}
		switch f.Type.Kind() {
		case reflect.Struct:
			if f.Type.NumField() > 0 && f.Type.PkgPath() == t.PkgPath() {
				out = append(out, keysOf(f.Type, name+".")...)
				continue
			}
		case reflect.Map, reflect.Slice:
			if f.Type.Elem().Kind() == reflect.Struct {
				out = append(out, keysOf(f.Type.Elem(), "")...)
				continue
			}
		}
		out = append(out, path+name)
	}
	return out
}

// TestWhatASenderSignsIsForThisPlantAndThisRequest: a link that believes signatures says by which name they are meant for it, and signs the
// requests whose signed answers it believes.
func TestWhatASenderSignsIsForThisPlantAndThisRequest(t *testing.T) {
	const sender = "keys: k.json, sources: [urn:erp], kinds: [\"*\"]}]}\n"
	tests := []struct{ name, kind, keys, want string }{
		{"an ERP that signs", "rest", "    proof: http-signature\n    verify: {authority: a.example, senders: [{name: s, form: http-signature, " + sender, ""},
		{"for no host", "rest", "    proof: http-signature\n    verify: {senders: [{name: s, form: http-signature, " + sender, "links.x.verify.authority: it is missing"},
		{"of requests without proof", "rest", "    verify: {authority: a.example, senders: [{name: s, form: http-signature, " + sender, "links.x.proof: answers"},
		{
			"of requests by webhook", "rest", "    proof: standard-webhooks\n    verify: {authority: a.example, senders: [{name: s, form: http-signature, " + sender,
			"links.x.proof: answers",
		},
		{"a webhook", "rest", "    verify: {senders: [{name: s, form: standard-webhooks, " + sender, ""},
		{"an event", "amqp", "    verify: {audience: to-1000, senders: [{name: s, form: jws, " + sender, ""},
		{"an event for no plant", "amqp", "    verify: {senders: [{name: s, form: jws, " + sender, "links.x.verify.audience: it is missing"},
		{"another plant, for no plant", "amqp", "    verify: {senders: [{name: s, form: holdfast, " + sender, "links.x.verify.audience: it is missing"},
	}
	of := map[string]string{
		"rest": "    base_url: http://127.0.0.1:1\n    spec: builtin:erp\n",
		"amqp": "    addresses: [\"amqp://127.0.0.1:1\"]\n    user: u\n    password: env:P\n    queues: [{name: q}]\n    receive: {queue: q}\n",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "plant: {number: \"1000\"}\nlinks:\n  x:\n    kind: " + tt.kind + "\n" + of[tt.kind] + tt.keys
			_, err := parseConfig("holdfast.yaml", []byte(text))
			var b strings.Builder
			if err != nil {
				printError(&b, err)
			}
			if (err == nil) != (tt.want == "") || !strings.Contains(b.String(), tt.want) {
				t.Errorf("got %q, want it to say %q", b.String(), tt.want)
			}
		})
	}
}

// TestTheDocumentedAMQPLinkIsRead: the example of docs/amqp-link.md is a configuration.
func TestTheDocumentedAMQPLinkIsRead(t *testing.T) {
	text, err := os.ReadFile("../../docs/amqp-link.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	cfg, err := parseConfig("holdfast.yaml", []byte("plant: {number: \"1000\"}\n"+example))
	if err != nil {
		t.Fatal(err)
	}
	if l := cfg.Links["erp"]; l.AMQP.Publish == nil || l.AMQP.Receive == nil || len(l.AMQP.Queues) != 2 {
		t.Errorf("the link is %+v", l.AMQP)
	}
}
