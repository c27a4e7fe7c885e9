package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// The keys of holdfast.yaml that open a port, those that name who is called, and those that only sound like either. A test fails when a key that
// sounds like an address is in none of them.
var (
	listenKeys = []string{"listen"}
	reachKeys  = []string{"address", "addresses", "base_url", "endpoint", "issuer", "jwks", "keys", "receipts", "s3", "server", "sftp", "token_url", "url", "urls"}
	// notCalled are an access token's iss, a client's and the console's own addresses, names inside certificates, signatures and IDocs, and an ERP's
	// other names.
	notCalled = []string{"access.clients.uri", "access.issuers.issuer", "access.url", "authority", "host_key", "hosts", "port", "server_name"}
)

// defaultPorts are those of addresses that name none.
var defaultPorts = map[string]int{
	"http": 80, "https": 443, "amqp": 5672, "amqps": 5671, "ldap": 389, "ldaps": 636, "postgres": 5432, "postgresql": 5432, "smtp": 25, "smtps": 465,
}

// endpoint is a port that serve opens, or a host that it calls.
type endpoint struct {
	Key       string `json:"key"`       // of holdfast.yaml
	Direction string `json:"direction"` // in or out
	Host      string `json:"host"`      // name or address; for what listens the address listened at
	Port      int    `json:"port"`
	Verdict   string `json:"verdict,omitempty"` // allowed, local or refused; empty without a policy
}

func (e endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// local tells whether nothing leaves or enters the machine.
func (e endpoint) local() bool {
	a, err := netip.ParseAddr(e.Host)
	return e.Host == "localhost" || err == nil && a.IsLoopback()
}

// endpoints is every port that serve opens and every host that it calls, in the order of their keys. Hosts that others name only while they are
// called (an OpenID Connect provider's own endpoints, the nodes of a cluster) are not among them.
func (c Config) endpoints(ctx context.Context) ([]endpoint, error) {
	var out []endpoint
	var errs []error
	eachText(reflect.ValueOf(c), "", func(key, text string) {
		direction := directionOf(key)
		if direction == "" || text == "" {
			return
		}
		e, err := c.endpoint(ctx, key, text)
		if err != nil || e == nil {
			errs = append(errs, err)
			return
		}
		e.Direction = direction
		out = append(out, *e)
	})
	name := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" // goes before the other, as the exporter has it
	if os.Getenv(name) == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	}
	if traces := os.Getenv(name); traces != "" && c.Telemetry.Endpoint == "" {
		e, err := c.endpoint(ctx, name, traces)
		errs = append(errs, err)
		if e != nil {
			e.Direction = "out"
			out = append(out, *e)
		}
	}
	slices.SortStableFunc(out, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Key, b.Key))
	})
	return out, errors.Join(errs...)
}

// directionOf is in, out or neither.
func directionOf(key string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	switch plain := withoutNames(key); {
	case slices.Contains(notCalled, last), slices.Contains(notCalled, plain):
		return ""
	case slices.Contains(listenKeys, last):
		return "in"
	case slices.Contains(reachKeys, last):
		return "out"
	}
	return ""
}

// withoutNames cuts places in lists out of a key: access.issuers[0].issuer is access.issuers.issuer.
func withoutNames(key string) string {
	for {
		before, rest, found := strings.Cut(key, "[")
		_, after, closed := strings.Cut(rest, "]")
		if !found || !closed {
			return key
		}
		key = before + after
	}
}

// endpoint reads an address; nil is what names no host, as a file does.
func (c Config) endpoint(ctx context.Context, key, text string) (*endpoint, error) {
	if key == "database.url" {
		return c.databaseEndpoint(ctx)
	}
	host, port, err := net.SplitHostPort(text)
	if scheme, _, found := strings.Cut(text, "://"); found {
		u, err := url.Parse(text)
		if err != nil {
			return nil, &problem.Error{Kind: problem.Invalid, What: "read the address of " + key, Why: "it is no URL", Hint: "write https://host:port"}
		}
		host, port = u.Hostname(), cmp.Or(u.Port(), strconv.Itoa(defaultPorts[scheme]))
	} else if err != nil {
		return nil, nil // a file
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the address of " + key, Why: "its port is no number from 0 to 65535", Hint: "write host:port"}
	}
	return &endpoint{Key: key, Host: cmp.Or(host, "0.0.0.0"), Port: int(n)}, nil
}

// databaseEndpoint is where PostgreSQL is; nil for a file or a socket of this machine.
func (c Config) databaseEndpoint(ctx context.Context) (*endpoint, error) {
	text, err := c.databaseURL(ctx)
	if err != nil {
		return nil, err
	}
	host, port, err := store.Address(text)
	if err != nil || host == "" {
		return nil, err
	}
	return &endpoint{Key: "database.url", Host: host, Port: port}, nil
}

// eachText calls f for each text and each member of a list of texts in v, with its key as holdfast.yaml has it.
func eachText(v reflect.Value, key string, f func(key, text string)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachText(v.Elem(), key, f)
		}
	case reflect.String:
		f(key, v.String())
	case reflect.Slice:
		for i := range v.Len() {
			if item := v.Index(i); item.Kind() == reflect.String {
				eachText(item, key, f)
			} else {
				eachText(item, fmt.Sprintf("%s[%d]", key, i), f)
			}
		}
	case reflect.Map:
		for _, name := range v.MapKeys() {
			eachText(v.MapIndex(name), under(key, name.String()), f)
		}
	case reflect.Struct:
		eachField(v, key, f)
	}
}

func eachField(v reflect.Value, key string, f func(key, text string)) {
	if l, ok := v.Interface().(LinkConfig); ok {
		_, kinds := l.Variants()
		eachText(reflect.ValueOf(kinds[l.Kind]), key, f)
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case options == "inline":
			eachText(v.Field(i), key, f)
		case name != "":
			eachText(v.Field(i), under(key, name), f)
		}
	}
}

func under(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// NetworkPolicy is what the plant's segment lets through: a file that whoever guards the network keeps (deploy/network.yaml).
type NetworkPolicy struct {
	Listen []int       `yaml:"listen"` // ports that others may reach
	Reach  []ReachRule `yaml:"reach"`
}

// ReachRule lets hosts be called.
type ReachRule struct {
	Hosts []string `yaml:"hosts"` // names, *.names, addresses or networks such as 10.20.0.0/24
	Ports []int    `yaml:"ports"`
}

// readNetworkPolicy reads a file. Its error joins a problem for each mistake, with file and line.
func readNetworkPolicy(file string) (*NetworkPolicy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &problem.Error{Kind: problem.NotFound, What: "read the network's policy " + file, Why: why(err), Hint: "name another file with --policy; deploy/network.yaml is one to begin with"}
	}
	var p NetworkPolicy
	if _, err := strict.Decode(file, text, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// verdict says whether the policy lets e through. Names are looked up where only addresses are allowed: each of them must be.
func (p *NetworkPolicy) verdict(ctx context.Context, e endpoint) string {
	switch {
	case e.local():
		return "local"
	case e.Direction == "in" && slices.Contains(p.Listen, e.Port):
		return "allowed"
	case e.Direction == "out" && p.reaches(ctx, e):
		return "allowed"
	}
	return "refused"
}

func (p *NetworkPolicy) reaches(ctx context.Context, e endpoint) bool {
	if p.lets(e.Host, e.Port) {
		return true
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, e.Host)
	return err == nil && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return !p.lets(a, e.Port) })
}

func (p *NetworkPolicy) lets(host string, port int) bool {
	return slices.ContainsFunc(p.Reach, func(r ReachRule) bool {
		return slices.Contains(r.Ports, port) && slices.ContainsFunc(r.Hosts, func(rule string) bool { return matchesHost(rule, host) })
	})
}

func matchesHost(rule, host string) bool {
	if domain, found := strings.CutPrefix(rule, "*"); found {
		return strings.HasPrefix(domain, ".") && strings.HasSuffix(strings.ToLower(host), strings.ToLower(domain))
	}
	if strings.EqualFold(rule, host) {
		return true
	}
	network, err := netip.ParsePrefix(rule)
	a, notAddress := netip.ParseAddr(host)
	return err == nil && notAddress == nil && network.Contains(a.Unmap())
}

// doctorNetwork prints the list, and ends with status 1 if the policy refuses some of it.
func doctorNetwork(cmd *cobra.Command, policyFile string, asJSON bool) error {
	cfg, err := configOf(cmd)
	if err != nil {
		return err
	}
	list, err := cfg.endpoints(cmd.Context())
	if err != nil {
		return err
	}
	refused := 0
	if cmd.Flags().Changed("policy") {
		policy, err := readNetworkPolicy(policyFile)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Verdict = policy.verdict(cmd.Context(), list[i]); list[i].Verdict == "refused" {
				refused++
			}
		}
	}
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), list)
	} else {
		err = printEndpoints(cmd.OutOrStdout(), list, policyFile, refused)
	}
	if refused > 0 {
		return errors.Join(err, exitError(problem.Conflict.ExitStatus()))
	}
	return err
}

func printEndpoints(w io.Writer, list []endpoint, policyFile string, refused int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DIRECTION\tADDRESS\tKEY\tPOLICY")
	for _, e := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Direction, e, e.Key, cmp.Or(e.Verdict, "-"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case policyFile == "":
		fmt.Fprintln(w, "nothing else is opened or called, but what these themselves lead to (DNS, an OpenID Connect provider's own endpoints); to hold it against what the network lets through: --policy FILE")
	case refused > 0:
		fmt.Fprintf(w, "%s lets %s not through; change holdfast.yaml, or have whoever guards the network change that file and the firewall\n", policyFile, count(refused, "of them", "of them"))
	default:
		fmt.Fprintln(w, policyFile+" lets all of them through")
	}
	return nil
}
