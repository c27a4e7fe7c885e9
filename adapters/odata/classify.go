package odata

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// rule is what an answer means for a write.
type rule struct {
	verdict     message.Verdict
	link        bool // it is about the link, not about the message
	throttled   bool
	locked      bool // somebody works on what it is about
	credentials bool
	wait        time.Duration
	kind        problem.Kind
	hint        string
}

const (
	hintPerson  = "correct the message, the mapping or the object in the ERP, then resume the lane"
	hintAddress = "correct base_url or the service's path; in SAP the service must be active (/IWFND/MAINT_SERVICE)"
	hintSignIn  = "renew the link's credentials or the rights of its user in the ERP; the link tries again by itself"
	hintReach   = "check base_url, network and certificates; the ERP is asked again"
	hintWait    = "nothing; it is sent again as soon as the ERP takes it"
	hintLock    = "nothing; it is tried again until whoever works on the object in the ERP is done"
	hintAsk     = "nothing, if writes names an id for this target; else look in the ERP whether it has the message"
	hintStale   = "somebody changed it in the ERP at the same time: look at it there, then send the message again"
	hintSession = "the ERP refuses each CSRF token at once: check whether something between strips cookies"
)

// known are codes whose meaning SAP documents. Config.Codes comes first.
func known(code string) (Meaning, bool) {
	switch code {
	case outdated:
		return MeansUnknown, true
	}
	return "", false
}

// outdated is the code of a request whose RequestID is outdated: it was processed, and its answer is not kept any more; or it comes for the first time, and
// is older than what the gateway keeps.
const outdated = "/IWBEP/CM_COS/005"

// outdatedFrom notes that what was made then is too old for the gateway.
func (l *Link) outdatedFrom(made time.Time) {
	age := max(1, l.now().Sub(made).Nanoseconds())
	for {
		known := l.outdated.Load()
		if known != 0 && known <= age || l.outdated.CompareAndSwap(known, age) {
			return
		}
	}
}

// forgotten tells whether the gateway would take what was made then for a request that it has forgotten.
func (l *Link) forgotten(made time.Time) bool {
	age := l.outdated.Load()
	return age != 0 && l.now().Sub(made).Nanoseconds() >= age
}

// lockWords are how SAP says in English that somebody works on an object, where the code does not tell it. sap-language keeps the
// language fixed.
func lockWords() []string {
	return []string{"is already being processed by", "is being processed by", "is currently being processed", "locked by user", "is locked by"}
}

// mayLock tells whether words of an answer with this status can say that an object is locked, and nothing was done. After a 5xx or 408 the ERP may
// have done it, whatever it says of a later step; a user that is locked (403) is no object that somebody works on.
func mayLock(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout:
		return false
	}
	return status/100 == 4
}

// meaning is what the error's codes, then its words, say, before the status is looked at.
func (c *Client) meaning(status int, s spoken) (Meaning, string) {
	for _, code := range s.codes() {
		if m, ok := c.link.cfg.Codes[code]; ok {
			return m, hintWait
		}
		if class, _, ok := cutLast(code, "/"); ok {
			if m, ok := c.link.cfg.Codes[class+"/*"]; ok {
				return m, hintWait
			}
		}
		if m, ok := known(code); ok {
			return m, hintWait
		}
	}
	if !mayLock(status) {
		return "", ""
	}
	texts := []string{s.Text}
	for _, d := range s.Details {
		if d.refuses() {
			texts = append(texts, d.Text)
		}
	}
	for _, text := range texts {
		for _, w := range append(lockWords(), c.link.cfg.Locks...) {
			if w != "" && strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
				return MeansAgain, hintLock
			}
		}
	}
	return "", ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// rule says what an answer means. It is the only place that does. What is not named here may have taken effect. later tells that the
// answer has a Retry-After.
func (c *Client) rule(a wire.Answer, s spoken, later bool) rule {
	if a.Status >= 400 && a.Status != http.StatusUnauthorized && !mustRenew(a) {
		if m, hint := c.meaning(a.Status, s); m != "" {
			return c.ruleFor(m, hint)
		}
	}
	down := rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hintWait}
	address := rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hintAddress}
	unknown := rule{verdict: message.Unsure, kind: problem.Unavailable, hint: hintAsk}
	lost := unknown
	lost.link = true // and no message is at fault
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusNetworkAuthenticationRequired:
		return ruleOfAccess(a)
	case http.StatusFound, http.StatusSeeOther: // to a page to log on (SAML, ICF), most likely; or it answers what was done
		return rule{verdict: message.Unsure, link: true, credentials: true, kind: problem.Denied, hint: hintSignIn, wait: wire.ForbiddenWait}
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
		return address
	case http.StatusNotFound:
		if s.Code == "" || strings.HasPrefix(s.Code, "/IWFND/") {
			return address // no word of the service itself: it is not there
		}
		return c.ruleOfDocument(a)
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return lost
	case http.StatusRequestTimeout:
		return unknown
	}
	switch a.Status / 100 {
	case 2:
		return rule{verdict: message.Delivered}
	case 4:
		return c.ruleOfDocument(a)
	}
	return unknown // 500 tells nothing
}

// ruleOfAccess is what a refused sign-in, right or token means. Every message would be refused alike: the link stops, no attempt is
// spent, and credentials see to it that no user is locked out by tries.
func ruleOfAccess(a wire.Answer) rule {
	if mustRenew(a) {
		return rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hintSession}
	}
	r := rule{verdict: message.Again, link: true, credentials: true, kind: problem.Denied, hint: hintSignIn}
	if a.Status == http.StatusForbidden {
		r.wait = wire.ForbiddenWait
	}
	return r
}

// ruleOfDocument is what a status means that speaks of the document itself.
func (c *Client) ruleOfDocument(a wire.Answer) rule {
	switch a.Status {
	case http.StatusLocked, http.StatusTooEarly:
		return c.ruleFor(MeansAgain, hintLock)
	case http.StatusPreconditionFailed, http.StatusPreconditionRequired:
		return rule{verdict: message.Refused, kind: problem.Precondition, hint: hintStale}
	case http.StatusConflict:
		return rule{verdict: message.Refused, kind: problem.Conflict, hint: hintPerson}
	}
	return rule{verdict: message.Refused, kind: problem.Invalid, hint: hintPerson}
}

// ruleFor is what a code or the words of a lock mean.
func (c *Client) ruleFor(m Meaning, hint string) rule {
	switch m {
	case MeansAgain:
		return rule{verdict: message.Again, locked: true, kind: problem.Conflict, hint: hint, wait: c.link.cfg.LockWait}
	case MeansDown:
		return rule{verdict: message.Again, link: true, kind: problem.Unavailable, hint: hint}
	case MeansRefused:
		return rule{verdict: message.Refused, kind: problem.Conflict, hint: hintPerson}
	}
	return rule{verdict: message.Unsure, kind: problem.Unavailable, hint: hintAsk}
}

// classify makes the outcome of an answer. what names the call for a person.
func (c *Client) classify(w *write, a wire.Answer) message.Outcome {
	wait, later := wire.RetryAfter(a.Header, c.link.now(), c.link.cfg.MaxRetryAfter)
	said := listen(a.Body)
	r := c.rule(a, said, later)
	if r.verdict == message.Delivered {
		return c.delivered(w, a)
	}
	if slices.Contains(said.codes(), outdated) {
		c.link.outdatedFrom(w.made)
	}
	out := message.Outcome{
		Verdict: r.verdict, LinkDown: r.link, Locked: r.locked, Throttled: r.throttled, Receipt: message.Receipt{Status: a.Status}, Err: c.said(w.what, a),
	}
	if r.verdict == message.Again || r.credentials {
		if out.After = wait; !later {
			out.After = r.wait
		}
	}
	return out
}

// delivered believes a good answer if it is whole and shows the document's number. A logon page with status 200, or an answer that
// was cut off, proves nothing.
func (c *Client) delivered(w *write, a wire.Answer) message.Outcome {
	unsure := func(why string, link bool) message.Outcome {
		return message.Outcome{Verdict: message.Unsure, LinkDown: link, Err: &problem.Error{
			Kind: problem.Unavailable, What: w.what, Why: "the ERP answered " + statusLine(a.Status) + ", but " + why, Hint: hintAsk,
		}}
	}
	if a.Cut != nil {
		return unsure("the answer broke off", wire.Broke(a.Cut))
	}
	if c.isPage(a) {
		return c.unsurePage(w)
	}
	number, err := c.number(w, a)
	if err != nil {
		return unsure(err.Error(), false)
	}
	if !legible(number) {
		return unsure("the document's number is none: text that cannot be read, or more than 200 characters", false)
	}
	receipt := message.Receipt{Document: number, Kind: w.target.kind(), Status: a.Status, At: a.At}
	receipt.Answer = c.kept(a)
	return message.Outcome{Verdict: message.Delivered, Receipt: receipt}
}

// unsurePage is the outcome of a write that a web page answered: whatever stands there answers all others alike, so nothing else is sent for a while.
// The service itself may have got the write all the same.
func (c *Client) unsurePage(w *write) message.Outcome {
	return message.Outcome{Verdict: message.Unsure, LinkDown: true, After: wire.ForbiddenWait, Err: c.signIn(w.what)}
}

// kept is what a receipt keeps of an answer. Warnings that SAP sends beside a success come first, so that they are not cut off.
func (c *Client) kept(a wire.Answer) []byte {
	body := a.Body
	for _, name := range []string{"sap-message", "sap-messages"} {
		if m := a.Header.Get(name); m != "" {
			c.link.log.Warn("the ERP took a message, and has something to say about it", "part", "odata", "service", c.name, "said", clip(m))
			body = append([]byte(name+": "+clip(m)+"\n"), body...)
		}
	}
	return body[:min(len(body), c.link.cfg.MaxReceipt):min(len(body), c.link.cfg.MaxReceipt)]
}

// kind is the ERP's word for the document.
func (t *target) kind() string {
	if t.cfg.Kind != "" {
		return t.cfg.Kind
	}
	return strings.TrimSuffix(t.name, changed)
}

// number finds the document's number in a good answer: in the entity, or at the end of its address where there is no body.
func (c *Client) number(w *write, a wire.Answer) (string, error) {
	of := w.target.answers()
	if of == nil || w.target.change && len(a.Body) == 0 {
		return "", nil // nothing has a number there
	}
	if len(a.Body) == 0 {
		for _, name := range []string{"OData-EntityId", "Location"} {
			if n := numberAt(a.Header.Get(name)); n != "" {
				return n, nil
			}
		}
		return "", errors.New("nothing in it names the document")
	}
	e, err := c.entityOf(w, of, a)
	if err != nil {
		return "", errors.New("the answer is not that of the service")
	}
	n := w.target.numberOf(e)
	if n == "" {
		return "", errors.New("it has no document number")
	}
	if err := w.isOf(e); err != nil {
		return n, err
	}
	c.keeps(w, e)
	return n, nil
}

// isOf holds the ID that a new document shows against that of the message. Another one says that it is another message's, or that the
// ERP does not keep the ID as it was sent: then it could not be asked for.
func (w *write) isOf(e Entity) error {
	if w.mark == "" || w.target.op != nil {
		return nil
	}
	if shown := str(e.Values[w.target.cfg.ID]); shown != "" && !slices.Contains(cases(w.mark), shown) {
		return fmt.Errorf("it shows %q in %s, which is not the message's", clip(shown), w.target.cfg.ID)
	}
	return nil
}

// entityOf reads the entity of a good answer; V2 may wrap what an operation gives in its name, or in a list.
func (c *Client) entityOf(w *write, of *edm.Struct, a wire.Answer) (Entity, error) {
	if w.model.Version == edm.V2 && w.target.op != nil {
		raw, err := c.body(a)
		if err != nil {
			return Entity{}, err
		}
		d, _ := raw["d"].(map[string]any)
		if inner, ok := d[w.target.op.Name].(map[string]any); ok {
			return of.Plain(inner)
		}
		if list, ok := d["results"].([]any); ok && len(list) > 0 {
			first, _ := list[0].(map[string]any)
			return of.Plain(first)
		}
	}
	return c.entity(w.model, of, a)
}

// answers is the type of what a good answer holds, nil if that is no entity.
func (t *target) answers() *edm.Struct {
	if t.op == nil {
		return t.set.Of
	}
	if t.op.Returns != nil && t.op.Returns.Struct != nil && len(t.op.Returns.Struct.Key) > 0 {
		return t.op.Returns.Struct
	}
	return nil
}

// numberOf joins the fields that are the document's number.
func (t *target) numberOf(e Entity) string {
	fields := t.cfg.Number
	if len(fields) == 0 {
		fields = t.answers().Key
	}
	parts := make([]string, 0, len(fields))
	for _, name := range fields {
		s := str(e.Values[name])
		if s == "" && len(t.cfg.Number) > 0 {
			return ""
		}
		parts = append(parts, s)
	}
	return strings.Trim(strings.Join(parts, "/"), "/")
}

// numberAt reads the key at the end of an entity's address, as in Set(Group='1',Count='2').
func numberAt(location string) string {
	open, end := strings.LastIndexByte(location, '('), strings.LastIndexByte(location, ')')
	if open < 0 || end < open {
		return ""
	}
	var parts []string
	for part := range strings.SplitSeq(location[open+1:end], ",") {
		if _, v, ok := strings.Cut(part, "="); ok {
			part = v
		}
		v, err := url.PathUnescape(strings.Trim(part, "'"))
		if err != nil {
			return ""
		}
		parts = append(parts, v)
	}
	return strings.Join(parts, "/")
}

// legible tells whether a document's number can be what it is taken for: it stands in logs, headers and pages.
func legible(number string) bool {
	odd := func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }
	return !strings.ContainsFunc(number, odd) && utf8.RuneCountInString(number) <= 200
}
