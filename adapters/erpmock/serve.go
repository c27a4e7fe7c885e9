package erpmock

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/openapi/contract"
)

// envelope is what a body tells of the message that it reports.
type envelope struct {
	MessageID  string `json:"messageId,omitempty"`
	Digest     string `json:"digest,omitempty"`
	Lane       string `json:"lane,omitempty"`
	LaneNumber int64  `json:"laneNumber,omitempty"`
}

// call is one request on its way through the mock.
type call struct {
	m     *Mock
	s     *space
	w     http.ResponseWriter
	r     *http.Request
	b     *behaviour
	req   contract.Request
	body  any // decoded
	entry *Entry
	hit   *strike
	slow  []strike
}

// answer is what the ERP says, before any fault.
type answer struct {
	status int
	header http.Header
	media  string
	body   []byte
	code   string // of a refusal
}

func (m *Mock) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/__mock/") {
		m.control(w, r)
		return
	}
	if m.IsDown() {
		cut(w, true)
		return
	}
	s, err := m.space(r.Header.Get("X-Mock-Space"))
	if err != nil {
		_ = write(w, problem(http.StatusTooManyRequests, "too-many-spaces", err.Error(), "")) // the client has left
		return
	}
	c := &call{m: m, s: s, w: w, r: r}
	c.run()
}

// run takes a request through reading, judging, faults, effect and answer.
func (c *call) run() {
	refused := c.read()
	c.arrive()
	c.delay(Before)
	if c.hit != nil && c.hit.Phase == Before {
		c.inject(problem(http.StatusServiceUnavailable, "fault", "the mock was told to fail before the effect", ""))
		return
	}
	ans := refused
	if ans == nil {
		a := c.effect()
		ans = &a
	}
	c.delay(After)
	*ans = c.sign(*ans)
	if c.hit != nil {
		c.inject(*ans)
		return
	}
	c.deliver(*ans)
}

// read routes the request, reads and judges its body; an answer means that it goes no further.
func (c *call) read() *answer {
	c.entry = &Entry{
		At: c.m.Now(), Space: c.s.name, Method: c.r.Method, Path: c.r.URL.RequestURI(),
		Key: c.r.Header.Get("Idempotency-Key"), Trace: c.r.Header.Get("Traceparent"),
	}
	op, params, routeErr := c.m.doc.Route(c.r)
	came, err := readBody(c.w, c.r, c.m.cfg.BodyLimit)
	body, header, closed := c.open(came)
	c.keepBody(body)
	switch {
	case errors.Is(routeErr, contract.ErrMethod):
		return ptr(problem(http.StatusMethodNotAllowed, "method-not-allowed", "the contract has this path, but not with "+c.r.Method, "look at the contract's methods"))
	case routeErr != nil:
		return ptr(problem(http.StatusNotFound, "unknown-path", "the contract has no path "+c.r.URL.Path, "look at the contract's paths"))
	case err != nil:
		return ptr(bodyProblem(err, c.m.cfg.BodyLimit))
	case closed != nil:
		return ptr(problem(http.StatusUnsupportedMediaType, "not-encrypted", closed.Error(), "encrypt it to the ERP's key"))
	}
	c.b = c.m.plan.behaviour[op.ID]
	c.entry.Operation = op.ID
	c.req = contract.Request{Path: params, Query: c.r.URL.Query(), Header: header, Body: body}
	var wrong []contract.Violation
	c.body, wrong = op.CheckRequest(&c.req)
	c.m.plan.names.read(c.body, c.entry)
	c.judgeOrigin()
	c.judgeHop(came)
	if len(wrong) > 0 {
		return ptr(violated(op, wrong))
	}
	return nil
}

// judgeOrigin notes who signed what a plant sends. It refuses nothing: the journal tells.
func (c *call) judgeOrigin() {
	statement := c.r.Header.Get("Holdfast-Statement")
	if c.m.cfg.Origin == nil || statement == "" && c.entry.Lane == "" {
		return
	}
	c.entry.Origin = Verified
	if err := c.m.cfg.Origin(statement, *c.entry); err != nil {
		c.entry.Origin = err.Error()
	}
}

func ptr(a answer) *answer { return &a }

// readBody reads at most limit bytes, in one piece where the length is known.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	in := http.MaxBytesReader(w, r.Body, limit)
	if n := r.ContentLength; n > 0 && n <= limit {
		buf := make([]byte, n)
		got, err := io.ReadFull(in, buf)
		return buf[:got], err
	}
	return io.ReadAll(in)
}

func bodyProblem(err error, limit int64) answer {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem(http.StatusRequestEntityTooLarge, "body-too-large", "the body is larger than "+strconv.FormatInt(limit, 10)+" bytes", "send less at once")
	}
	return problem(http.StatusBadRequest, "body-cut", "the body ended early", "send all of it")
}

func (c *call) keepBody(body []byte) {
	c.entry.Bytes = int64(len(body))
	if most := c.m.cfg.BodyKept; len(body) > most {
		body, c.entry.BodyCut = body[:most], true
	}
	c.entry.Body = string(body)
}

// read takes the envelope out of a body.
func (n envelopeNames) read(body any, e *Entry) {
	m, ok := body.(map[string]any)
	if !ok {
		return
	}
	e.MessageID, _ = m[n.Message].(string)
	e.Digest, _ = m[n.Digest].(string)
	e.Lane, _ = m[n.Lane].(string)
	if num, ok := m[n.LaneNumber].(json.Number); ok {
		e.LaneNumber, _ = strconv.ParseInt(num.String(), 10, 64)
	}
}

// arrive enters the attempt in the journal and finds the faults that hit it.
func (c *call) arrive() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.log.begin(c.entry)
	c.slow, c.hit = c.s.rules.pick(c.entry, c.s.began, c.entry.At)
	if h := c.r.Header.Get("X-Mock-Fault"); h != "" {
		f, err := ParseFault(h)
		switch {
		case err != nil:
			c.hit = &strike{Fault: Fault{ID: "header", Kind: Status, Phase: Before, Status: http.StatusBadRequest, Body: "X-Mock-Fault: " + err.Error()}}
		case f.Kind == Latency:
			c.slow = append(c.slow, strike{Fault: f})
		default:
			f.ID = "header"
			c.hit = &strike{Fault: f}
		}
	}
	if c.hit != nil {
		c.entry.Fault, c.entry.Phase, c.entry.FaultID = c.hit.Kind, c.hit.Phase, c.hit.ID
	} else if len(c.slow) > 0 {
		c.entry.Fault, c.entry.Phase, c.entry.FaultID = Latency, c.slow[0].Phase, c.slow[0].ID
	}
}

// delay waits for the latencies of one phase; it ends early when the client leaves.
func (c *call) delay(phase Phase) {
	for _, s := range c.slow {
		if s.Phase == phase {
			c.wait(time.Duration(s.Delay))
		}
	}
}

// wait sleeps; zero waits until the client leaves or the mock ends.
func (c *call) wait(d time.Duration) {
	ctx, cancel := c.r.Context(), context.CancelFunc(func() {})
	if d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	defer cancel()
	select {
	case <-ctx.Done():
	case <-c.m.stop:
	}
}

// effect does what the operation does, in one step with rules, journal and ledger.
func (c *call) effect() answer {
	c.s.mu.Lock()
	tx := &transaction{call: c}
	ans := tx.apply()
	pending := c.m.record(tx)
	c.s.mu.Unlock()
	if err := pending.wait(); err != nil {
		return problem(http.StatusInsufficientStorage, "ledger", "the ledger cannot be written: "+err.Error(), "make room on the disk")
	}
	return ans
}

// deliver writes the true answer and notes whether it went out. The journal has it before the
// client can: who has an answer finds it in the journal as delivered.
func (c *call) deliver(ans answer) {
	if c.r.Context().Err() != nil {
		c.finish(ans.status, ans.code, DeliveredNone)
		return
	}
	c.settle(ans.status, ans.code, DeliveredFull)
	if err := write(c.w, ans); err != nil {
		c.settle(ans.status, ans.code, DeliveredPart)
	}
	c.m.noteAnswer(c.s, c.entry)
}

// settle notes in the journal what went out.
func (c *call) settle(status int, code string, how Delivery) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.entry.Status, c.entry.Refusal, c.entry.Delivered, c.entry.Open = status, code, how, false
}

// finish settles, in the ledger too.
func (c *call) finish(status int, code string, how Delivery) {
	c.settle(status, code, how)
	c.m.noteAnswer(c.s, c.entry)
}

// write sends an answer in one piece and reports what the network said.
func write(w http.ResponseWriter, ans answer) error {
	h := w.Header()
	for k, vs := range ans.header {
		h[k] = vs
	}
	if ans.media != "" {
		h["Content-Type"] = []string{ans.media}
	}
	if ans.status != http.StatusNoContent && ans.status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(ans.body))}
	}
	w.WriteHeader(ans.status)
	if len(ans.body) > 0 {
		if _, err := w.Write(ans.body); err != nil {
			return err
		}
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// problem is a refusal as RFC 9457 asks for it, with a code for programs and a hint for persons.
func problem(status int, code, detail, hint string) answer {
	return problemWith(status, code, http.StatusText(status), detail, hint, nil)
}

func problemWith(status int, code, title, detail, hint string, wrong []contract.Violation) answer {
	doc := struct {
		Type       string               `json:"type"`
		Title      string               `json:"title"`
		Status     int                  `json:"status"`
		Code       string               `json:"code"`
		Detail     string               `json:"detail,omitempty"`
		Hint       string               `json:"hint,omitempty"`
		Violations []contract.Violation `json:"violations,omitempty"`
	}{"about:blank", title, status, code, detail, hint, wrong}
	body, err := json.Marshal(doc)
	if err != nil {
		body = []byte(`{"type":"about:blank"}`)
	}
	return answer{status: status, media: "application/problem+json", body: body, code: code}
}

// violated answers a request that breaks the contract, with everything that is wrong.
func violated(op *contract.Operation, wrong []contract.Violation) answer {
	status, hint := http.StatusBadRequest, "every violation is listed; correct them all at once"
	if slices.ContainsFunc(wrong, func(v contract.Violation) bool { return v.Keyword == "contentType" }) {
		status = http.StatusUnsupportedMediaType
	}
	return problemWith(status, "contract-violation", "The request breaks the contract",
		strconv.Itoa(len(wrong))+" violations of "+op.ID+" ("+op.Position()+")", hint, wrong)
}
