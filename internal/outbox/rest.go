package outbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Alarm tells people of what must not pass unseen, in tx.
type Alarm interface {
	Raise(ctx context.Context, tx *store.Tx, name, object string, why error) error
}

// AlarmWith has a message that was altered in the database raise an alarm as it is found. It is called before anything else uses o.
func (o *Outbox) AlarmWith(a Alarm) { o.alarm = a }

// Veil has tokens in the place of the sensitive values of a body.
type Veil interface {
	Veil(ctx context.Context, tx *store.Tx, text []byte) ([]byte, error)
}

// VeilWith has every body veiled that is appended or put in the place of another. It is called before anything else uses o.
func (o *Outbox) VeilWith(v Veil) { o.veil = v }

// veiled is what is kept of a body.
func (o *Outbox) veiled(ctx context.Context, tx *store.Tx, text []byte) ([]byte, error) {
	if o.veil == nil {
		return text, nil
	}
	return o.veil.Veil(ctx, tx, text)
}

// alteredAlert is the alarm of a message that was altered behind Holdfast.
const alteredAlert = "message.altered"

// cell is the body of w in outbox_messages and outbox_delivered. What w promises is in its digest; the signature is bound besides, so that it
// cannot be taken away or changed.
func (w row) cell() store.Cell {
	place := strconv.AppendInt(append(strconv.AppendInt(nil, w.Epoch, 10), '/'), w.Number, 10)
	return store.Cell{
		Table: "outbox_messages", Row: w.ID, Own: w.own,
		Bound: [][]byte{[]byte(w.Link), []byte(w.Lane), place, []byte(w.Role), []byte(w.Refers), []byte(w.Prev), []byte(w.Digest), w.Signature},
	}
}

// cellOfUnsaid is the body of a delivery that the plant is not known to have said: where it is queued again it does not open as what is owed.
func (w row) cellOfUnsaid() store.Cell {
	c := w.cell()
	c.Table = "outbox_delivered"
	return c
}

// cellOfEvent is the body in the history of w, of what w was.
func (w row) cellOfEvent() store.Cell {
	return store.Cell{Table: "outbox_events", Row: w.ID, Own: w.own, Bound: [][]byte{[]byte(w.Digest), []byte(w.Role), w.Signature}}
}

// cellOfAnswer is what the ERP has answered to one delivery of a message.
func cellOfAnswer(id string, redelivery int) store.Cell {
	return store.Cell{Table: "outbox_delivered", Row: id, Bound: [][]byte{[]byte(strconv.Itoa(redelivery))}}
}

// stored is the body of w as it is to be written, in hand it stays as it is.
func (w *row) stored(ctx context.Context, tx *store.Tx) (body []byte, err error) {
	body, w.Sealed, err = tx.Seal(ctx, w.cell(), w.Body)
	if err != nil {
		return nil, fmt.Errorf("seal message %s: %w", w.ID, err)
	}
	return body, nil
}

// unseal has the body of w in hand as it was given.
func (w *row) unseal(ctx context.Context, tx *store.Tx) error {
	plain, err := tx.Unseal(ctx, w.cell(), w.Sealed, w.Body)
	if err != nil {
		return err
	}
	w.Body = plain
	return nil
}

// genuine is unseal of what is owed: a body that is not sealed although all that is owed is, the plant did not write.
func (w *row) genuine(ctx context.Context, tx *store.Tx) error {
	if err := w.pinned(ctx, tx); err != nil {
		return err
	}
	if w.Sealed != 0 {
		return w.unseal(ctx, tx)
	}
	whole, err := tx.Whole(ctx)
	if err == nil && whole {
		err = &problem.Error{
			Kind: problem.Integrity, What: "open message " + w.ID, Why: "it is not sealed, as all is that the plant owes",
			Hint: alteredHint,
		}
	}
	return err
}

// unsealOrLose is genuine for an act of a person: of what was altered there is no body.
func (w *row) unsealOrLose(ctx context.Context, tx *store.Tx) error {
	err := w.genuine(ctx, tx)
	if problem.KindOf(err) == problem.Integrity {
		w.Body, err = nil, nil
	}
	return err
}

// inHand has the body of a message in hand whose lane is locked.
func (w *row) inHand(ctx context.Context, tx *store.Tx, l *lane) (err error) {
	if err := w.giveOwn(ctx, tx, l.own); err != nil {
		return err
	}
	return w.unsealOrLose(ctx, tx)
}

// own is a lane's secret as its row has it.
type own struct {
	Sealed     []byte `db:"own"`
	Epoch      int64  `db:"own_sealed"`
	ShreddedAt int64  `db:"shredded_at"`
}

// ownColumns are those of a lane's row.
const ownColumns = `own, own_sealed, shredded_at`

func cellOfOwn(link, lane string) store.Cell {
	return store.Cell{Table: "outbox_lanes", Row: lane, Bound: [][]byte{[]byte(link)}}
}

// open gives the secret; nil if the lane has none.
func (s own) open(ctx context.Context, tx *store.Tx, link, lane string) ([]byte, error) {
	if s.Epoch == 0 {
		return nil, nil
	}
	secret, err := tx.Unseal(ctx, cellOfOwn(link, lane), s.Epoch, s.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open the secret of lane %s of link %s: %w", lane, link, err)
	}
	return secret, nil
}

// readOwn reads the secret of a lane.
func readOwn(ctx context.Context, tx *store.Tx, link, lane string) ([]byte, error) {
	var s []own
	if err := tx.Select(ctx, &s, `SELECT `+ownColumns+` FROM outbox_lanes WHERE link = ? AND lane = ?`, link, lane); err != nil || len(s) == 0 {
		return nil, garbled(ctx, tx, err, link, lane, "outbox_lanes")
	}
	return s[0].open(ctx, tx, link, lane)
}

// secrets are those of lanes that were read, by link and lane.
type secrets map[[2]string][]byte

func (s secrets) of(ctx context.Context, tx *store.Tx, link, lane string) ([]byte, error) {
	key := [2]string{link, lane}
	if secret, ok := s[key]; ok {
		return secret, nil
	}
	secret, err := readOwn(ctx, tx, link, lane)
	if problem.KindOf(err) == problem.Integrity {
		secret, err = nil, nil
	}
	s[key] = secret
	return secret, err
}

// show opens what a person is shown of a message. Of what was altered there is no body: its digest then tells so.
func (f *full) show(ctx context.Context, tx *store.Tx, lanes secrets) (err error) {
	if f.Sealed != 0 || tx.Seals() {
		if f.own, err = lanes.of(ctx, tx, f.Link, f.Lane); err != nil {
			return err
		}
	}
	if f.Body, err = f.past(ctx, tx); err != nil {
		return err
	}
	return f.openAnswer(ctx, tx)
}

// past is the body of what was delivered or is owed, also of what the plant is not known to have said.
func (f *full) past(ctx context.Context, tx *store.Tx) ([]byte, error) {
	if f.SettledAt == 0 {
		if err := f.pinned(ctx, tx); err != nil {
			return nil, lost(err)
		}
	}
	body, err := shown(ctx, tx, f.cell(), f.Sealed, f.Body)
	if err == nil && body == nil && f.SettledAt > 0 {
		body, err = shown(ctx, tx, f.cellOfUnsaid(), f.Sealed, f.Body)
	}
	return body, err
}

// lost leaves out that something was altered: there is then no body.
func lost(err error) error {
	if problem.KindOf(err) == problem.Integrity {
		return nil
	}
	return err
}

func shown(ctx context.Context, tx *store.Tx, c store.Cell, epoch int64, kept []byte) ([]byte, error) {
	plain, err := tx.Unseal(ctx, c, epoch, kept)
	if problem.KindOf(err) == problem.Integrity {
		return nil, nil
	}
	return plain, err
}

// giveOwn has a lane that has no secret, or one that was altered, get one, once its row is there. Only then is anything of it sealed.
func (w *row) giveOwn(ctx context.Context, tx *store.Tx, has own) (err error) {
	if w.own, err = has.open(ctx, tx, w.Link, w.Lane); w.own != nil || !tx.Seals() || err != nil && problem.KindOf(err) != problem.Integrity {
		return err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return fmt.Errorf("make the secret of lane %s: %w", w.Lane, err)
	}
	sealed, epoch, err := tx.Seal(ctx, cellOfOwn(w.Link, w.Lane), secret)
	if err != nil || epoch == 0 {
		return err
	}
	w.own = secret
	return tx.Later(ctx, `UPDATE outbox_lanes SET own = ?, own_sealed = ? WHERE link = ? AND lane = ?`, sealed, epoch, w.Link, w.Lane)
}

// unsealAgain is how long a lane rests whose messages cannot be opened just now.
const unsealAgain = 5 * time.Second

// unsealFirst opens the first messages of a lane, and gives those that may leave. A lane of which the first cannot be opened for now rests for
// a while and says why. One of which the first was altered, or not written by the plant, is parked, with an alarm.
func (o *Outbox) unsealFirst(ctx context.Context, tx *store.Tx, link string, l lane, rows []row) ([]row, error) {
	if !tx.Seals() && !sealed(rows) && o.signer == nil {
		return rows, nil
	}
	secret, err := l.open(ctx, tx, link, l.Lane)
	for i := range rows {
		w := &rows[i]
		if w.own = secret; err == nil {
			err = w.genuine(ctx, tx)
		}
		if err == nil {
			continue
		}
		if i > 0 {
			return rows[:i], nil
		}
		switch problem.KindOf(err) {
		case problem.Unavailable:
			return nil, o.restLane(ctx, tx, link, l.Lane, err)
		case problem.Integrity:
			return nil, o.parkAltered(ctx, tx, link, l.Lane, w.Number, err)
		default:
			return nil, err
		}
	}
	return rows, nil
}

func sealed(rows []row) bool {
	for _, w := range rows {
		if w.Sealed != 0 {
			return true
		}
	}
	return false
}

func (o *Outbox) restLane(ctx context.Context, tx *store.Tx, link, lane string, err error) error {
	g := store.Give(store.Col("lane", []string{lane}))
	why := "its first message cannot be opened yet: " + err.Error()
	if err := updateLanes(ctx, tx, g, link, `due_at = ?, reason = ?, lease_owner = ''`, store.Micros(tx.Now.Add(unsealAgain)), why); err != nil {
		return fmt.Errorf("have lane %s of link %s wait: %w", lane, link, err)
	}
	return nil
}

func (o *Outbox) parkAltered(ctx context.Context, tx *store.Tx, link, lane string, number int64, err error) error {
	why := fmt.Sprintf("message %d is not what the plant has committed: %v. What to do: %s", number, err, alteredHint)
	if err := o.alert(ctx, tx, link, lane, err); err != nil {
		return err
	}
	return o.changeLane(ctx, tx, link, lane, `state = 'parked', reason = ?`, why)
}

// alert raises the alarm of a message that was altered, if there is a why.
func (o *Outbox) alert(ctx context.Context, tx *store.Tx, link, lane string, why error) error {
	if o.alarm == nil || why == nil {
		return nil
	}
	return o.alarm.Raise(ctx, tx, alteredAlert, "lane/"+link+"/"+lane, why)
}
