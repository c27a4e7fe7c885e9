package idoc

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

const (
	parallel   = 8    // requests at a time
	mostAnswer = 4096 // bytes of an answer that a receipt keeps

	hintReach  = "check send.url, network and certificates; SAP is tried again"
	hintSignIn = "renew the link's credentials, or the rights of its user in SAP; the link tries again by itself"
	hintAsk    = "nothing: SAP's confirmation settles it; without one, look in SAP (WE02) for the IDoc whose ARCKEY is the message's ID"
	hintPerson = "correct the message, the mapping or SAP's partner profile, then resume the lane"
)

// Deliver sends an IDoc for each delivery, once, and says what the answer means. There is one Outcome per delivery, in order. Delivered
// means that SAP, or the broker before it, has received the IDoc: its document's number comes with SAP's confirmation.
func (l *Link) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out, docs := make([]message.Outcome, len(ds)), make([]Document, len(ds))
	var g errgroup.Group
	g.SetLimit(parallel)
	lanes := map[string][]int{}
	for i, d := range ds {
		lane := d.Event.Message().Lane
		lanes[lane] = append(lanes[lane], i)
	}
	for _, lane := range lanes {
		g.Go(func() error {
			for _, i := range lane { // one after the other: tickets get their seconds in this order
				if docs[i], out[i] = l.numbered(ctx, ds[i]); out[i].Verdict == "" && l.carrier == nil {
					out[i] = l.deliver(ctx, ds[i], docs[i])
				}
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	if l.carrier != nil {
		l.carry(ctx, ds, docs, out)
	}
	for i, d := range ds {
		if id := d.Event.Message().ID; out[i].Verdict == message.Unsure {
			l.attempts.Note(id, l.now())
		} else {
			l.attempts.Drop(id)
		}
	}
	return out
}

// Fits tells whether a delivery would be sent, and sends nothing.
func (l *Link) Fits(d message.Delivery) error {
	_, err := l.document(d, strings.Repeat("0", 16))
	return err
}

// numbered makes the IDoc of a delivery, with its number; the outcome has no verdict if it can be sent.
func (l *Link) numbered(ctx context.Context, d message.Delivery) (Document, message.Outcome) {
	doc, err := l.document(d, "")
	if err != nil {
		return Document{}, message.Outcome{Verdict: message.Refused, Err: err}
	}
	number, key, err := l.number(ctx, d, namedBy(doc))
	if err == nil {
		err = l.apart(ctx, d, doc)
	}
	if err != nil {
		return Document{}, message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
	}
	doc.Control["DOCNUM"], doc.first = number, key == d.Event.Message().ID
	return doc, message.Outcome{}
}

func (l *Link) deliver(ctx context.Context, d message.Delivery, doc Document) message.Outcome {
	if l.out != nil {
		return l.handOver(ctx, doc)
	}
	return l.post(ctx, d, doc)
}

// number is that of the IDoc that carries a message, and by what key it has it. An amendment is another IDoc: SAP has refused the first under its
// number. So is what a person has replayed by force: what SAP says late of the first is not said of it. A replay that is not forced
// is the IDoc that was numbered last.
func (l *Link) number(ctx context.Context, d message.Delivery, document string) (number, key string, err error) {
	m := d.Event.Message()
	key = m.ID
	if m.Role == message.Amendment {
		key += " " + m.Digest()
	}
	keys := make([]string, 0, d.Redelivery+1)
	for n := d.Redelivery; n > 0; n-- {
		keys = append(keys, replayed(key, n))
	}
	if keys = append(keys, key); d.Forced && d.Redelivery > 0 {
		keys = keys[:1]
	}
	number, key, err = l.numbers.Number(ctx, m.ID, keys, document)
	if err != nil {
		return "", "", fmt.Errorf("number the IDoc of message %s: %w", m.ID, err)
	}
	return number, key, nil
}

// replayed is the key of the n-th replay of what has a key.
func replayed(key string, n int) string { return fmt.Sprintf("%s replay %d", key, n) }

// request is one to SAP's port.
func (l *Link) request(ctx context.Context, method string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.base.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("call SAP's IDoc port: %w", err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	return req, nil
}

// exchange signs the request in and sends it once.
func (l *Link) exchange(req *http.Request) (a wire.Answer, sent bool, err error) {
	if l.cfg.Send.User == "" {
		return l.http.Exchange(req)
	}
	answered, err := l.guard.Enter(req.Context(), func(ctx context.Context) (string, error) {
		secret, err := l.secret(ctx, l.cfg.Send.Secret)
		req.SetBasicAuth(l.cfg.Send.User, secret)
		return secret, err
	})
	if err != nil {
		return a, false, err
	}
	defer func() { answered(a.Status) }()
	return l.http.Exchange(req)
}

// post sends one IDoc by HTTP.
func (l *Link) post(ctx context.Context, d message.Delivery, doc Document) message.Outcome {
	text, err := WriteXML([]Document{doc})
	if err != nil {
		return message.Outcome{Verdict: message.Refused, Err: err}
	}
	req, err := l.request(ctx, http.MethodPost, text)
	if err != nil {
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
	}
	if t := d.Event.Message().Trace; t != "" && printable(t) == nil {
		req.Header.Set("Traceparent", t)
	}
	what := "IDoc " + doc.Control["DOCNUM"] + " for message " + doc.Control["ARCKEY"]
	a, sent, err := l.exchange(req)
	switch {
	case problem.KindOf(err) == problem.Denied:
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
	case err != nil && sent:
		return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: unreachable(what, "no answer came: "+err.Error(), hintAsk)}
	case err != nil:
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: unreachable(what, "it was not sent: "+err.Error(), hintReach)}
	}
	return l.classify(what, doc, a)
}

// classify makes the outcome of an answer.
func (l *Link) classify(what string, doc Document, a wire.Answer) message.Outcome {
	wait, later := wire.RetryAfter(a.Header, l.now(), l.cfg.Send.MaxRetryAfter)
	out := verdictOf(a.Status, later)
	if out.Verdict == message.Again {
		out.After = wait
	}
	if a.Status == http.StatusForbidden {
		out.After = cmp.Or(wait, wire.ForbiddenWait)
	}
	out.Receipt.Status = a.Status
	said := statusLine(a.Status)
	if text := strings.TrimSpace(string(a.Body)); text != "" {
		said += ": " + clip(text)
	}
	hint := hintPerson
	if to := a.Header.Get("Location"); a.Status == http.StatusFound || a.Status == http.StatusSeeOther {
		to, _, _ = strings.Cut(to, "?")
		return l.signIn(what, said+" to "+clip(to)+"; redirects are not followed")
	}
	switch {
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		hint = hintSignIn
	case out.Verdict == message.Unsure:
		hint = hintAsk
	case out.Verdict == message.Again:
		hint = hintReach
	case out.Verdict == message.Delivered && a.Cut != nil:
		return message.Outcome{Verdict: message.Unsure, LinkDown: wire.Broke(a.Cut), Err: unreachable(what, "the answer broke off", hintAsk)}
	case out.Verdict == message.Delivered && !l.accepted(a.Body) && bytes.Contains(bytes.ToLower(a.Body), []byte("<form")):
		return l.signIn(what, said+", which is a web page with a form, most likely one to log on")
	case out.Verdict == message.Delivered && !l.accepted(a.Body):
		return message.Outcome{Verdict: message.Unsure, Err: unreachable(what, "SAP answered "+said+", which is not what its port says of an IDoc",
			"if your port says so, write a part of it under send.accepts; "+hintAsk)}
	}
	if out.Verdict == message.Delivered {
		out.Receipt = received(doc, a.Body, a.Status)
		out.Receipt.At = a.At
		return out
	}
	kind := problem.Unavailable
	switch {
	case out.Verdict == message.Refused:
		kind = problem.Invalid
	case hint == hintSignIn:
		kind = problem.Denied
	}
	out.Err = &problem.Error{Kind: kind, What: what, Why: "SAP answered " + said, Hint: hint}
	if hint == hintSignIn && (a.Status == http.StatusForbidden || l.cfg.Send.User == "") {
		l.guard.Forbidden(out.Err)
	}
	return out
}

// signIn is the outcome of an IDoc that was answered with a form to log on, or with where to find one. It stands in the way of all others too.
func (l *Link) signIn(what, said string) message.Outcome {
	why := &problem.Error{Kind: problem.Denied, What: what, Why: "SAP answered " + said, Hint: hintSignIn}
	l.guard.Forbidden(why)
	return message.Outcome{Verdict: message.Unsure, LinkDown: true, After: wire.ForbiddenWait, Err: why}
}

// accepted tells whether a good answer is the port's.
func (l *Link) accepted(body []byte) bool {
	text := strings.ToLower(string(bytes.TrimSpace(body)))
	return text == "" || strings.Contains(text, strings.ToLower(l.cfg.Send.Accepts))
}

// received is the receipt of an IDoc that SAP has got: without a document, which it has not made yet.
func received(doc Document, answer []byte, status int) message.Receipt {
	text := fmt.Sprintf("received as IDoc %s; SAP's confirmation says whether it is booked\n%s", doc.Control["DOCNUM"], bytes.TrimSpace(answer))
	return message.Receipt{Kind: "IDoc " + doc.Control["IDOCTYP"], Status: status, Answer: []byte(text)[:min(len(text), mostAnswer)]}
}

// verdictOf says what a status means for an IDoc that was sent (RFC 9110 section 15). What is not named here may have been taken.
func verdictOf(status int, later bool) message.Outcome {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusNetworkAuthenticationRequired,
		http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotImplemented, http.StatusMisdirectedRequest:
		return message.Outcome{Verdict: message.Again, LinkDown: true} // true of every IDoc
	case http.StatusTooManyRequests:
		return message.Outcome{Verdict: message.Again, LinkDown: true, Throttled: true}
	case http.StatusServiceUnavailable:
		if later {
			return message.Outcome{Verdict: message.Again, LinkDown: true}
		}
		return message.Outcome{Verdict: message.Unsure, LinkDown: true} // gateways say it also when they lost SAP in the middle
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return message.Outcome{Verdict: message.Unsure, LinkDown: true}
	case http.StatusRequestTimeout:
		return message.Outcome{Verdict: message.Unsure}
	case http.StatusLocked, http.StatusTooEarly:
		return message.Outcome{Verdict: message.Again, Locked: true}
	}
	switch status / 100 {
	case 2:
		return message.Outcome{Verdict: message.Delivered}
	case 4:
		return message.Outcome{Verdict: message.Refused}
	}
	return message.Outcome{Verdict: message.Unsure}
}

func statusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

func unreachable(what, why, hint string) error {
	return &problem.Error{Kind: problem.Unavailable, What: what, Why: why, Hint: hint}
}
