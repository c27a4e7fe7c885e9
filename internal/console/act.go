package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// deed is one act that a form asks for. link is that of what is acted upon, "" if it has none or is found within the act.
type deed struct{ action, object, link string }

// change is what an act has changed, for the audit record.
type change struct {
	object        string // what was made, if the deed could not name it
	events        []string
	about         []string // what else it was about, see access.Result
	before, after any
}

// act does what a form asks for, once however often it is sent: its key stands in the form.
func (c *Console) act(r *http.Request, d deed, fn func(ctx context.Context, tx *store.Tx) (change, error)) error {
	a := access.Act{Action: d.action, Actor: actorOf(r.Context()), Object: d.object, Link: d.link, Reason: reasonOf(r, d.action)}
	if r.PostFormValue("meaning") != "" && c.SignIn != nil {
		a.Signature = c.SignIn.Sign(r, r.PostFormValue("meaning"), r.PostFormValue("password"), r.PostFormValue("code"))
	}
	if key := r.PostFormValue("key"); key != "" && len(key) <= 200 {
		asked, err := asked(r, d)
		if err != nil {
			return err
		}
		a.Idempotency = &access.Key{Value: key, Request: asked}
	}
	_, err := c.Doer.Do(r.Context(), a, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
		ch, err := fn(ctx, tx)
		if err != nil {
			return access.Result{}, err
		}
		return ch.result()
	})
	return toSign(d, err)
}

// reasonOf is what the form of an action says of why: for a discard its cause, and then the words.
func reasonOf(r *http.Request, action string) string {
	words := strings.TrimSpace(r.PostFormValue("reason"))
	if action != access.MsgDiscard {
		return words
	}
	if why, err := outbox.Because(outbox.Cause(r.PostFormValue("cause")), words); err == nil {
		return string(why)
	}
	return words
}

// asked is the same for two forms that ask for the same.
func asked(r *http.Request, d deed) (string, error) {
	fields := maps.Clone(r.PostForm)
	for _, name := range append(signingFields(), "key") { // whoever signs once more asks for the same, and nothing that is kept may tell of a password
		delete(fields, name)
	}
	b, err := json.Marshal([]any{d.action, d.object, fields})
	if err != nil {
		return "", fmt.Errorf("write the request of %s: %w", d.action, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// result keeps what was changed as JSON.
func (ch change) result() (access.Result, error) {
	res := access.Result{Object: ch.object, Events: ch.events, About: ch.about}
	var err1, err2 error
	if ch.before != nil {
		res.Before, err1 = json.Marshal(ch.before)
	}
	if ch.after != nil {
		res.After, err2 = json.Marshal(ch.after)
	}
	res.Answer = res.After
	return res, errors.Join(err1, err2)
}

// again shows the page of a form once more, with what its act met above it and what was typed still in it.
func (c *Console) again(r *http.Request, p *page, err error) (*page, error) {
	if sign := c.signPage(r, err); sign != nil {
		return sign, nil
	}
	if p == nil || p.name == "" {
		return nil, err
	}
	told := c.told(r, err)
	p.Trouble, p.status = told, told.Kind.HTTPStatus()
	return p, nil
}

// errOr is the error that matters: that the page cannot be read, else what the act met.
func errOr(met, reading error) error {
	if reading != nil {
		return reading
	}
	return met
}

// notices are what a page says after an act, by a word of its address: an address must not make it say anything else.
func notices() map[string]string {
	return map[string]string{
		"pause-link":        "The link is paused. What is under way is finished; messages are kept.",
		"resume-link":       "The link goes on.",
		"rate-link":         "The link sends at another rate now, on every node.",
		"pause-lane":        "The lane is paused.",
		"resume-lane":       "The lane goes on from its first message.",
		"replay-lane":       "The messages are queued again. The ERP is asked for each first and gets what it does not have.",
		"start-job":         "The job is started. Its first messages go alone where it says so.",
		"approve-job":       "The job is approved and runs.",
		"pause-job":         "The job is paused. What is on its way arrives.",
		"resume-job":        "The job goes on.",
		"cancel-job":        "The rest of the job is given up. What is on its way arrives.",
		"rate-job":          "The job sends at another rate now.",
		"retry":             "The message is next to be sent.",
		"amend":             "The correction is kept and signed under the same number. The lane goes on with it.",
		"discard":           "The message is given up; a void keeps its number.",
		"undiscard":         "What it says is owed again. Its history says under which number.",
		"accept":            "The report counts as right, and is learned. What was held of it goes on.",
		"asked":             "Somebody else has to approve it. Until then the message stays as it is.",
		"approve":           "What was asked is done.",
		"refuse":            "The request has ended; the message stays as it is.",
		"note":              "The note is kept.",
		"mark-delivered":    "The message counts as delivered.",
		"send-again":        "The message is sent once without asking the ERP.",
		"postpone":          "The message is put off, and what follows it in its lane.",
		"replay":            "The message is queued again. The ERP is asked first and gets it only if it does not have it.",
		"replay-inbound":    "The message is tried again.",
		"discard-inbound":   "The message is put aside for good.",
		"amend-inbound":     "The correction is kept beside what came. Try the message again now.",
		"anew":              "Its reversal and its new report are owed, in this order. Compare again once they are delivered.",
		"read-again":        "What the ERP has to say is read again from the beginning. What the plant has already has no effect again.",
		"skip-inbound":      "The lane goes on without that message.",
		"start":             "The order is started.",
		"confirm":           "The confirmation is booked.",
		"consume":           "The goods are issued.",
		"receive":           "The goods are received.",
		"complete":          "The order is technically completed.",
		"publish-mapping":   "The edition is kept. Each node takes it within seconds; one that is proposed waits for somebody else.",
		"canary-mapping":    "The edition maps live messages too. Nothing of what it makes is sent.",
		"approve-mapping":   "The edition is approved. Each node takes it within seconds.",
		"rollback-mapping":  "The edition before is used again.",
		"end-trial-mapping": "The trial has ended.",
		"add-passkey":       "The passkey is added. You sign in by it from now on, or as before.",
		"set-badge":         "Badge and PIN are set. At a terminal you sign in by them from now on.",
		"dismiss":           "The conflict needs nobody any more.",
	}
}

// choose is the entry of a map, or that there is no such page.
func choose[T any](acts map[string]T, name string) (T, error) {
	if a, ok := acts[name]; ok {
		return a, nil
	}
	var none T
	return none, &problem.Error{
		Kind: problem.NotFound, What: "do " + name, Why: "there is no such act", Hint: "choose one of " + strings.Join(slices.Sorted(maps.Keys(acts)), ", "),
	}
}
