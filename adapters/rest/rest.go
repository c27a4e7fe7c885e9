// Package rest calls an ERP by any OpenAPI 3.0 or 3.1 document. It delivers documents to the operations that a mapping names,
// asks the ERP what became of one whose answer was lost, and reads what has changed there.
//
// # Guarantees
//
//   - A request that breaks the contract is never sent; it is refused with every violation.
//   - One Deliver puts a request on the wire at most once. Go's net/http sends a POST again by itself on a reused connection that
//     dies, if it carries an Idempotency-Key; here that is impossible three times over (see attempt). Redirects are never followed.
//   - "Again" is said only of a request that certainly took no effect: not one byte of it was written, or the ERP said so. To
//     know the first, the link seals the connection before it looks, so that nothing can be written after the look.
//   - Whatever may have taken effect is Unsure, and is asked about.
//   - Ask says Again only after Config.AskAfter has passed since the last attempt that this process knows of, or, after a
//     restart, since it was first asked. Until then the request may still be on its way into the ERP, and "not found" proves
//     nothing. What is found is reported at once.
//   - Answers are read up to a limit and judged by the contract. Numbers keep every digit.
//   - No secret stands in a Config, an error or a log line.
//
// HTTP/1.1 is spoken unless Config.HTTP2 is set: on it one connection carries one request at a time, and only therefore can be
// said for certain that a request never left. On HTTP/2 every request that was given a connection counts as sent.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// Builtin is the Config.Spec of the plain ERP's contract that Holdfast ships (openapi/erp.yaml).
const Builtin = "builtin:erp"

// Resolve gives the secret that a reference such as "env:ERP_TOKEN" or "file:/run/secrets/erp" names. Its error must not
// contain the secret.
type Resolve func(ctx context.Context, reference string) (string, error)

// Link is one connection to one ERP. It is safe for concurrent use.
type Link struct {
	cfg      Config
	base     *url.URL
	doc      *contract.Document
	http     *wire.Client
	creds    *credentials
	attempts *wire.Attempts
	polls    []*Poll
	proofs   wire.Proofs
	seal     message.Encrypter   // nil for none
	hands    *semaphore.Weighted // bytes of large bodies that are encrypted at a time
	log      *slog.Logger
	now      func() time.Time
}

// Open reads the contract and the certificates and checks the configuration against them: each operation, parameter and pointer
// that it names. It does not call the ERP, which may be away.
func Open(cfg Config, resolve Resolve, log *slog.Logger) (*Link, error) {
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	doc, err := load(cfg.Spec)
	if err != nil {
		return nil, err
	}
	l := &Link{
		cfg: cfg, base: base, doc: doc, log: log, now: time.Now,
		creds: newCredentials(cfg.Auth, resolve), attempts: wire.NewAttempts(), hands: semaphore.NewWeighted(message.MaxBody),
	}
	if err := errors.Join(l.checkOperations(), l.checkReads()); err != nil {
		return nil, err
	}
	if l.polls, err = l.newPolls(); err != nil {
		return nil, err
	}
	if l.http, err = newClient(cfg); err != nil {
		return nil, err
	}
	return l, nil
}

// load reads a contract from a file, or the one that Holdfast ships.
func load(spec string) (*contract.Document, error) {
	if spec == Builtin {
		return contract.Load(openapi.ERP(), "erp.yaml")
	}
	text, err := os.ReadFile(spec)
	if err != nil {
		return nil, wrong("spec", fmt.Sprintf("the contract cannot be read: %v", err), "name an OpenAPI file, or "+Builtin)
	}
	doc, err := contract.Load(text, spec)
	if err != nil {
		return nil, fmt.Errorf("load the link's contract: %w", err)
	}
	return doc, nil
}

// Close gives up the idle connections. Calls in hand are not disturbed.
func (l *Link) Close() { l.http.Close() }

// WhenDenied has f told that the ERP refuses the link's user or a right of it: when it begins, and each hour while it lasts. It is called
// before the link is used, and f must not call the link.
func (l *Link) WhenDenied(f func(why error)) { l.creds.guard.WhenDenied(f) }

// Polls are the sources of what comes in, in the order of the configuration.
func (l *Link) Polls() []*Poll { return l.polls }

// Warnings name what the contract asks for and nobody here can check, and the writes whose lost answers a person must settle.
func (l *Link) Warnings() []string {
	out := l.doc.Warnings()
	for _, op := range l.doc.Operations() {
		if o := l.operation(op); writes(op.Method) && o.cfg.Ask == nil && !o.cfg.Idempotent {
			out = append(out, fmt.Sprintf("%s: a lost answer to %s parks its lane: it names neither ask nor idempotent", op.Position(), op.ID))
		}
	}
	if l.cfg.Reads.Order == nil {
		out = append(out, "this link reads no orders back: reconcile compares no orders, quantities and documents over it until its reads name the operations")
	}
	return out
}

// Accepts tells whether a mapping may name this operationId as its target: an operation of the contract that writes.
func (l *Link) Accepts(target string) error {
	op, ok := l.doc.Operation(target)
	switch {
	case !ok:
		return &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("target %q of a mapping", target),
			Why:  fmt.Sprintf("%s has no operation of this ID", l.doc.Name()),
			Hint: "use an operationId of the contract",
		}
	case !writes(op.Method):
		return &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("target %q of a mapping", target),
			Why:  fmt.Sprintf("it is a %s, which changes nothing in the ERP", op.Method),
			Hint: "use an operation that writes",
		}
	}
	return nil
}

// Targets are the operationIds that Accepts takes.
func (l *Link) Targets() (out []string) {
	for _, op := range l.doc.Operations() {
		if writes(op.Method) {
			out = append(out, op.ID)
		}
	}
	return out
}

// Check tries the connection and the credentials, for the doctor: with Config.Probe it calls that operation and wants a 2xx;
// without, any answer of the base URL will do that does not ask for credentials.
func (l *Link) Check(ctx context.Context) error {
	op := &operation{Operation: &contract.Operation{ID: "the base URL", Method: http.MethodGet, Path: "/"}}
	req := &contract.Request{}
	if l.cfg.Probe != nil {
		probe, _ := l.doc.Operation(l.cfg.Probe.Operation)
		op = l.operation(probe)
		var wrong []contract.Violation
		if req, wrong = l.place(op, l.cfg.Probe.Params, nil, nil); len(wrong) > 0 {
			return violated("call of "+op.ID, wrong)
		}
	}
	a, err := l.read(ctx, op, req)
	if err != nil {
		return err
	}
	if r := ruleOf(op, a, false); a.Status/100 == 2 || l.cfg.Probe == nil && (!r.credentials || a.Status/100 == 3) && a.Status < 500 {
		return nil
	}
	return l.said(op, "call of "+op.ID, a)
}

// writes tells whether a method may change something in the ERP.
func writes(method string) bool {
	return !strings.Contains("GET HEAD OPTIONS TRACE", method)
}
