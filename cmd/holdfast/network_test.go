package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/amqp"
	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/adapters/sap/idoc"
)

// TestTracesGoWhereTheEnvironmentSays: of two variables the exporter takes that of traces.
func TestTracesGoWhereTheEnvironmentSays(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all.example:4318")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces.example:4319/v1/traces")
	list, err := defaults().endpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if e.Direction == "out" {
			out = append(out, e.String()+" "+e.Key)
		}
	}
	if want := []string{"traces.example:4319 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}; !slices.Equal(out, want) {
		t.Errorf("got %q, want %q", out, want)
	}
}

// TestEachAddressIsListed: every way in which a configuration can name somebody to call, or a port to open.
func TestEachAddressIsListed(t *testing.T) {
	t.Setenv("DATABASE", "postgres://plant:s3cret@db.plant.example/plant?sslmode=verify-full")
	cfg := defaults()
	cfg.Database.URL = "env:DATABASE"
	cfg.API.Listen = ":8420"
	cfg.Telemetry.Endpoint = "https://traces.example/v1"
	cfg.Keys.Vault.Address = "https://vault.example:8200"
	cfg.Backup = &BackupConfig{Places: []BackupPlaceConfig{{Folder: "/backups"}, {SFTP: "far.example:22", HostKey: "ssh-ed25519 AAAA"}, {S3: "https://s3.example"}}}
	cfg.SIEM = []CollectorConfig{{Address: "siem.example:6514"}}
	cfg.Access = &AccessConfig{URL: "https://console.example", Issuers: []IssuerConfig{{Issuer: "https://iss.example", JWKS: "https://keys.example/jwks"}}}
	cfg.Access.Directory = &DirectoryConfig{URLs: []string{"ldaps://dc1.example", "ldap://dc2.example:3389"}}
	cfg.Alerts = AlertsConfig{Webhooks: []WebhookConfig{{URL: "https://hook.example/a"}}, Mail: &MailConfig{Server: "mail.example:587"}}
	var dial amqp.Config
	dial.Addresses = []string{"amqps://mq1.example/plant", "amqp://mq2.example:5673/plant"}
	cfg.Links = map[string]LinkConfig{
		"rest":  {Kind: "rest", REST: rest.Config{BaseURL: "https://erp.example/api"}, OData: odata.Config{BaseURL: "https://unused.example"}},
		"odata": {Kind: "odata", OData: odata.Config{BaseURL: "http://10.20.0.15:8000", Hosts: []string{"alias.example"}}},
		"idoc":  {Kind: "sap-idoc", IDoc: idocConfig{Config: idoc.Config{Receive: &idoc.Receive{Listen: "10.10.0.7:8443"}}, AMQP: &dial}},
		"keys":  {Kind: "rest", Verify: VerifyConfig{Authority: "plant.example", Receipts: "erp.jwks", Senders: []SenderConfig{{Keys: "https://jwks.example:8443/keys"}}}},
	}
	list, err := cfg.endpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, len(list))
	for i, e := range list {
		got[i] = e.Direction + " " + e.String() + " " + e.Key
	}
	want := []string{
		"in 0.0.0.0:8420 api.listen",
		"in 10.10.0.7:8443 links.idoc.receive.listen",
		"in 127.0.0.1:8421 ops.listen",
		"out dc1.example:636 access.directory.urls",
		"out dc2.example:3389 access.directory.urls",
		"out keys.example:443 access.issuers[0].jwks",
		"out mail.example:587 alerts.mail.server",
		"out hook.example:443 alerts.webhooks[0].url",
		"out far.example:22 backup.places[1].sftp",
		"out s3.example:443 backup.places[2].s3",
		"out db.plant.example:5432 database.url",
		"out vault.example:8200 keys.vault.address",
		"out mq1.example:5671 links.idoc.amqp.addresses",
		"out mq2.example:5673 links.idoc.amqp.addresses",
		"out jwks.example:8443 links.keys.verify.senders[0].keys",
		"out 10.20.0.15:8000 links.odata.base_url",
		"out erp.example:443 links.rest.base_url",
		"out siem.example:6514 siem[0].address",
		"out traces.example:443 telemetry.endpoint",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

// TestNoKeyThatSoundsLikeAnAddressIsForgotten: whoever adds one says whether it is listed.
func TestNoKeyThatSoundsLikeAnAddressIsForgotten(t *testing.T) {
	sounds := regexp.MustCompile(`(?i)addr|broker|endpoint|host|issuer|jwks|listen|port$|s3$|server|sftp|smtp|ur[il]|webhook`)
	seen := map[reflect.Type]bool{}
	var walk func(at reflect.Type, key string)
	walk = func(at reflect.Type, key string) {
		switch at.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(at.Elem(), key)
		case reflect.String:
			if last := key[strings.LastIndexByte(key, '.')+1:]; sounds.MatchString(last) && directionOf(key) == "" &&
				!slices.Contains(notCalled, last) && !slices.Contains(notCalled, key) {
				t.Errorf("%s sounds like an address: name it in listenKeys, reachKeys or notCalled", key)
			}
		case reflect.Struct:
			if seen[at] {
				return
			}
			seen[at] = true
			for i := range at.NumField() {
				name, options, _ := strings.Cut(at.Field(i).Tag.Get("yaml"), ",")
				if options == "inline" || name == "-" {
					name = ""
				}
				if at.Field(i).IsExported() {
					walk(at.Field(i).Type, strings.Trim(key+"."+name, "."))
				}
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	if len(seen) < 40 {
		t.Errorf("only %d structs were walked", len(seen))
	}
}

func TestThePolicyLetsThroughWhatItNames(t *testing.T) {
	p := &NetworkPolicy{Listen: []int{8420}, Reach: []ReachRule{{Hosts: []string{"erp.example", "*.plant.example", "10.20.0.0/24"}, Ports: []int{443}}}}
	for e, want := range map[endpoint]string{
		{Direction: "in", Host: "0.0.0.0", Port: 8420}:                    "allowed",
		{Direction: "in", Host: "0.0.0.0", Port: 8421}:                    "refused",
		{Direction: "in", Host: "127.0.0.1", Port: 8421}:                  "local",
		{Direction: "out", Host: "ERP.example", Port: 443}:                "allowed",
		{Direction: "out", Host: "erp.example", Port: 80}:                 "refused",
		{Direction: "out", Host: "db.plant.example", Port: 443}:           "allowed",
		{Direction: "out", Host: "evilplant.example", Port: 443}:          "refused",
		{Direction: "out", Host: "10.20.0.9", Port: 443}:                  "allowed",
		{Direction: "out", Host: "::ffff:10.20.0.9", Port: 443}:           "allowed",
		{Direction: "out", Host: "10.20.1.9", Port: 443}:                  "refused",
		{Direction: "out", Host: "no-such-name.invalid", Port: 443}:       "refused",
		{Direction: "out", Host: "localhost", Port: 1}:                    "local",
		{Direction: "out", Host: "127.0.0.1.attacker.example", Port: 443}: "refused",
	} {
		if got := p.verdict(t.Context(), e); got != want {
			t.Errorf("%s %s is %s, want %s", e.Direction, e, got, want)
		}
	}
}

// TestOnlyWhatIsListedIsListenedOn looks at the sockets of a plant that serves.
func TestOnlyWhatIsListedIsListenedOn(t *testing.T) {
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		t.Skip("skipped for want of /proc: it needs Linux")
	}
	t.Chdir(t.TempDir())
	command(t, "init", ".")
	text, err := os.ReadFile("holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`127\.0\.0\.1:842[01]`).ReplaceAll(text, []byte("127.0.0.1:0"))
	if err := os.WriteFile("holdfast.yaml", text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig("holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := cfg.endpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := listening(t)
	background(t, "serve").find(t, `console=(\S+)`)
	opened := 0
	for _, address := range listening(t) {
		if slices.Contains(before, address) {
			continue
		}
		opened++
		if !strings.HasPrefix(address, "127.0.0.1:") {
			t.Errorf("it listens on %s", address)
		}
	}
	named := slices.IndexFunc(list, func(e endpoint) bool { return e.Direction != "in" })
	if opened != named || named != 2 {
		t.Errorf("%d ports were opened, %d are named: %v", opened, named, list)
	}
}

// listening is what this process listens on.
func listening(t *testing.T) (out []string) {
	t.Helper()
	sockets := map[string]bool{}
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("read its files: %v", err)
	}
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil {
			sockets[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && sockets[f[9]] { // 0A is LISTEN
				out = append(out, socketAddress(t, f[1]))
			}
		}
	}
	return out
}

// socketAddress reads an address of /proc/net/tcp: 0100007F:20E4 is 127.0.0.1:8420.
func socketAddress(t *testing.T, hex string) string {
	t.Helper()
	host, port, _ := strings.Cut(hex, ":")
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil || len(host) != 8 {
		return hex // of IPv6: nobody has named one
	}
	n, err := strconv.ParseUint(host, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}), uint16(p)).String()
}

// TestTheShippedPoliciesSayTheSame: deploy/network.yaml, the rules of nftables and the NetworkPolicy.
func TestTheShippedPoliciesSayTheSame(t *testing.T) {
	p, err := readNetworkPolicy("../../deploy/network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	nft, err := os.ReadFile("../../deploy/nftables/holdfast.nft")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fromNFT(string(nft)), pairs(p); !slices.Equal(got, want) {
		t.Errorf("holdfast.nft lets through %q, network.yaml %q", got, want)
	}
	manifests, err := os.ReadFile("../../deploy/kubernetes/holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range fromKubernetes(string(manifests)) {
		if !slices.Contains(pairs(p), pair) {
			t.Errorf("the NetworkPolicy lets through %s, network.yaml does not", pair)
		}
	}
}

// pairs is "in PORT" and "out HOST:PORT" of a policy, in order.
func pairs(p *NetworkPolicy) (out []string) {
	for _, port := range p.Listen {
		out = append(out, fmt.Sprint("in ", port))
	}
	for _, r := range p.Reach {
		for _, h := range r.Hosts {
			for _, port := range r.Ports {
				out = append(out, fmt.Sprintf("out %s:%d", h, port))
			}
		}
	}
	slices.Sort(out)
	return out
}

var (
	nftSet   = regexp.MustCompile(`set (\w+) \{[^}]*elements = \{ ([^}]+) \}`)
	nftRule  = regexp.MustCompile(`ip (saddr|daddr) @(\w+) tcp dport (?:\{ ([^}]+) \}|(\d+)) accept`)
	kubeRule = regexp.MustCompile(`cidr: ([\d.]+)/32\}\n\s+ports:\n((?:\s+- \{port: \d+, protocol: TCP\}\n?)+)`)
	portText = regexp.MustCompile(`\d+`)
)

// fromNFT leaves out SSH and DNS, which are the machine's and not Holdfast's.
func fromNFT(text string) (out []string) {
	sets := map[string][]string{}
	for _, m := range nftSet.FindAllStringSubmatch(text, -1) {
		sets[m[1]] = strings.Split(m[2], ", ")
	}
	for _, m := range nftRule.FindAllStringSubmatch(text, -1) {
		for _, port := range portText.FindAllString(m[3]+m[4], -1) {
			switch {
			case port == "22" || port == "53":
			case m[1] == "saddr":
				out = append(out, "in "+port)
			default:
				for _, host := range sets[m[2]] {
					out = append(out, "out "+host+":"+port)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func fromKubernetes(text string) (out []string) {
	for _, m := range kubeRule.FindAllStringSubmatch(text, -1) {
		for _, port := range regexp.MustCompile(`port: (\d+)`).FindAllStringSubmatch(m[2], -1) {
			out = append(out, "out "+m[1]+":"+port[1])
		}
	}
	return out
}
