package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// row is a message as the tables keep it.
type row struct {
	Link       string      `db:"link"`
	Lane       string      `db:"lane"`
	Epoch      int64       `db:"epoch"`
	Number     int64       `db:"number"`
	ID         string      `db:"id"`
	Event      string      `db:"event"`
	Source     string      `db:"source"`
	Kind       string      `db:"kind"`
	Version    int         `db:"version"`
	Key        string      `db:"key"`
	Time       store.Zoned `db:"time"`
	Body       []byte      `db:"body"`
	Bytes      int64       `db:"bytes"`  // of the body, by a claim: more than Body has if that was not read yet
	Sealed     int64       `db:"sealed"` // by which epoch Body is sealed, as it is kept
	Large      body.Ref    `db:"large"`
	Creates    string      `db:"creates"`
	Cause      string      `db:"cause"`
	Trace      string      `db:"trace"`
	Mapping    string      `db:"mapping"`
	Prev       string      `db:"prev"`
	Role       string      `db:"role"`
	Refers     string      `db:"refers"`
	Digest     string      `db:"digest"`
	Signature  []byte      `db:"signature"` // nil if it is not signed
	CreatedAt  int64       `db:"created_at"`
	NotBefore  int64       `db:"not_before"`
	ExpiresAt  int64       `db:"expires_at"`
	Attempts   int         `db:"attempts"`
	Redelivery int         `db:"redelivery"`
	Replay     Replay      `db:"replay"`
	Forced     bool        `db:"forced"` // a person has forced this replay, whether or not it was taken since
	Sends      int         `db:"sends"`
	SentBy     string      `db:"sent_by"`  // what it may have been sent by, where that is not what its lane names
	Doubt      bool        `db:"doubt"`    // it may have been sent whatever its lane says, and was not asked for since
	DoubtAt    int64       `db:"doubt_at"` // since when; 0 if that is not known

	Pin     []byte `db:"pin"` // setPin; nil if nothing is sealed, or by the release before
	Skipped bool   // by a claim, of a lane's head: the lane was moved past a message before it

	own []byte // the secret of its lane; nil if that has none

	unread error // by a claim: what of it is not what an append writes
}

// kept are the columns of a message that outbox_messages and outbox_delivered share.
const kept = `link, lane, epoch, number, id, event, source, kind, version, key, time, body, large, creates, cause, trace, mapping, prev,
	role, refers, digest, created_at, attempts, redelivery, sealed`

// written are the columns of outbox_messages that an append writes.
const written = kept + `, not_before, expires_at`

// hot are those that a row reads.
const hot = written + `, replay, forced, sends, signature, sent_by, doubt, doubt_at, pin`

// first are those that a claim reads, of outbox_messages AS m: what is sent, and what decides whether it is.
const first = `m.lane, m.epoch, number, id, source, kind, version, key, time, ` + smallBody + `, large, creates, cause, trace, mapping, prev, role, refers, digest, created_at, not_before,
	expires_at, attempts, redelivery, replay, forced, signature, sealed, sent_by, event, pin, doubt, doubt_at`

// firstOf reads first of a message of link, and whether one before it was passed over.
func firstOf(r *store.Row, link string) row {
	w := row{
		Link: link, Lane: r.Text(), Epoch: r.Int(), Number: r.Int(), ID: r.Text(), Source: r.Text(), Kind: r.Text(), Version: int(r.Int()), Key: r.Text(),
		Time: store.Zoned{Time: r.Zoned()}, Bytes: r.Int(), Body: r.Bytes(), Large: body.Ref(r.Text()), Creates: r.Text(), Cause: r.Text(),
		Trace: r.Text(), Mapping: r.Text(), Prev: r.Text(), Role: r.Text(), Refers: r.Text(), Digest: r.Text(), CreatedAt: r.Int(), NotBefore: r.Int(),
		ExpiresAt: r.Int(), Attempts: int(r.Int()), Redelivery: int(r.Int()), Replay: Replay(r.Text()), Forced: r.Bool(), Signature: r.Bytes(), Sealed: r.Int(),
		SentBy: r.Text(), Event: r.Text(), Pin: r.Bytes(), Doubt: r.Bool(), DoubtAt: r.Int(), Skipped: r.Bool(),
	}
	w.unread = r.Wrong()
	return w
}

func (w row) message(tx *store.Tx) message.Message {
	return message.Message{
		ID: w.ID, Source: w.Source, Kind: w.Kind, Version: w.Version, Key: w.Key, Time: w.Time.Time, Body: w.Body, Large: w.Large.Large(tx.DB()),
		Creates: w.Creates, Cause: w.Cause, Trace: w.Trace, Origin: w.origin(),
		Place: message.Place{
			Link: w.Link, Lane: w.Lane, Epoch: w.Epoch, Number: w.Number, Prev: w.Prev, Role: message.Role(w.Role), Refers: w.Refers,
		},
	}
}

// lockPlace gives the row the place that the next append takes, and locks it. It tells whether it has, and the secret of the lane: two who
// append the first message of a lane on PostgreSQL have nothing to lock, and takeNumber decides between them.
func (w *row) lockPlace(ctx context.Context, tx *store.Tx, first int64) (has own, taken bool, err error) {
	var p place
	err = tx.Get(ctx, &p, `SELECT epoch, next_number AS number, last_digest AS prev, `+ownColumns+` FROM outbox_lanes WHERE link = ? AND lane = ?`+tx.ForUpdate(), w.Link, w.Lane)
	if !errors.Is(err, sql.ErrNoRows) {
		w.at(p)
		return p.own, err == nil, err
	}
	if tx.Dialect() == store.SQLite { // nobody else writes
		w.Epoch, w.Number = first, 1
		return own{}, true, nil
	}
	return own{}, false, nil
}

// place is where a message stands in its lane.
type place struct {
	Epoch  int64
	Number int64
	Prev   string
	Token  int64 // of the hand that has taken the lane with this append; 0 if none has
	own
}

func (w *row) at(p place) { w.Epoch, w.Number, w.Prev = p.Epoch, p.Number, p.Prev }

// takeNumber gives the row its epoch, number and predecessor.
func (w *row) takeNumber(ctx context.Context, tx *store.Tx, n next) (own, error) {
	var p place
	token, args := n.token()
	err := tx.Get(ctx, &p, n.sql()+` RETURNING epoch, next_number - 1 AS number, last_digest AS prev, `+ownColumns+token, append(n.args(*w, ""), args...)...)
	w.at(p)
	n.taken(p.Token, p.Number)
	return p.own, err
}

// appendAtOnce takes the number and writes the message in one statement that needs no answer, so that it costs no round trip. The
// database then makes the digest, of the same bytes as message.Digest: which predecessor it covers is known under the lane's lock only.
func (w row) appendAtOnce(ctx context.Context, tx *store.Tx, n next) error {
	w.Epoch, w.Number = n.first, 1
	m := w.message(tx)
	before, after := m.Around()
	const part = `int8send(octet_length(%[1]s)) || CAST(%[1]s AS BYTEA)` // digits and hex alone: no text is read as an escape
	digest := `encode(sha256(CAST(? AS BYTEA) || ` + fmt.Sprintf(part, `CAST(outbox_lanes.epoch AS TEXT)`) + ` || ` +
		fmt.Sprintf(part, `CAST(outbox_lanes.next_number AS TEXT)`) + ` || ` + fmt.Sprintf(part, `outbox_lanes.last_digest`) + ` || CAST(? AS BYTEA)), 'hex')`
	token, tokenArgs := n.token()
	args := append(append(n.args(w, m.Digest()), before, after), tokenArgs...)
	return n.later(ctx, tx, `WITH l AS (`+n.sql()+`, prev_digest = outbox_lanes.last_digest, last_digest = `+digest+`
			RETURNING epoch, next_number - 1 AS number, prev_digest, last_digest`+token+`)
		INSERT INTO outbox_messages (link, lane, id, event, source, kind, version, key, time, body, large, creates, cause, trace, mapping, role, refers,
			created_at, not_before, expires_at, attempts, redelivery, epoch, number, prev, digest)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, epoch, number, prev_digest, last_digest FROM l`, ` RETURNING number, (SELECT token FROM l)`,
		append(args, w.Link, w.Lane, w.ID, w.Event, w.Source, w.Kind, w.Version, w.Key, w.Time, w.Body, w.Large, w.Creates, w.Cause, w.Trace, w.Mapping,
			w.Role, w.Refers, w.CreatedAt, w.NotBefore, w.ExpiresAt))
}

func (w *row) insert(ctx context.Context, tx *store.Tx) error {
	stored, err := w.stored(ctx, tx)
	if err == nil {
		err = w.setPin(ctx, tx)
	}
	if err != nil {
		return err
	}
	return tx.Later(ctx, `INSERT INTO outbox_messages (`+written+`, signature, pin)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.Link, w.Lane, w.Epoch, w.Number, w.ID, w.Event, w.Source, w.Kind, w.Version, w.Key, w.Time, stored, w.Large, w.Creates, w.Cause, w.Trace,
		w.Mapping, w.Prev, w.Role, w.Refers, w.Digest, w.CreatedAt, w.Attempts, w.Redelivery, w.Sealed, w.NotBefore, w.ExpiresAt,
		w.Signature, w.Pin)
}
