package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/adapters/sap"
	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/httpapi"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// mostInline is how many bytes of a body may be kept in its message's own row.
const mostInline = 1 << 20

// checker gathers every mistake of a configuration.
type checker struct {
	strict.Places
	mistakes []error
	vault    bool // the plant has a Vault
}

// wrong notes a mistake, unless it would follow from one that has been told already: the value was not read as it stands there.
func (k *checker) wrong(path, why, hint string) {
	if !k.Sound(path) {
		return
	}
	k.mistakes = append(k.mistakes, k.Mistake(path, why, hint))
}

// among refuses a value that is none of the choices.
func (k *checker) among(path, value string, choices ...string) {
	if slices.Contains(choices, value) {
		return
	}
	hint := "write " + strings.Join(choices, ", ")
	if near := strict.Nearest(value, choices); near != "" {
		hint = "did you mean " + near + "?"
	}
	k.wrong(path, "it is none of "+strings.Join(choices, ", "), hint)
}

// check tells everything that is wrong with the values, as far as the file alone can show it.
func (c Config) check() error {
	k := &checker{Places: c.places, vault: c.Keys.Kind == keysVault}
	c.checkPlant(k)
	c.checkDatabase(k)
	if err := httpapi.CheckLoopback(c.Ops.Listen); err != nil {
		p, _ := errors.AsType[*problem.Error](err)
		k.wrong("ops.listen", p.Why, p.Hint)
	}
	c.checkAccess(k)
	if c.API.Listen == c.Ops.Listen && !strings.HasSuffix(c.API.Listen, ":0") {
		k.wrong("ops.listen", "it is the address of api.listen", "give it a port of its own, such as 127.0.0.1:8421")
	}
	k.among("log.format", c.Log.Format, "text", "json")
	k.among("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.among("mappings_policy", c.MappingsPolicy, "open", fourEyes)
	c.checkTelemetry(k)
	c.checkNotNegative(k)
	c.checkLease(k)
	c.checkKeys(k)
	c.checkAudit(k)
	c.checkBackup(k)
	c.checkReconcile(k)
	c.checkReadBacks(k)
	c.checkSensitive(k)
	c.checkAnomaly(k)
	c.checkSIEM(k)
	c.checkAlerts(k)
	for _, name := range slices.Sorted(maps.Keys(c.Links)) {
		checkLink(k, "links."+name, name, c.Links[name])
	}
	for i, r := range c.Routes {
		c.checkRoute(k, fmt.Sprintf("routes[%d]", i), r)
	}
	slices.SortFunc(k.mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }) // some come out of maps
	return errors.Join(k.mistakes...)
}

var plantNumber = regexp.MustCompile(`^[A-Za-z0-9_-]{1,4}$`)

func (c Config) checkPlant(k *checker) {
	if !plantNumber.MatchString(c.Plant.Number) {
		k.wrong("plant.number", "it is no plant number of one to four letters and digits", `give the plant's number in the ERP, in quotes, such as "1000"`)
	}
	if u, err := url.Parse(c.Plant.Source); err != nil || u.String() == "" {
		k.wrong("plant.source", "it is no URI-reference", "leave it out, or write urn:holdfast:plant:1000")
	}
	if _, err := time.LoadLocation(c.Plant.Zone); err != nil || c.Plant.Zone == "" || c.Plant.Zone == "Local" {
		k.wrong("plant.zone", "it is no time zone", "write a name of the IANA database, such as Europe/Berlin or UTC")
	}
	for at, percent := range map[string]int{
		"plant.over_delivery": c.Plant.OverDelivery.Sign(), "plant.over_issue": c.Plant.OverIssue.Sign(), "plant.over_receipt": c.Plant.OverReceipt.Sign(),
	} {
		if percent < 0 {
			k.wrong(at, "it is negative", "write percent, 0 for none")
		}
	}
}

func (c Config) checkDatabase(k *checker) {
	const at = "database.url"
	kind, rest, _ := strings.Cut(c.Database.URL, ":")
	switch kind {
	case "env", "file", "vault":
		checkReference(k, at, c.Database.URL)
	case "sqlite":
		if rest == "" {
			k.wrong(at, "it names no file", "write sqlite:holdfast.db; a relative path begins beside holdfast.yaml")
		}
	case "postgres", "postgresql":
		u, err := url.Parse(c.Database.URL)
		if err != nil || u.Host == "" {
			k.wrong(at, "it is no PostgreSQL URL", "write postgres://holdfast@db.example/holdfast")
			return
		}
		if _, has := u.User.Password(); has || u.Query().Has("password") {
			k.wrong(at, "it has a password in it", "put the whole URL into a file and write file:/run/secrets/database-url, or env:HOLDFAST_DATABASE_URL")
		}
	default:
		k.wrong(at, "it is neither sqlite: nor postgres:", "write sqlite:holdfast.db, postgres://holdfast@db.example/holdfast, or file:PATH or env:NAME that holds the URL")
	}
}

func (c Config) checkTelemetry(k *checker) {
	if e := c.Telemetry.Endpoint; e != "" {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			k.wrong("telemetry.endpoint", "it is no http or https address without credentials", "write http://127.0.0.1:4318")
		}
	}
	if p := c.Telemetry.SamplePercent; p < 0 || p > 100 {
		k.wrong("telemetry.sample_percent", "it is not between 0 and 100", "write 100 for every call, 1 for one of a hundred")
	}
}

func (c Config) checkNotNegative(k *checker) {
	for at, n := range map[string]int64{
		"api.body_limit": c.API.BodyLimit, "database.readers": int64(c.Database.Readers), "database.max_connections": int64(c.Database.MaxConnections),
		"relay.failures": int64(c.Relay.Failures), "inbox.max_body": int64(c.Inbox.MaxBody), "inbox.inline": int64(c.Inbox.Inline), "outbox.inline": int64(c.Outbox.Inline), "inbox.max_early": int64(c.Inbox.MaxEarly),
		"policy.replay_over": int64(c.Policy.ReplayOver), "inbox.keep_count": int64(c.Inbox.KeepCount), "inbox.batch": int64(c.Inbox.Batch),
		"outbox.restored_doubt": int64(c.Outbox.RestoredDoubt),
	} {
		if n < 0 {
			k.wrong(at, "it is negative", "leave it out for the default")
		}
	}
}

// checkLease refuses times by which a message could be sent twice, or none in time.
func (c Config) checkLease(k *checker) {
	const (
		least  = 3 * time.Second // it is renewed each third, and no request begins in its last second
		margin = time.Second     // for a request that began at its very end
	)
	if c.Inbox.MaxBody > message.MaxBody {
		k.wrong("inbox.max_body", fmt.Sprintf("%d is more than %d bytes", c.Inbox.MaxBody, message.MaxBody), "have what is larger sent in parts")
	}
	for key, n := range map[string]int{"outbox.inline": c.Outbox.Inline, "inbox.inline": c.Inbox.Inline} {
		if n > mostInline {
			k.wrong(key, fmt.Sprintf("%d is more than %d bytes: such a body is copied and held with each message", n, mostInline), "keep larger bodies beside their messages")
		}
	}
	if c.Outbox.Lease != 0 && c.Outbox.Lease < least {
		k.wrong("outbox.lease", fmt.Sprintf("%s is less than %s: it is renewed each third of it, and no request begins in its last second", c.Outbox.Lease, least),
			"leave it out for 10s; a shorter one only has the lanes of a dead node taken over sooner")
	}
	for name, link := range c.Links {
		timeout, ask, asks := link.patience()
		if !asks {
			continue
		}
		timeout = cmp.Or(timeout, 30*time.Second)
		need := timeout + margin
		if ask < need {
			k.wrong("links."+name+".ask_after", fmt.Sprintf("%s is less than the timeout of %s and a second: a request may begin at the end of a lease, "+
				"and whoever takes the lane then must not believe \"not found\" while it is under way", ask, timeout), fmt.Sprintf("write %s or more", need))
		}
	}
}

var linkName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

func checkLink(k *checker, at, name string, l LinkConfig) {
	if !linkName.MatchString(name) {
		k.wrong(at, "the name of a link is up to 40 small letters, digits and hyphens", "name it erp, or erp-eu")
	}
	if min(l.Rate, l.Concurrency, l.Batch, l.Attempts) < 0 {
		k.wrong(at, "rate, concurrency, batch and attempts are not negative", "leave them out for the default")
	}
	l.checkProofs(k, at)
	l.checkEncryption(k, at)
	kinds := linkKinds()
	switch kind, known := kinds[l.Kind]; {
	case known:
		kind.check(k, at, l)
	case l.Kind == "":
		k.wrong(at+".kind", "it is missing", "write kind: rest for an ERP's API, kind: sap for S/4HANA, kind: sap-idoc for SAP by IDocs, kind: odata for other OData services, or kind: amqp for RabbitMQ")
	default:
		k.among(at+".kind", l.Kind, slices.Sorted(maps.Keys(kinds))...)
	}
}

// checkREST tells what is wrong with a link over HTTP.
func checkREST(k *checker, at string, link LinkConfig) {
	l := link.REST
	for header := range l.Headers {
		if credential.MatchString(header) {
			k.wrong(at+".headers."+header, "it looks like a credential, and this file holds none", "put it under auth.header with a reference to the secret")
		}
	}
	checkRESTAuth(k, at+".auth", l.Auth)
	if l.BaseURL == "" {
		k.wrong(at+".base_url", "it is missing", "give the address of the ERP's API, such as https://erp.example/api")
	}
	if l.Spec == "" {
		k.wrong(at+".spec", "it is missing", "name the ERP's OpenAPI file, or write "+rest.Builtin+" for the plain one that Holdfast ships")
	}
}

// checkOData tells what is wrong with a link to OData services, besides what the adapter says of it.
func checkOData(k *checker, at string, link LinkConfig) {
	l := link.odata()
	for header := range l.Headers {
		if credential.MatchString(header) {
			k.wrong(at+".headers."+header, "it looks like a credential, and this file holds none", "put it under auth with a reference to the secret")
		}
	}
	for key, ref := range l.Auth.References() {
		checkReference(k, at+"."+key, ref)
	}
	if l.BaseURL == "" {
		k.wrong(at+".base_url", "it is missing", "give the address of the system, such as https://my300000-api.s4hana.example")
	}
	if len(l.Services) == 0 {
		k.wrong(at+".services", "it is missing", "name each OData service with its path; docs/odata.md shows how")
	}
}

// checkSAP tells what is wrong with a link to S/4HANA, besides what the adapter says of it.
func checkSAP(k *checker, at string, link LinkConfig) {
	checkOData(k, at, link)
	for i, name := range link.SAP.Read {
		k.among(fmt.Sprintf("%s.read[%d]", at, i), name, sap.Reads()...)
	}
	if id := link.SAP.MovementID; id != "" {
		k.among(at+".movement_id", id, "ReferenceDocument", "MaterialDocumentHeaderText")
	}
}

// checkAMQP tells what is wrong with a link over RabbitMQ, besides what the adapter says of it.
func checkAMQP(k *checker, at string, link LinkConfig) {
	l := link.AMQP
	if l.Password != "" {
		checkReference(k, at+".password", l.Password)
	}
	if l.Publish == nil && l.Receive == nil {
		k.wrong(at, "it neither publishes nor receives", "write publish with an exchange, receive with a queue, or both")
	}
}

// credential is a header's name that promises a secret.
var credential = regexp.MustCompile(`(?i)(api.?key|token|secret|passw|authoriz|cookie|credential)`)

func checkRESTAuth(k *checker, at string, a rest.Auth) {
	if a.Bearer != "" {
		checkReference(k, at+".bearer", a.Bearer)
	}
	if a.Basic != nil {
		checkReference(k, at+".basic.password", a.Basic.Password)
	}
	if a.Header != nil {
		checkReference(k, at+".header.value", a.Header.Value)
	}
}

// checkReference refuses what is no reference to a secret, without repeating it.
func checkReference(k *checker, at, ref string) {
	kind, name, _ := strings.Cut(ref, ":")
	switch {
	case kind == "vault" && slices.Contains([]string{"keys.passphrase", "database.url", "backup.identity"}, at):
		k.wrong(at, "it is needed before or without Vault", "write env:NAME or file:PATH")
	case kind == "vault" && !k.vault:
		k.wrong(at, "the plant has no Vault", "write keys: with kind: vault (docs/keys.md), or env:NAME or file:PATH here")
	case kind == "vault":
		if err := seal.CheckSecret(name); err != nil {
			p, _ := errors.AsType[*problem.Error](err)
			k.wrong(at, p.Why, p.Hint)
		}
	case kind != "env" && kind != "file" || name == "":
		k.wrong(at, "it is no reference to a secret, and this file holds no secrets", "write env:NAME or file:PATH; file:PATH is best readable by one user only")
	}
}

func (c Config) checkRoute(k *checker, at string, r RouteConfig) {
	if len(r.Kinds) == 0 {
		k.wrong(at+".kinds", "it is missing", `write kinds: ["*"] for every message, or some of them such as ["order.*", "goods.*"]`)
	}
	for i, pattern := range r.Kinds {
		if _, err := path.Match(pattern, "order.created"); err != nil || pattern == "" {
			k.wrong(fmt.Sprintf("%s.kinds[%d]", at, i), "it is no pattern", "write a kind such as order.created, or order.*")
		}
	}
	if r.Expires > 0 && r.Delay >= r.Expires {
		k.wrong(at+".delay", "it is no shorter than expires: every message would expire before it is sent", "delay it for less, or leave expires out")
	}
	if _, ok := c.Links[r.Link]; ok {
		return
	}
	names := slices.Sorted(maps.Keys(c.Links))
	hint := "the links are: " + strings.Join(names, ", ")
	if near := strict.Nearest(r.Link, names); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(names) == 0 {
		hint = "name the link under links first"
	}
	k.wrong(at+".link", "there is no link of this name", hint)
}

// anchor makes every relative path begin beside the file.
func (c *Config) anchor() {
	c.Mappings = c.beside(c.Mappings)
	for _, path := range []*string{&c.Audit.Checkpoints, &c.Keys.Folder, &c.Keys.Vault.CA, &c.Keys.Vault.Wrapped, &c.Keys.Vault.PodToken, &c.Keys.Vault.TokenFile} {
		*path = c.beside(*path)
	}
	if file, ok := strings.CutPrefix(c.Database.URL, "sqlite:"); ok && file != ":memory:" {
		c.Database.URL = "sqlite:" + c.beside(file)
	}
	for name, l := range c.Links {
		l.Verify = l.Verify.anchored(*c)
		for _, path := range []*string{
			&l.EncryptTo, &l.REST.TLS.CA, &l.REST.TLS.Cert, &l.REST.TLS.Key, &l.AMQP.TLS.CA, &l.AMQP.TLS.Cert, &l.AMQP.TLS.Key,
			&l.OData.TLS.CA, &l.OData.TLS.Cert, &l.OData.TLS.Key, &l.SAP.TLS.CA, &l.SAP.TLS.Cert, &l.SAP.TLS.Key,
		} {
			*path = c.beside(*path)
		}
		for _, path := range l.IDoc.Files() {
			*path = c.beside(*path)
		}
		for _, services := range []map[string]odata.Service{l.OData.Services, l.SAP.Services} {
			for name, s := range services {
				s.Metadata = c.beside(s.Metadata)
				services[name] = s
			}
		}
		for i := range l.OData.Polls {
			l.OData.Polls[i].Zone = cmp.Or(l.OData.Polls[i].Zone, c.Plant.Zone)
		}
		l.IDoc.Zone = cmp.Or(l.IDoc.Zone, c.Plant.Zone)
		l.SAP.Plant, l.SAP.Zone = cmp.Or(l.SAP.Plant, c.Plant.Number), cmp.Or(l.SAP.Zone, c.Plant.Zone)
		if l.REST.Spec != rest.Builtin {
			l.REST.Spec = c.beside(l.REST.Spec)
		}
		c.Links[name] = l
	}
}
