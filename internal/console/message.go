package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// mostShown is how many bytes of a body a page shows; a larger one is offered as a file.
const mostShown = 256 << 10

// messageView is one message with everything that is known of it.
type messageView struct {
	outbox.Detail
	State, Tone, Why string
	Order            mes.Order
	Head             *outbox.Found // the message that it is blocked by; nil if none
	Follow           int64         // messages of its lane that come after it
	Later            later
	Steps            []step
	Source           []line
	TooLarge         int64 // bytes of a body that is offered as a file; 0 if it is shown
	Mapped           mapped
	Answer           answerView
	Versions         []version
	People           []audit.Entry
	Checks           []check
	May              []string // acts that make sense now
	Draft            string   // what stands in the form of a correction
	Tried            *mapped  // what the draft would become; nil if it was not tried
	Theirs           []line   // what somebody else has made of it meanwhile, against the draft
	Wish             *wishView
	Doubt            *doubtView     // nil: nothing is doubtful about what it reports
	FourEyes         bool           // a correction or discard waits for another person
	Causes           []outbox.Cause // of a discard
}

// wishView is what somebody wants done to the message and another has to approve.
type wishView struct {
	outbox.Wish
	Lines []line // of a correction, what it changes
}

// mostLater is how many of the messages are named that follow one.
const mostLater = 10

// later are the messages that are owed behind one: they go on without it once it is given up.
type later struct {
	First []outbox.Follower
	All   int64
}

// More is how many of them are not among the first.
func (l later) More() int64 { return l.All - int64(len(l.First)) }

// step is one thing that happened to it.
type step struct {
	At           time.Time
	What, Detail string
	Tone         string
}

// mapped is what the mapping makes of it, now.
type mapped struct {
	Is      bool // somebody maps it
	By      string
	To      string
	Lines   []line
	Rules   []rule
	Says    string // why there is no document
	Wrong   *problem.Error
	Good    bool // mapping and contract take it
	Trouble []string
}

// rule is a value of the document with the rule that made it.
type rule struct{ Name, Value, Place string }

// answerView is what the ERP said.
type answerView struct {
	Is       bool
	Status   int
	Document string
	Kind     string
	At       time.Time
	Asked    bool
	Lines    []line
	Words    string   // what it said against the message
	Fields   []string // of the document that it names
}

// version is one body that it has had.
type version struct {
	Name   string
	At     time.Time
	Reason string
	Digest string
	Lines  []line // against the one before
}

// message answers GET /console/messages/{id}.
func (c *Console) message(r *http.Request) (*page, error) {
	v, err := c.messageView(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return messagePage(v), nil
}

func messagePage(v messageView) *page {
	return &page{name: "message", Title: fmt.Sprintf("%s %d of %s", v.Kind, v.Number, cmp.Or(v.Order.Number, v.Lane)), Section: "Messages", Live: true, Body: v}
}

// messageView reads a message and checks it.
func (c *Console) messageView(ctx context.Context, id string) (v messageView, err error) {
	var wrong map[int]string
	err = c.view(ctx, func(tx *store.Tx) error {
		if v, err = c.readMessage(ctx, tx, id); err == nil {
			wrong, err = c.wrongKept(ctx, tx, []outbox.Detail{v.Detail})
		}
		return err
	})
	if err != nil {
		return v, err
	}
	if v.Checks = c.check(ctx, v.Detail); wrong[0] != "" {
		v.Checks = append(v.Checks, check{"Delivery", wrong[0], "negative"})
	}
	return v, nil
}

func (c *Console) readMessage(ctx context.Context, tx *store.Tx, id string) (v messageView, err error) {
	if v.Detail, err = c.Outbox.Message(ctx, tx, id); err != nil {
		return v, err
	}
	d := v.Detail
	v.State, v.Tone, v.Why = stand(foundOf(d))
	if says := d.Unanswered(tx.Now); says != "" {
		v.Tone, v.Why = "critical", strings.TrimSuffix(strings.ToUpper(says[:1])+says[1:]+". "+d.LaneState.Reason, ". ")
	}
	v.Follow = max(0, d.LaneState.Next-1-d.Number)
	if !d.Settled || d.Role == message.Void {
		if v.Later.First, v.Later.All, err = c.Outbox.Followers(ctx, tx, d, mostLater); err != nil {
			return v, err
		}
	}
	if v.Order, err = c.Plant.Order(ctx, tx, d.Key); err != nil && problem.KindOf(err) != problem.NotFound {
		return v, err
	}
	if v.State == "blocked" {
		if v.Head, err = c.headOf(ctx, tx, d.Link, d.Lane); err != nil {
			return v, err
		}
	}
	if v.People, err = audit.List(ctx, tx, audit.Filter{Object: access.MessageObject(id), Limit: 50}); err != nil {
		return v, err
	}
	v.Source, v.TooLarge = c.shownBody(d.Body, d.Large)
	altered := d.Altered()
	if altered {
		v.Mapped = mapped{Says: "Nothing is mapped: it is not what the plant has committed. What to do: " + outbox.AlteredDo + "."}
	} else if v.Mapped, err = c.draft(ctx, tx, d); err != nil {
		return v, err
	}
	v.Answer = answerOf(d, v.Mapped.Lines)
	if !v.Answer.Is && v.Why != "" && v.State == "parked" && !altered {
		v.Answer.Words = v.Why
		v.Answer.Fields = named(v.Mapped.Lines, v.Why)
	}
	v.Versions, v.Steps, v.May = versionsOf(d), stepsOf(d), mayOf(d, v.State, tx.Now)
	if altered {
		v.May = slices.DeleteFunc(v.May, func(act string) bool { return act == "amend" })
	}
	v.FourEyes, v.Causes = c.Outbox.Config().FourEyes, outbox.Causes()
	if v.Doubt, err = c.doubtOf(ctx, tx, d); err != nil {
		return v, err
	}
	if v.Doubt != nil && v.Doubt.DecidedAt.IsZero() && d.Role != message.Void {
		v.May = append(v.May, "accept")
	}
	if w, err := c.Outbox.WishOf(ctx, tx, id); err != nil {
		return v, err
	} else if w != nil && !w.Changed {
		v.Wish = &wishView{Wish: *w}
		if w.Act == outbox.ToAmend {
			v.Wish.Lines = diff(pretty(d.Body), pretty(w.Body))
		}
	}
	v.Draft = pretty(d.Body)
	return v, nil
}

// foundOf is a message as a list has it.
func foundOf(d outbox.Detail) outbox.Found {
	return outbox.Found{
		Link: d.Link, Lane: d.Lane, Epoch: d.Epoch, Number: d.Number, ID: d.ID, Event: d.Event, Kind: d.Kind, Key: d.Key, Role: d.Role,
		CreatedAt: d.CreatedAt, SettledAt: d.SettledAt, Redelivery: d.Redelivery, Attempts: d.Attempts, Document: d.Receipt.Document,
		Refused: d.Refused, LaneState: d.LaneState,
	}
}

// headOf is the message that a lane stands at; nil if it owes nothing.
func (c *Console) headOf(ctx context.Context, tx *store.Tx, link, lane string) (*outbox.Found, error) {
	list, _, err := c.Outbox.Messages(ctx, tx, outbox.Filter{Link: link, Lane: lane, Owed: true, OldestFirst: true, Limit: 1}, "")
	if err != nil || len(list) == 0 {
		return nil, err
	}
	f := foundOf(list[0])
	return &f, nil
}

// shownBody are the lines of a body; large is its size where it is not shown.
func (c *Console) shownBody(body []byte, large *message.Large) (lines []line, size int64) {
	if large != nil {
		return plain(pretty(message.Shown(body, large))), large.Size
	}
	if len(body) > mostShown {
		return nil, int64(len(body))
	}
	return plain(pretty(body)), 0
}

// draft maps a message, and says whether what comes of it can be sent.
func (c *Console) draft(ctx context.Context, tx *store.Tx, d outbox.Detail) (mapped, error) {
	if d.Role == message.Void {
		return mapped{Says: "It is a void: nothing is sent under its number."}, nil
	}
	if d.Mapping == "" || d.Large != nil {
		return mapped{Says: "The link takes the plant's event itself, as it is."}, nil
	}
	made, err := c.try(ctx, tx, d)
	p, told := errors.AsType[*problem.Error](err)
	switch {
	case told && p.Kind != problem.Internal:
		return mapped{Is: true, Wrong: p, Says: "The mapping cannot make a document of it."}, nil
	case err != nil:
		return mapped{}, err
	case made.LeftOut:
		return mapped{Is: true, By: made.Version, Says: "The mapping leaves it out: the ERP needs no document for it."}, nil
	case made.Waits != "":
		return mapped{Is: true, By: made.Version, Says: "It waits for the ERP's number of " + made.Waits + "."}, nil
	}
	m := mapped{Is: true, By: made.Version, To: made.Target, Good: true, Rules: rulesOf(made)}
	m.Lines, _ = c.shownBody(made.Body, nil)
	return m, nil
}

// try maps a message by the mappings that are used now.
func (c *Console) try(ctx context.Context, tx *store.Tx, d outbox.Detail) (mapping.Made, error) {
	set := c.Rules.Set()
	name := set.Name(d.Mapping, d.Kind)
	if name == "" {
		return mapping.Made{}, &problem.Error{
			Kind: problem.NotFound, What: "map message " + d.ID, Why: "there is no mapping " + d.Mapping + " any more", Hint: "see holdfast mapping list",
		}
	}
	return set.Try(ctx, name, d.Message, func(ctx context.Context, object string) (string, bool, error) {
		return c.Outbox.Reference(ctx, tx, d.Link, object)
	})
}

// rulesOf are the values of a document with what made each.
func rulesOf(made mapping.Made) []rule {
	var out []rule
	for _, o := range made.From {
		value := string(made.Body[o.Start:o.End])
		if value == "" || value[0] == '{' || value[0] == '[' {
			continue
		}
		if out = append(out, rule{o.Rule, value, o.Place}); len(out) == 200 {
			break
		}
	}
	return out
}

// answerOf is what the ERP said, with the fields that it names marked in the document.
func answerOf(d outbox.Detail, doc []line) answerView {
	r := d.Receipt
	a := answerView{Is: !r.At.IsZero(), Status: r.Status, Document: r.Document, Kind: r.Kind, At: r.At, Asked: r.Asked, Words: d.Refused}
	if len(r.Answer) > 0 && len(r.Answer) <= mostShown {
		a.Lines = plain(pretty(r.Answer))
	}
	if d.Refused != "" {
		a.Fields = named(doc, d.Refused)
	}
	return a
}

// versionsOf are the bodies that it has had, each against the one before, the present one last.
func versionsOf(d outbox.Detail) []version {
	var out []version
	was := ""
	add := func(name string, at time.Time, reason, digest string, body []byte, large *message.Large) {
		text := pretty(message.Shown(body, large))
		v := version{Name: name, At: at, Reason: reason, Digest: digest, Lines: plain(text)}
		if len(out) > 0 {
			v.Lines = diff(was, text)
		}
		out, was = append(out, v), text
	}
	at, reason := d.CreatedAt, ""
	for _, h := range d.History {
		if (len(h.Body) > 0 || h.Large != nil) && h.What != outbox.Asked {
			add(fmt.Sprintf("Version %d", len(out)+1), at, reason, h.Digest, h.Body, h.Large)
			at, reason = h.At, h.Detail
		}
	}
	if len(out) > 0 {
		add(fmt.Sprintf("Version %d, the present one", len(out)+1), at, reason, d.Digest, d.Body, d.Large)
	}
	return out
}

// stepsOf is what happened to it, oldest first.
func stepsOf(d outbox.Detail) []step {
	out := []step{{At: d.CreatedAt, What: "Committed in the plant", Detail: "with the change that it tells of, signed and numbered in one transaction", Tone: "positive"}}
	for _, h := range d.History {
		out = append(out, step{h.At, h.What, h.Detail, toneOf(h.What)})
	}
	if d.Settled {
		what, tone := "Delivered", "positive"
		if d.Role == message.Void {
			what, tone = "Settled as a void", "neutral"
		}
		says := ""
		if d.Receipt.Document != "" {
			says = "the ERP has it as " + d.Receipt.Document
		}
		out = append(out, step{d.SettledAt, what, says, tone})
	}
	slices.SortStableFunc(out, func(a, b step) int { return a.At.Compare(b.At) })
	return out
}

func toneOf(what string) string {
	switch what {
	case "parked", "refused":
		return "negative"
	case "again", "unknown", "waiting", "voided", outbox.VoidedInDoubt:
		return "critical"
	default:
		return "informative"
	}
}

// mayOf lists the acts that make sense for a message now.
func mayOf(d outbox.Detail, state string, now time.Time) []string {
	if d.Settled {
		if d.Undoable() {
			return []string{"undiscard"}
		}
		if d.Role == message.Void {
			return nil
		}
		if d.Refused != "" {
			return []string{"mark-delivered", "replay"}
		}
		return []string{"replay"}
	}
	var may []string
	head := d.LaneState.At(d.Place)
	if head && (state != "queued" && state != "sending" || d.NotBefore.After(now) || d.LaneState.Reason != "") {
		may = append(may, "retry")
	}
	if d.Role != message.Void && d.Redelivery == 0 && !d.MaySent() {
		may = append(may, "amend")
	}
	if head && (state == "unknown" || state == "parked") {
		may = append(may, "mark-delivered", "send-again")
	}
	if d.Role != message.Void {
		may = append(may, "discard", "postpone")
	} else if d.Undoable() {
		may = append(may, "undiscard")
	}
	return may
}

// Can tells whether an act makes sense now.
func (v messageView) Can(act string) bool { return slices.Contains(v.May, act) }

// MappedBy names the mapping of the message; where its lane stands still at it, with the edition by which it was tried.
func (v messageView) MappedBy() string {
	if by := v.TriedBy(); by != "" {
		return fmt.Sprintf("%s, of edition %s, by which it is %s", v.Mapping, edition.Short(by), v.LaneState.State)
	}
	return cmp.Or(v.SentWith, v.Mapping)
}

// messageBody answers GET /console/messages/{id}/body: the body as a file, whatever its size.
func (c *Console) messageBody(r *http.Request) (*page, error) {
	var d outbox.Detail
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		d, err = c.Outbox.Message(r.Context(), tx, r.PathValue("id"))
		return err
	})
	if err != nil {
		return nil, err
	}
	body, err := d.Open(r.Context())
	if err != nil {
		return nil, err
	}
	return &page{stream: func(w http.ResponseWriter, _ *http.Request) error {
		defer body.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+d.ID+`.json"`)
		_, err := io.Copy(w, body)
		return err
	}}, nil
}
