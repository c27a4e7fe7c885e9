package idoc

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Resolve gives the secret that a reference such as "env:SAP_PASSWORD" names. Its error must not contain the secret.
type Resolve func(ctx context.Context, reference string) (string, error)

// Numbers remembers which IDoc carries which message, and what SAP has said of it.
type Numbers interface {
	// Number is the number of the IDoc that carries message, the same each time, once it is certain to be remembered as one of it: that of the
	// first of keys that has one, else of the last, and the key that it has it by. Document is what the IDoc itself calls what SAP makes of it, ""
	// where SAP numbers that or nothing is sent; the last one is remembered.
	Number(ctx context.Context, message string, keys []string, document string) (number, key string, err error)
	// Second is the second, as the plant's clock shows it, that stands in what key names: the one that is wanted, or the first after those of
	// all before it in its lane; the same each time. It is asked for in the order of the lane.
	Second(ctx context.Context, lane, key string, wanted int64) (int64, error)
	// Heard is what SAP has said last of the IDoc with this number, "" if it has said nothing. If it has said anything, it has it.
	Heard(ctx context.Context, number string) (State, error)
}

// Link is one connection to one SAP system by IDocs. It is safe for concurrent use once it has its Numbers.
type Link struct {
	cfg      Config
	types    Types
	zone     *time.Location
	http     *wire.Client // nil where nothing is sent by HTTP
	base     *url.URL
	out      *outFolder // nil where nothing is sent through a folder
	carrier  Carrier    // nil where IDocs go by HTTP or folder
	numbers  Numbers
	attempts *wire.Attempts
	guard    *wire.Guard // of send's user
	resolve  Resolve
	log      *slog.Logger
	now      func() time.Time
	disk     disk

	whenAside func(why error) // nil: nobody is told
	asideTold time.Time       // when somebody was last; of the one goroutine that picks files up

	mu      sync.Mutex        // guards what follows
	secrets map[string]string // by reference
}

// Open checks the configuration and reads the descriptions. It calls nobody.
func Open(cfg Config, resolve Resolve, log *slog.Logger) (*Link, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	l := &Link{cfg: cfg, attempts: wire.NewAttempts(), resolve: resolve, log: log, now: time.Now, disk: disk{os.Open, os.Rename}, secrets: map[string]string{}}
	l.guard = wire.NewGuard(l.forget)
	if l.zone, err = time.LoadLocation(cfg.Zone); err != nil || cfg.Zone == "" {
		return nil, wrong("zone", "it is no time zone", "write a name of the IANA database, such as Europe/Berlin")
	}
	folder := cfg.Descriptions
	if folder == Builtin {
		folder = ""
	}
	if l.types, err = Load(folder); err != nil {
		return nil, err
	}
	switch {
	case cfg.Send == nil || cfg.Send.Carried:
	case cfg.Send.Folder != "":
		l.out = newOutFolder(cfg.Send.Folder, cfg.Send.Keep, l.now)
	default:
		if err := l.openHTTP(*cfg.Send); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *Link) openHTTP(s Send) error {
	secure, err := wire.TLS(s.TLS.CA, s.TLS.Cert, s.TLS.Key, s.TLS.ServerName)
	if e, ok := errors.AsType[*wire.SettingError](err); ok {
		return wrong("send."+e.Setting, e.Why, "name PEM files that can be read and belong together")
	}
	if l.base, err = url.Parse(s.URL); err != nil {
		return wrong("send.url", "it is no address", "for example https://s4.example/sap/bc/idoc_xml")
	}
	q := l.base.Query()
	q.Set("sap-client", l.cfg.Client)
	l.base.RawQuery = q.Encode()
	l.http = wire.New(wire.Config{Timeout: s.Timeout, ConnectTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, Idle: parallel, MaxBody: 1 << 20, TLS: secure})
	return nil
}

// WhenDenied has f told that SAP refuses the link's user or a right of it: when it begins, and each hour while it lasts. It is called before the
// link is used, and f must not call the link.
func (l *Link) WhenDenied(f func(why error)) { l.guard.WhenDenied(f) }

// WhenAside has f told that files of Receive.Folder are put aside, for a person: when that begins, and at most once an hour. It is called before the link is
// used, and f must not call the link.
func (l *Link) WhenAside(f func(why error)) { l.whenAside = f }

// Remember gives the link its Numbers. It must not be called while anything is delivered; nothing is delivered without.
func (l *Link) Remember(n Numbers) { l.numbers = n }

// Close gives up the idle connections. Calls in hand are not disturbed.
func (l *Link) Close() {
	if l.http != nil {
		l.http.Close()
	}
}

// Accepts tells whether a mapping may name this IDoc type as its target.
func (l *Link) Accepts(target string) error {
	switch {
	case l.cfg.Send == nil:
		return l.noTarget(target, "the link only receives", "write send with a url or a folder, or amqp.publish")
	case l.types[target] == nil:
		return l.noTarget(target, "no description has this IDoc type", "the types are "+l.types.Known()+"; others come with a folder of descriptions")
	}
	return nil
}

func (l *Link) noTarget(target, why, hint string) error {
	return &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("target %q of a mapping", target), Why: why, Hint: hint}
}

// Warnings name what a person should know before it happens.
func (l *Link) Warnings() []string {
	if l.cfg.Send != nil && l.out == nil && l.cfg.Receive == nil && !l.cfg.Send.DropsKnown {
		return []string{"SAP's confirmations (ALEAUD01) cannot come, for the link does not receive: no message gets a document's number, and a lost answer waits for a person"}
	}
	return nil
}

// Check tries the connection, for the doctor: it signs in to SAP's port without sending anything, and looks whether the folders can be
// written to.
func (l *Link) Check(ctx context.Context) error {
	var all []error
	if l.http != nil {
		all = append(all, l.checkPort(ctx))
	}
	if l.out != nil {
		all = append(all, l.out.check())
	}
	if r := l.cfg.Receive; r != nil && r.Folder != "" {
		all = append(all, tryFolder("receive.folder", r.Folder))
	}
	return errors.Join(all...)
}

func (l *Link) checkPort(ctx context.Context) error {
	req, err := l.request(ctx, http.MethodHead, nil)
	if err != nil {
		return err
	}
	a, _, err := l.exchange(req)
	if problem.KindOf(err) == problem.Denied {
		return err
	}
	if err != nil {
		return unreachable("call of SAP's IDoc port", "nobody answered: "+err.Error(), hintReach)
	}
	if s := a.Status; s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusNotFound || s >= 500 && s != http.StatusNotImplemented {
		return unreachable("call of SAP's IDoc port", "it answered "+statusLine(s), "activate the service idoc_xml in SICF, and give the link's user the right to it")
	}
	return nil
}

// secret resolves a reference once, and again after SAP has refused what it got.
func (l *Link) secret(ctx context.Context, ref string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.secrets[ref]; ok {
		return s, nil
	}
	s, err := l.resolve(ctx, ref)
	if err == nil && (s == "" || strings.ContainsAny(s, "\r\n")) {
		err = errors.New("it is empty, or has line breaks in it")
	}
	if err != nil {
		return "", &problem.Error{
			Kind: problem.Denied, What: "credentials of the link", Why: "the secret " + ref + " cannot be had", Hint: "put it where the reference points, or correct the reference", Cause: err,
		}
	}
	l.secrets[ref] = s
	return s, nil
}

// forget makes the next call resolve its reference again.
func (l *Link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.secrets)
}

// idFields are where an IDoc carries the message's ID besides ARCKEY: the fields by which its document can be found in SAP.
func idFields(basic, id string) (segment, field, value string) {
	sum := sha256.Sum256([]byte(id))
	switch {
	case strings.HasPrefix(basic, "PPCC2PRETTICKET"):
		value = strings.ToUpper(strings.ReplaceAll(id, "-", ""))
		if _, err := hex.DecodeString(value); err != nil || len(value) != 32 {
			value = strings.ToUpper(hex.EncodeToString(sum[:16]))
		}
		return "E1BP_PP_TIMETICKET", "EX_IDENT", value
	case strings.HasPrefix(basic, "MBGMCR"):
		if value = id; len(id) > 16 {
			value = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])[:16]
		}
		return "E1BP2017_GM_HEAD_01", "REF_DOC_NO", value
	}
	return "", "", ""
}

// namedBy is what an IDoc calls the document that SAP makes of it: a batch has the number that its sender gives it. "" is what SAP numbers.
func namedBy(doc Document) string {
	if doc.Control["MESTYP"] == "BATMAS" && len(doc.Segments) > 0 {
		return doc.Segments[0].Get("BATCH")
	}
	return ""
}

// archiveKey is what stands in ARCKEY: the message's ID, or its digest where that is too long.
func archiveKey(id string) string {
	if len(id) <= 70 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// document makes the IDoc of a delivery. What does not fit its description is refused, with every place.
func (l *Link) document(d message.Delivery, number string) (Document, error) {
	m, t := d.Event.Message(), l.types[d.Doc.Target]
	if err := l.Accepts(d.Doc.Target); err != nil {
		return Document{}, err
	}
	segments, bad := t.compose(d.Doc.Body)
	if segment, field, value := idFields(t.Name, m.ID); len(bad) == 0 && segment != "" && !put(segments, segment, field, value) {
		bad = append(bad, problem.Field{Pointer: "/" + segment + "/" + field, Why: "it is not the ID of the message; leave it out of the mapping, the link fills it in"})
	}
	if len(bad) > 0 {
		why := make([]string, 0, len(bad))
		for _, b := range bad {
			why = append(why, strings.TrimSpace(b.Pointer+": "+b.Why))
		}
		return Document{}, &problem.Error{
			Kind: problem.Invalid, What: t.Name + " for message " + m.ID, Why: strings.Join(why, "; "), Fields: bad,
			Hint: "correct the mapping or the message, then resume the lane",
		}
	}
	h := head{
		client: l.cfg.Client, release: l.cfg.Release, from: l.cfg.Plant, to: l.cfg.SAP, number: number, key: archiveKey(m.ID), basic: t.Name, messaging: t.Message,
		inbound: true, at: m.Time.In(l.zone),
	}
	return Document{Control: h.control(), Segments: segments}, nil
}
