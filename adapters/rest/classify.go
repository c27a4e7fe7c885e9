package rest

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// rule is what an answer's status means for a write.
type rule struct {
	verdict     message.Verdict
	link        bool // it is about the link, not about the message
	throttled   bool
	locked      bool // somebody works on what it is about
	credentials bool
	wait        time.Duration // before the link is called again, where the ERP does not say
	kind        problem.Kind
	hint        string
}

const (
	hintPerson  = "correct the message, the mapping or the object in the ERP, then resume the lane"
	hintAddress = "correct base_url, or the contract if the ERP has changed its addresses"
	hintSignIn  = "renew the link's credentials or the rights of its user in the ERP; the link tries again by itself"
	hintReach   = "check base_url, network and certificates; the ERP is asked again"
	hintWait    = "nothing; it is sent again as soon as the ERP takes it"
	hintRead    = "nothing; it is called again by itself"
	hintAsk     = "nothing, if the operation names ask or idempotent; else look in the ERP whether it has the message"
)

// ruleOf says what a status means (RFC 9110 section 15, RFC 6585 section 4, RFC 8470 section 5.2). It is the only place that does.
// What is not named here may have taken effect. later tells that the answer has a Retry-After.
func ruleOf(op *operation, a wire.Answer, later bool) rule {
	if m, ok := op.cfg.Answers[a.Status]; ok {
		return ruleFor(m)
	}
	down := rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hintWait}
	refused := rule{verdict: message.Refused, kind: problem.Invalid, hint: hintPerson}
	address := rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hintAddress}
	unknown := rule{verdict: message.Unsure, kind: problem.Unavailable, hint: hintAsk}
	lost := unknown // and no message is at fault
	lost.link = true
	switch s := a.Status; s {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusNetworkAuthenticationRequired:
		// Every message would be refused alike: the link stops, no attempt is spent.
		denied := rule{verdict: message.Again, link: true, credentials: true, kind: problem.Denied, hint: hintSignIn}
		if s == http.StatusForbidden {
			denied.wait = wire.ForbiddenWait
		}
		return denied
	case http.StatusFound, http.StatusSeeOther:
		return ruleOfElsewhere(op, s, unknown)
	case http.StatusTooManyRequests:
		down.throttled = true
		return down
	case http.StatusServiceUnavailable:
		if later {
			return down
		}
		return lost // gateways say it also when they lost the ERP in the middle of a request
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusMisdirectedRequest:
		return address // nothing was done here (section 15.4: the request is to be made elsewhere); true of every message
	case http.StatusNotFound:
		if !strings.Contains(op.Path, "{") {
			return address // no object is named, so it is the address that is not there
		}
		return refused
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return lost // a gateway speaks, which lost the ERP
	case http.StatusRequestTimeout:
		return unknown // a proxy says it too, for the ERP behind it
	case http.StatusLocked, http.StatusTooEarly:
		return rule{verdict: message.Again, locked: true, kind: problem.Conflict, hint: "wait until the object is free again in the ERP"}
	case http.StatusConflict, http.StatusPreconditionFailed:
		refused.kind = problem.Conflict
		if later && s == http.StatusConflict {
			refused.verdict, refused.hint = message.Again, hintWait // "still being processed" of an idempotency key
		}
		return refused
	default:
		switch s / 100 {
		case 2:
			return rule{verdict: message.Delivered}
		case 4:
			return refused
		}
		return unknown // 500 tells nothing
	}
}

// ruleOfElsewhere is what a redirect means that may answer what was done: unknown where the contract has it so. Else it is one to a page to log on, most likely.
func ruleOfElsewhere(op *operation, status int, unknown rule) rule {
	if r, ok := op.Response(status); ok && r.Status == strconv.Itoa(status) {
		return unknown
	}
	return rule{verdict: message.Unsure, link: true, credentials: true, wait: wire.ForbiddenWait, kind: problem.Denied, hint: hintSignIn}
}

// ruleFor is what the configuration says about a status.
func ruleFor(m Meaning) rule {
	switch m {
	case MeansDelivered:
		return rule{verdict: message.Delivered}
	case MeansAgain:
		return rule{verdict: message.Again, kind: problem.Conflict, hint: hintWait}
	case MeansDown:
		return rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hintWait}
	case MeansRefused:
		return rule{verdict: message.Refused, kind: problem.Conflict, hint: hintPerson}
	}
	return rule{verdict: message.Unsure, kind: problem.Unavailable, hint: hintAsk}
}

// classify makes the outcome of an answer. what names the call for a person.
func (l *Link) classify(op *operation, what string, a wire.Answer) message.Outcome {
	wait, later := wire.RetryAfter(a.Header, l.now(), l.cfg.MaxRetryAfter)
	r := ruleOf(op, a, later)
	if r.verdict == message.Delivered {
		return l.delivered(op, what, a)
	}
	out := message.Outcome{Verdict: r.verdict, LinkDown: r.link, Locked: r.locked, Throttled: r.throttled, Receipt: message.Receipt{Status: a.Status}, Err: l.said(op, what, a)}
	if r.verdict == message.Again || r.credentials {
		out.After = cmp.Or(wait, r.wait)
	}
	return out
}

// delivered believes a good answer if it is whole and shows what it must. The ERP then has the message even where another part
// of the answer breaks the contract: that is logged, and no reason to book twice or to stop a lane. An answer that was cut off,
// that is no answer of this contract at all (a sign-in page with status 200) or whose number is missing or wrong proves nothing.
func (l *Link) delivered(op *operation, what string, a wire.Answer) message.Outcome {
	unsure := func(why string) message.Outcome {
		return message.Outcome{Verdict: message.Unsure, Err: &problem.Error{
			Kind: problem.Unavailable, What: what, Why: "the ERP answered " + statusLine(a.Status) + ", but " + why, Hint: hintAsk,
		}}
	}
	if a.Cut != nil {
		out := unsure("the answer broke off")
		out.LinkDown = wire.Broke(a.Cut) // an answer that is too long comes from an ERP that is well
		return out
	}
	body, wrong := op.CheckResponse(a.Status, a.Header, a.Body)
	receipt := message.Receipt{Answer: clipBytes(a.Body, l.cfg.MaxReceipt), Status: a.Status, At: a.At, Kind: op.cfg.Kind, Signed: signedReceipt(a)}
	if isPointer(op.cfg.Kind) {
		receipt.Kind, _ = text(body, op.cfg.Kind)
	}
	switch op.cfg.Receipt {
	case "location":
		receipt.Document = lastSegment(a.Header.Get("Location"))
	case "":
	default:
		receipt.Document, _ = text(body, op.cfg.Receipt)
	}
	if v, bad := disproof(wrong, op.cfg.Receipt); bad {
		return unsure("the answer is not what the contract promises: " + v.In + " " + v.Name + v.Pointer + " (" + v.Keyword + ")")
	}
	if op.cfg.Receipt != "" && receipt.Document == "" {
		return unsure("it has no document number at " + op.cfg.Receipt)
	}
	if !l.legible(op.ID, receipt) {
		return unsure("its document number or kind is not one: " + illegible)
	}
	if len(wrong) > 0 {
		l.log.Warn("the ERP took a message, but its answer breaks the contract",
			"part", "rest", "operation", op.ID, "err", violated(what, wrong).Why)
	}
	return message.Outcome{Verdict: message.Delivered, Receipt: receipt}
}

// A document number stands in logs, headers, pages and other systems; a kind as well. No ERP has one that is longer.
const (
	mostNumber = 200 // runes
	illegible  = "text that cannot be read, control characters, or more than 200 characters"
)

// legible tells whether number and kind of a document can be what they are taken for, and logs it if not, without the value.
func (l *Link) legible(operation string, r message.Receipt) bool {
	for name, s := range map[string]string{"number": r.Document, "kind": r.Kind} {
		odd := func(c rune) bool { return c == utf8.RuneError || unicode.IsControl(c) }
		if strings.ContainsFunc(s, odd) || utf8.RuneCountInString(s) > mostNumber {
			l.log.Warn("the ERP gave a document a value that nobody can read", "part", "rest", "operation", operation, "field", name, "why", illegible)
			return false
		}
	}
	return true
}

// disproof finds a violation that takes the proof out of a good answer: it is not of this operation, or cannot be read, or is
// about the document number.
func disproof(wrong []contract.Violation, receipt string) (contract.Violation, bool) {
	for _, v := range wrong {
		switch {
		case v.In == "status", v.Keyword == "syntax", v.Keyword == "contentType":
			return v, true
		case v.In == "body" && isPointer(receipt) && receipt != "" && (v.Pointer == "" && v.Keyword == "type" || v.Pointer == receipt):
			return v, true
		case v.In == "header" && receipt == "location" && strings.EqualFold(v.Name, "Location"):
			return v, true
		}
	}
	return contract.Violation{}, false
}

func statusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// lastSegment is the end of the path of a Location, which is the document's number in most APIs; empty if it is not encoded as a
// path is (RFC 3986 section 2.1).
func lastSegment(location string) string {
	location, _, _ = strings.Cut(location, "?")
	location, _, _ = strings.Cut(location, "#")
	location = strings.TrimRight(location, "/")
	last, err := url.PathUnescape(location[strings.LastIndexByte(location, '/')+1:])
	if err != nil {
		return ""
	}
	return last
}

func clipBytes(b []byte, most int) []byte {
	if len(b) > most {
		return b[:most:most]
	}
	return b
}
