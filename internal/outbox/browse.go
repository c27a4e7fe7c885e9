package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Detail is a message with everything that is known of it.
type Detail struct {
	message.Message
	Event      string    // the ID of the event in the plant, of which this is one link's message
	Mapping    string    // the mapping that makes its document
	Digest     string    // as committed
	Settled    bool      // it needs nothing more
	CreatedAt  time.Time // when it was appended
	NotBefore  time.Time // scheduled; zero if not
	ExpiresAt  time.Time // zero if never
	SettledAt  time.Time // zero if it is still owed
	Attempts   int       // attempts spent: answers about the message itself, of which so many park it; a person's act begins anew
	Sends      int       // how often it was sent, as far as it is known: who sent it may have been killed before it was kept
	Redelivery int       // how often a person had it delivered again
	Replay     Replay    // how it goes out again; "" if it was never replayed, or may have been sent since
	Doubt      bool      // it may have been sent whatever its lane says: a restore has brought it back, or a person has spoken for one before it alone
	SentWith   string    // mapping and content hash of the document that was sent
	Receipt    message.Receipt
	Refused    string     // what the ERP said against it after it was delivered, "" if nothing, see Answer
	History    []Happened // oldest first; filled by Message only
	LaneState  Lane       // the lane now; of what is settled, filled by Message and Of only
	Garbled    bool       // it has a signature that cannot be read, for which Origin is nil
	Sealed     bool       // the plant has sealed its body together with its signature, or with having none, and it still is what was sealed
	AnswerLost bool       // the ERP's answer was altered: there is none in Receipt
	ReceiptMAC []byte     // what CheckReceipt needs; nil if the receipt bears none
}

// Happened is one thing that befell a message besides its delivery. Body, Digest and Role are what it was before a person
// changed it.
type Happened struct {
	Seq    int64 // from 1, without gaps as long as nobody has removed one
	At     time.Time
	What   string // again, refused, parked, waiting, unknown, resumed, retried, amended, voided, replayed, …
	Detail string // the reason
	Body   []byte
	Large  *message.Large // a body that is not in memory; nil if it is Body
	Digest string
	Role   message.Role
	Origin *message.Signature // over what it was; nil if that was not signed
	Sealed bool               // see Detail
}

// Skipped tells whether a message is owed that its lane was moved past behind Holdfast: it would never be sent.
func (d Detail) Skipped() bool {
	l := d.LaneState
	return !d.Settled && (l.Owed == 0 || d.Epoch < l.HeadEpoch || d.Epoch == l.HeadEpoch && d.Number < l.Head)
}

// TriedBy is the edition of the mappings (its hash) by which a message was tried at which its lane stands still; "" for any other, for one that nobody
// maps, and where nobody knows.
func (d Detail) TriedBy() string {
	stands := d.LaneState.State == Parked || d.LaneState.State == Unknown
	if d.Settled || d.Mapping == "" || !stands || !d.LaneState.At(d.Place) {
		return ""
	}
	return d.LaneState.MappedBy
}

// Altered tells whether a message is not what was committed: somebody has altered the database behind Holdfast. Of what was sealed there is no body
// then. A large body is not looked at.
func (d Detail) Altered() bool {
	return d.Large == nil && (len(d.Body) == 0 || d.Message.Digest() != d.Digest)
}

// Corrected tells whether a person has given the message another body. Its history is that of Message.
func (d Detail) Corrected() bool {
	return slices.ContainsFunc(d.History, func(h Happened) bool { return h.What == amended })
}

// AlteredDo is what a person is told of a message that was altered.
const AlteredDo = alteredHint

// MaySent tells whether a message that is still owed may be with the ERP already, so that it is asked for before it is sent.
func (d Detail) MaySent() bool {
	switch {
	case d.Settled || d.Role == message.Void:
		return false
	case d.Redelivery > 0:
		return d.Replay == ""
	default:
		return d.Doubt || d.Number <= d.LaneState.SentTo
	}
}

// Filter chooses messages; zero fields choose all.
type Filter struct {
	Link, Lane, Kind, Key string
	Links                 []string  // only of these; nil means of any
	Owed, Settled         bool      // only those; both or none means all
	Refused               bool      // only those that the ERP has refused after they were delivered
	SettledFrom           time.Time // only those that were settled at this time or later
	SettledTo             time.Time // only those that were settled before this
	OldestFirst           bool
	Bare                  bool // without LaneState, which is read of each lane by itself: for a walk through all messages
	Shut                  bool // without the bodies and answers that are sealed: for who has no keyring
	Limit                 int  // default 50, at most 10,000
}

// full is a row of either table.
type full struct {
	row
	SettledAt int64       `db:"settled_at"`
	SentWith  string      `db:"sent_with"`
	Document  string      `db:"document"`
	DocKind   string      `db:"doc_kind"`
	Answer    []byte      `db:"answer"`
	AnswerBy  int64       `db:"answer_sealed"`
	Status    int         `db:"status"`
	Answered  store.Zoned `db:"answered"`
	Asked     bool        `db:"asked"`
	Signed    string      `db:"signed_receipt"`
	Refused   string      `db:"refused"`

	ReceiptMAC []byte `db:"receipt_mac"`
	AnswerLost bool   // openAnswer
}

const (
	fromHot = kept + `, signature, pin, not_before, expires_at, replay, doubt, sends + sent AS sends, settled_at, sent_with, '' AS document, doc_kind, CAST(NULL AS BYTEA) AS answer, 0 AS answer_sealed,
		status, answered, FALSE AS asked, '' AS signed_receipt, '' AS refused, receipt_mac FROM (SELECT m.*, COALESCE(r.settled_at, 0) AS settled_at, COALESCE(r.sent_with, '') AS sent_with,
		COALESCE(r.doc_kind, '') AS doc_kind, COALESCE(r.status, 0) AS status, COALESCE(r.answered, '') AS answered,
		CASE WHEN r.id IS NULL THEN 0 ELSE 1 END AS sent, r.id AS receipt, r.receipt_mac
		FROM outbox_messages AS m LEFT JOIN outbox_receipts AS r ON ` + isReceiptOf + `) AS h`
	fromCold = kept + `, signature, CAST(NULL AS BYTEA) AS pin, 0 AS not_before, 0 AS expires_at, '' AS replay, FALSE AS doubt, sends, settled_at, sent_with, document, doc_kind, answer, answer_sealed, status, answered, asked, signed_receipt, refused, receipt_mac FROM outbox_delivered`

	// onlyReceipt is of fromCold what is kept of a delivery beside its message.
	onlyReceipt = `link, lane, epoch, number, id, creates, role, redelivery, settled_at, sent_with, document, doc_kind, answer, answer_sealed, status, answered, asked, signed_receipt,
		refused, receipt_mac FROM outbox_delivered`
)

func (f full) detail(tx *store.Tx) Detail {
	if f.SettledAt > 0 {
		f.NotBefore, f.ExpiresAt = 0, 0
	}
	m := f.message(tx)
	return Detail{
		Message: m, Garbled: m.Origin == nil && len(f.Signature) > 0, Sealed: f.Sealed != 0 && len(f.Body) > 0, Event: f.Event, Mapping: f.Mapping, Digest: f.Digest, Settled: f.SettledAt > 0,
		CreatedAt: store.FromMicros(f.CreatedAt), NotBefore: store.FromMicros(f.NotBefore), ExpiresAt: store.FromMicros(f.ExpiresAt),
		SettledAt: store.FromMicros(f.SettledAt), Attempts: f.Attempts, Sends: f.Sends, Redelivery: f.Redelivery, Replay: f.Replay, Doubt: f.Doubt, SentWith: f.SentWith, Refused: f.Refused,
		Receipt:    message.Receipt{Document: f.Document, Kind: f.DocKind, Answer: f.Answer, Status: f.Status, At: f.Answered.Time, Asked: f.Asked, Signed: f.Signed},
		AnswerLost: f.AnswerLost, ReceiptMAC: f.ReceiptMAC,
	}
}

// Messages lists messages by the time of their append, newest first unless the filter says otherwise, from where cursor ended.
// next is empty at the end. A row that cannot be read is an error of type Garbled. Each delivery of a replayed message is listed by itself.
func (o *Outbox) Messages(ctx context.Context, tx *store.Tx, f Filter, cursor string) (list []Detail, next string, err error) {
	limit := max(1, min(cmp.Or(f.Limit, 50), 10_000))
	where, args, err := f.where(tx, cursor)
	if err != nil {
		return nil, "", err
	}
	order := " ORDER BY created_at DESC, id DESC, redelivery DESC LIMIT " + strconv.Itoa(limit+1)
	if f.OldestFirst {
		order = strings.ReplaceAll(order, " DESC", "")
	}
	parts, all := []string{}, []any{}
	for _, p := range f.parts() {
		parts = append(parts, `SELECT * FROM (SELECT `+p.from+where+p.and+order+`) AS p`+strconv.Itoa(len(parts)))
		all = append(all, args...)
	}
	var rows []full
	if err := tx.Select(ctx, &rows, strings.Join(parts, " UNION ALL ")+order, all...); err != nil {
		return nil, "", garbled(ctx, tx, fmt.Errorf("list messages: %w", err), f.Link, f.Lane, "outbox_messages", "outbox_delivered")
	}
	if len(rows) > limit {
		rows = rows[:limit]
		l := rows[limit-1]
		next = fmt.Sprintf("%d_%s_%d", l.CreatedAt, l.ID, l.Redelivery)
	}
	lanes := map[[2]string]Lane{}
	secrets := secrets{}
	for _, r := range rows {
		d, err := f.detail(ctx, tx, r, secrets)
		if err != nil {
			return nil, "", err
		}
		if !f.Bare {
			if d.LaneState, err = o.laneOnce(ctx, tx, lanes, d); err != nil {
				return nil, "", err
			}
		}
		list = append(list, d)
	}
	return list, next, nil
}

// detail opens what is shown of a message, or leaves out what is sealed.
func (f Filter) detail(ctx context.Context, tx *store.Tx, r full, lanes secrets) (Detail, error) {
	if !f.Shut {
		err := r.show(ctx, tx, lanes)
		return r.detail(tx), err
	}
	d := r.detail(tx)
	if r.Sealed != 0 {
		d.Body = nil
	}
	if r.AnswerBy != 0 {
		d.Receipt.Answer = nil
	}
	return d, nil
}

// laneOnce is the lane of a message that is still owed, read once for all its messages.
func (o *Outbox) laneOnce(ctx context.Context, tx *store.Tx, known map[[2]string]Lane, d Detail) (Lane, error) {
	key := [2]string{d.Link, d.Lane}
	l, ok := known[key]
	if ok || d.Settled {
		return l, nil
	}
	l, err := o.Lane(ctx, tx, d.Link, d.Lane)
	known[key] = l
	return l, err
}

// filed leaves out of fromHot what is not wanted: what is owed, or what is settled and not filed yet.
func (f Filter) filed() string {
	switch {
	case f.Owed == f.Settled:
		return ""
	case f.Owed:
		return " AND receipt IS NULL"
	default:
		return " AND receipt > 0"
	}
}

func (f Filter) where(tx *store.Tx, cursor string) (string, []any, error) {
	where, args := " WHERE 1 = 1", []any{}
	link := "link"
	if f.Lane == "" {
		link = unsought(tx, link)
	}
	for _, c := range []struct{ column, value string }{{link, f.Link}, {"lane", f.Lane}, {"kind", f.Kind}, {"key", f.Key}} {
		if c.value != "" {
			where, args = where+" AND "+c.column+" = ?", append(args, c.value)
		}
	}
	if f.Links != nil {
		where, args = where+" AND link IN (''"+strings.Repeat(", ?", len(f.Links))+")", append(args, anys(f.Links)...)
	}
	if f.Refused {
		where += " AND refused <> ''"
	}
	if !f.SettledFrom.IsZero() {
		where, args = where+" AND settled_at >= ?", append(args, store.Micros(f.SettledFrom))
	}
	if !f.SettledTo.IsZero() {
		where, args = where+" AND settled_at < ? AND settled_at > 0", append(args, store.Micros(f.SettledTo))
	}
	if cursor == "" {
		return where, args, nil
	}
	parts := strings.Split(cursor, "_")
	if len(parts) != 3 {
		return "", nil, badCursor()
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	again, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil {
		return "", nil, badCursor()
	}
	sign := "<"
	if f.OldestFirst {
		sign = ">"
	}
	return where + " AND (created_at, id, redelivery) " + sign + " (?, ?, ?)", append(args, at, parts[1], again), nil
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

func badCursor() error {
	return &problem.Error{Kind: problem.Invalid, What: "list", Why: "the cursor is not one that a list gave", Hint: "begin again without a cursor"}
}

// Message is one message by its ID, its last delivery if there were several, with its history and its lane. NotFound if it was
// never there or is no longer kept. A row that cannot be read is an error of type Garbled.
func (o *Outbox) Message(ctx context.Context, tx *store.Tx, id string) (Detail, error) {
	var f full
	err := tx.Get(ctx, &f, `SELECT * FROM (SELECT `+fromHot+` WHERE id = ?) AS a UNION ALL
		SELECT * FROM (SELECT `+fromCold+` WHERE id = ? ORDER BY redelivery DESC LIMIT 1) AS b ORDER BY settled_at LIMIT 1`, id, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Detail{}, &problem.Error{
			Kind: problem.NotFound, What: "message " + id, Why: "it was never owed, or is no longer kept",
			Hint: "holdfast msg list shows the messages that are kept",
		}
	}
	if err != nil {
		return Detail{}, garbled(ctx, tx, fmt.Errorf("read message %s: %w", id, err), "", "", "outbox_messages", "outbox_delivered")
	}
	if err := f.show(ctx, tx, secrets{}); err != nil {
		return Detail{}, err
	}
	d := f.detail(tx)
	if d.LaneState, err = o.Lane(ctx, tx, d.Link, d.Lane); err != nil {
		return Detail{}, err
	}
	var rows []struct {
		Seq, At, Sealed            int64
		What, Detail, Digest, Role string
		Body, Signature            []byte
		Large                      body.Ref
	}
	if err := tx.Select(ctx, &rows, `SELECT seq, at, what, detail, digest, role, body, sealed, large, signature FROM outbox_events WHERE id = ? ORDER BY seq`, id); err != nil {
		return Detail{}, garbledEvent(ctx, tx, fmt.Errorf("read the history of message %s: %w", id, err), f.row)
	}
	for _, r := range rows {
		was := row{ID: id, Digest: r.Digest, Role: r.Role, Signature: r.Signature, own: f.own}
		if r.Body, err = shown(ctx, tx, was.cellOfEvent(), r.Sealed, r.Body); err != nil {
			return Detail{}, err
		}
		d.History = append(d.History, Happened{
			r.Seq, store.FromMicros(r.At), r.What, r.Detail, r.Body, r.Large.Large(tx.DB()), r.Digest, message.Role(r.Role), row{Signature: r.Signature}.origin(),
			r.Sealed != 0 && len(r.Body) > 0,
		})
	}
	return d, nil
}

// Of is what became of one event of the plant at each link that was owed it.
func (o *Outbox) Of(ctx context.Context, tx *store.Tx, event string) ([]Detail, error) {
	var list []Detail
	seen := map[string]bool{}
	for _, r := range o.routes {
		if seen[r.Link] {
			continue
		}
		seen[r.Link] = true
		d, err := o.Message(ctx, tx, MessageID(r.Link, event))
		if problem.KindOf(err) == problem.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}
