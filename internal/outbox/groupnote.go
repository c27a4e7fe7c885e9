package outbox

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// GroupNote is what somebody wrote about lanes of a link that stand still for one reason.
type GroupNote struct {
	Author, Text string
	At           time.Time
}

// mostNotes is how many notes of a group are shown.
const mostNotes = 50

// NoteGroup writes a person's words about the lanes of a link that stand still for a reason, alike or as a message has it. They stay whatever
// becomes of these lanes, for Config.Keep. Invalid for a reason that is none.
func (o *Outbox) NoteGroup(ctx context.Context, tx *store.Tx, link, reason, author, text string) error {
	alike := Alike(reason)
	if link == "" || strings.Trim(alike, gap+" ") == "" {
		return &problem.Error{
			Kind: problem.Invalid, What: "write a note to a group", Why: "it names no link, or no reason for which lanes stand still",
			Hint: "copy the reason from the console's groups, or from holdfast lane list --stuck",
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM outbox_group_notes WHERE at < ?`, store.Micros(tx.Now.Add(-o.cfg.Keep))); err != nil {
		return fmt.Errorf("forget old notes of groups: %w", err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_group_notes (link, reason, at, author, text) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (link, reason, at, author) DO UPDATE SET text = excluded.text`, link, alike, store.Micros(tx.Now), author, text)
	if err != nil {
		return fmt.Errorf("write a note to a group of link %s: %w", link, err)
	}
	return nil
}

// GroupNotes are the latest notes of a group, the latest first.
func (o *Outbox) GroupNotes(ctx context.Context, tx *store.Tx, link, reason string) ([]GroupNote, error) {
	var list []GroupNote
	err := tx.Read(ctx, func(r *store.Row) { list = append(list, GroupNote{r.Text(), r.Text(), store.FromMicros(r.Int())}) },
		`SELECT author, text, at FROM outbox_group_notes WHERE link = ? AND reason = ? ORDER BY at DESC, author LIMIT `+fmt.Sprint(mostNotes), link, Alike(reason))
	if err != nil {
		return nil, fmt.Errorf("read the notes of a group of link %s: %w", link, err)
	}
	return list, nil
}
