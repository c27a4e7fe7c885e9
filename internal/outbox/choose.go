package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Choice chooses messages that can be sent once more; zero fields choose all.
type Choice struct {
	Link   string    `json:"link,omitempty"`
	Lane   string    `json:"lane,omitempty"`
	Kind   string    `json:"kind,omitempty"`
	Failed bool      `json:"failed,omitempty"` // those at which lanes stand still, parked or unknown; else those that were delivered
	Why    string    `json:"why,omitempty"`    // Failed: only those whose reason has this in it, as Alike has reasons
	Group  string    `json:"group,omitempty"`  // Failed: only those whose reason is this one, as Alike has reasons: a Group and no other
	From   time.Time `json:"from,omitzero"`    // delivered, or standing still, at this time or later
	To     time.Time `json:"to,omitzero"`      // and before this
	IDs    []string  `json:"ids,omitempty"`    // these and no others, and whether they were delivered or failed
}

// Chosen is a message as it was when it was chosen: whoever sends it once more later can tell whether it is still that.
type Chosen struct {
	Link, Lane    string
	Epoch, Number int64
	ID, Kind      string
	Digest        string
	Redelivery    int    // how often it was replayed before
	Failed        bool   // its lane stands still at it; else it was delivered
	Why           string // Failed: the reason
}

type chosenRow struct {
	Link, Lane, ID, Kind, Digest, Why string
	Epoch, Number                     int64
	Redelivery                        int
	At                                int64
	Failed                            bool
}

// Choose lists what the choice chooses, in the order in which it was made, and each lane's in the order of its numbers. Voids, what is no
// longer kept, what was queued again already and what a person has paused are left out. Conflict if there are more than most, or if one
// of Choice.IDs cannot be sent again: the error then names the message that comes first in its lane.
func (o *Outbox) Choose(ctx context.Context, tx *store.Tx, c Choice, most int) ([]Chosen, error) {
	var rows []chosenRow
	var err error
	switch {
	case len(c.IDs) > 0:
		var left []error
		if rows, left, err = o.chooseEach(ctx, tx, c.IDs); err == nil && len(left) > 0 {
			err = left[0]
		}
	case c.Failed:
		rows, err = chooseFailed(ctx, tx, c, "", most)
	default:
		rows, err = chooseDelivered(ctx, tx, c, "", most)
	}
	if err != nil {
		return nil, err
	}
	if len(rows) > most {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "choose messages", Why: fmt.Sprintf("there are more than %d", most),
			Hint: "choose fewer: of one link, of one kind, of a shorter time",
		}
	}
	return inOrder(rows), nil
}

// ChosenIDs lists the IDs of the first most messages that the choice chooses by what they are, not by Choice.IDs. More than these are no error.
func (o *Outbox) ChosenIDs(ctx context.Context, tx *store.Tx, c Choice, most int) ([]string, error) {
	choose := chooseDelivered
	if c.Failed {
		choose = chooseFailed
	}
	rows, err := choose(ctx, tx, c, "", most)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(rows))
	for _, r := range rows[:min(len(rows), most)] {
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// inOrder sorts by time and, within each lane, by number: a clock that was set back does not reorder a lane.
func inOrder(rows []chosenRow) []Chosen {
	slices.SortStableFunc(rows, func(a, b chosenRow) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	lanes := map[[2]string][]chosenRow{}
	for _, r := range rows {
		lanes[[2]string{r.Link, r.Lane}] = append(lanes[[2]string{r.Link, r.Lane}], r)
	}
	for _, l := range lanes {
		slices.SortFunc(l, func(a, b chosenRow) int {
			return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Number, b.Number))
		})
	}
	list := make([]Chosen, 0, len(rows))
	for _, r := range rows {
		key := [2]string{r.Link, r.Lane}
		next := lanes[key][0]
		lanes[key] = lanes[key][1:]
		list = append(list, Chosen{
			next.Link, next.Lane, next.Epoch, next.Number, next.ID, next.Kind, next.Digest, next.Redelivery, next.Failed, next.Why,
		})
	}
	return list
}

// more is the part of a condition that a choice adds, over the columns of these prefixes; id narrows it to one message.
func (c Choice) more(id, row, at string) (string, []any) {
	where, args := "", []any{}
	add := func(condition string, value any) { where, args = where+" AND "+condition, append(args, value) }
	for _, p := range []struct{ column, value string }{{"link", c.Link}, {"lane", c.Lane}, {"kind", c.Kind}, {"id", id}} {
		if p.value != "" {
			add(row+"."+p.column+" = ?", p.value)
		}
	}
	if !c.From.IsZero() {
		add(at+" >= ?", store.Micros(c.From))
	}
	if !c.To.IsZero() {
		add(at+" < ?", store.Micros(c.To))
	}
	return where, args
}

func chooseDelivered(ctx context.Context, tx *store.Tx, c Choice, id string, most int) (rows []chosenRow, err error) {
	where, args := c.more(id, "d", "d.settled_at")
	err = tx.Select(ctx, &rows, `SELECT link, lane, epoch, number, id, kind, digest, redelivery, created_at AS at, FALSE AS failed, '' AS why
		FROM outbox_delivered AS d WHERE role <> 'void' AND NOT EXISTS (SELECT 1 FROM outbox_delivered AS e WHERE e.link = d.link AND
			e.lane = d.lane AND e.epoch = d.epoch AND e.number = d.number AND e.redelivery > d.redelivery)
		AND NOT EXISTS (SELECT 1 FROM outbox_messages AS m WHERE m.id = d.id)`+where+` ORDER BY created_at, id LIMIT `+strconv.Itoa(most+1), args...)
	if err != nil {
		return nil, fmt.Errorf("choose delivered messages: %w", err)
	}
	return rows, nil
}

func chooseFailed(ctx context.Context, tx *store.Tx, c Choice, id string, most int) (rows []chosenRow, err error) {
	where, args := c.more(id, "m", "l.changed_at")
	if c.Why != "" {
		where, args = where+` AND LOWER(l.reason) LIKE LOWER(CAST(? AS TEXT)) ESCAPE '\'`, append(args, "%"+Pattern(c.Why)+"%")
	}
	end := " LIMIT " + strconv.Itoa(most+1)
	if c.Group != "" { // a pattern chooses more than the group
		where, args, end = where+` AND l.reason LIKE ? ESCAPE '\'`, append(args, around(c.Group)), ""
	}
	err = tx.Select(ctx, &rows, `SELECT m.link, m.lane, m.epoch, m.number, m.id, m.kind, m.digest, m.redelivery, m.created_at AS at, TRUE AS failed,
		l.reason AS why FROM outbox_lanes AS l JOIN outbox_messages AS m ON m.link = l.link AND m.lane = l.lane AND m.epoch = l.head_epoch AND m.number = l.head
		WHERE l.state IN ('parked', 'unknown') AND l.owing AND NOT l.paused AND m.role <> 'void'`+where+`
		ORDER BY m.created_at, m.id`+end, args...)
	if err != nil {
		return nil, fmt.Errorf("choose messages at which lanes stand still: %w", err)
	}
	if c.Group != "" {
		rows = slices.DeleteFunc(rows, func(r chosenRow) bool { return Alike(r.Why) != c.Group })
	}
	return rows, nil
}

// ChooseSome is Choose of those of these messages that can be sent again; left says of each of the others why not.
func (o *Outbox) ChooseSome(ctx context.Context, tx *store.Tx, ids []string) (list []Chosen, left []error, err error) {
	rows, left, err := o.chooseEach(ctx, tx, ids)
	return inOrder(rows), left, err
}

// chooseEach finds messages by their IDs, and says of those that cannot be sent again why.
func (o *Outbox) chooseEach(ctx context.Context, tx *store.Tx, ids []string) (rows []chosenRow, left []error, err error) {
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		found, err := chooseFailed(ctx, tx, Choice{}, id, 1)
		if err == nil && len(found) == 0 {
			found, err = chooseDelivered(ctx, tx, Choice{}, id, 1)
		}
		if err == nil && len(found) == 0 {
			err = o.blocked(ctx, tx, id)
		}
		if kind := problem.KindOf(err); kind == problem.Conflict || kind == problem.NotFound {
			left, err = append(left, err), nil
		}
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, found...)
	}
	return rows, left, nil
}

// blocked says why a message cannot be sent again now.
func (o *Outbox) blocked(ctx context.Context, tx *store.Tx, id string) error {
	d, err := o.Message(ctx, tx, id)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("replay message %s, number %d of lane %s", id, d.Number, d.Lane)
	if d.Role == message.Void {
		return &problem.Error{Kind: problem.Conflict, What: what, Why: "it was discarded, or has expired", Hint: "nothing is sent under its number"}
	}
	if d.Settled || !d.LaneState.Before(d.Place) {
		return &problem.Error{Kind: problem.Conflict, What: what, Why: "it is still owed, and is sent when its turn comes", Hint: "see: holdfast msg show " + id}
	}
	first, _, err := o.Messages(ctx, tx, Filter{Link: d.Link, Lane: d.Lane, Owed: true, OldestFirst: true, Limit: 1}, "")
	if err != nil {
		return err
	}
	e := &problem.Error{
		Kind: problem.Conflict, What: what, Why: fmt.Sprintf("message %d of its lane comes first: the order of a lane is absolute", d.LaneState.Head),
		Hint: "repair and replay the first one; the others follow it by themselves: holdfast lane show " + d.Link + " " + d.Lane,
	}
	for _, f := range first {
		e.Why = fmt.Sprintf("message %d of its lane, %s, comes first: the order of a lane is absolute", f.Number, f.ID)
	}
	return e
}

// Fate is what became of a message that was sent once more.
type Fate struct {
	Redelivery int    // of the delivery that this is about
	Settled    bool   // it needs nothing more
	Had        bool   // the ERP, which was asked, had it: nothing was sent
	Void       bool   // it was given up instead
	Stuck      bool   // its lane stands still at it: parked or unknown
	Gone       bool   // it is no longer kept
	Why        string // Stuck: the reason
}

type fateRow struct {
	ID, State, Why, Role string
	Epoch, Number, Head  int64
	HeadEpoch            int64 `db:"head_epoch"`
	Sends, Redelivery    int
	Settled, Asked       bool
}

func (r fateRow) fate() Fate {
	if r.Settled {
		return Fate{Redelivery: r.Redelivery, Settled: true, Had: r.Redelivery > 0 && r.Asked && r.Sends == 0, Void: r.Role == string(message.Void)}
	}
	stands := r.State == string(Parked) || r.State == string(Unknown)
	return Fate{Redelivery: r.Redelivery, Stuck: stands && r.Head == r.Number && r.HeadEpoch == r.Epoch, Why: r.Why}
}

// Fates says what became of messages, by their IDs.
func (o *Outbox) Fates(ctx context.Context, tx *store.Tx, ids []string) (map[string]Fate, error) {
	fates := make(map[string]Fate, len(ids))
	if len(ids) == 0 {
		return fates, nil
	}
	var rows []fateRow
	err := tx.Select(ctx, &rows, `SELECT d.id, '' AS state, '' AS why, role, epoch, number, 0 AS head, 0 AS head_epoch, sends, redelivery, TRUE AS settled, asked FROM outbox_delivered AS d
		WHERE `+among(tx, "d.id")+` ORDER BY redelivery`, listed(tx, ids))
	if err != nil {
		return nil, fmt.Errorf("read what became of messages: %w", err)
	}
	owed := []fateRow{}
	err = tx.Select(ctx, &owed, `SELECT m.id, l.state, l.reason AS why, m.role, m.epoch, m.number, l.head, l.head_epoch, m.sends, m.redelivery, r.id IS NOT NULL AS settled, FALSE AS asked
		FROM outbox_messages AS m JOIN outbox_lanes AS l ON l.link = m.link AND l.lane = m.lane
		LEFT JOIN outbox_receipts AS r ON `+isReceiptOf+` WHERE `+among(tx, "m.id"), listed(tx, ids))
	if err != nil {
		return nil, fmt.Errorf("read what is still owed of messages: %w", err)
	}
	for _, id := range ids {
		fates[id] = Fate{Gone: true}
	}
	for _, r := range append(rows, owed...) { // what is owed again counts, and of what is settled the last delivery
		fates[r.ID] = r.fate()
	}
	return fates, nil
}

// Note writes a person's words into the history of a message, where they stay whatever becomes of it. NotFound if it is not kept.
func (o *Outbox) Note(ctx context.Context, tx *store.Tx, id, text string) error {
	d, err := o.Message(ctx, tx, id)
	if err != nil {
		return err
	}
	if _, err := lockLane(ctx, tx, d.Link, d.Lane); err != nil { // two notes at once have two places
		return err
	}
	return history(ctx, tx, row{ID: id}, "note", text)
}
