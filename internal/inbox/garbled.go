package inbox

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// SQLite keeps a text in a column of numbers, and a row that somebody has altered so cannot be read. It stops its own lane: the claim reads those of all
// lanes at once.

// numbersOf are the columns of numbers of the inbox's rows, but for those that a database keeps right.
func numbersOf(table string) []string {
	if table == "inbox_streams" {
		return []string{"epoch", "next_number", "waiting", "bytes", "early", "due_at", "held", "attempts", "gap_since", "gap_alerted"}
	}
	return []string{"version", "epoch", "number", "attempts", "received_at", "settled_at", "sealed", "original_sealed"}
}

// garbled tells whether rows of a table could not be read for what is in a column of numbers.
func garbled(tx *store.Tx, err error) bool {
	return err != nil && tx.Dialect() == store.SQLite && strings.Contains(err.Error(), "Scan error on column")
}

// notNumbers is the condition of a row of a table that cannot be read, and the name of the first such column.
func notNumbers(table string) (where, which string) {
	var any, names []string
	for _, c := range numbersOf(table) {
		is := `typeof(` + c + `) NOT IN ('integer', 'null')`
		any, names = append(any, is), append(names, `WHEN `+is+` THEN '`+c+`'`)
	}
	return `(` + strings.Join(any, " OR ") + `)`, `CASE ` + strings.Join(names, " ") + ` END`
}

// unreadable finds the message of a stream that cannot be read, and gives it as one that belongs in quarantine. What no number is is none from then on,
// so that it can be listed; what it was is in the reason. It holds its stream, whose order nobody knows without it.
func unreadable(ctx context.Context, tx *store.Tx, s *stream) (*outcome, error) {
	where, which := notNumbers("inbox_messages")
	var found []struct {
		Seq      int64
		Col, Was string
	}
	err := tx.Select(ctx, &found, `SELECT seq, `+which+` AS col, CAST(`+strings.Join(numbersOf("inbox_messages"), `||' '||`)+` AS TEXT) AS was FROM inbox_messages
		WHERE source = ? AND stream = ? AND state = 'ready' AND `+where+` ORDER BY seq LIMIT 1`, s.Source, s.Stream)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	f := found[0]
	for _, c := range numbersOf("inbox_messages") {
		_, err := tx.Exec(ctx, `UPDATE inbox_messages SET `+c+` = 0 WHERE seq = ? AND typeof(`+c+`) NOT IN ('integer', 'null')`, f.Seq)
		if err != nil {
			return nil, fmt.Errorf("make message %d readable: %w", f.Seq, err)
		}
	}
	var r []row
	if err := tx.Select(ctx, &r, `SELECT `+columns+` FROM inbox_messages WHERE seq = ?`, f.Seq); err != nil || len(r) == 0 {
		return nil, err
	}
	v := refused(r[0], &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("read inbound message %d", f.Seq),
		Why:  "column " + f.Col + " of it is no number, as Holdfast writes it: the database was altered (its numbers were " + short(f.Was) + ")",
		Hint: "find out by whom, and discard the message; have the ERP send it again",
	})
	return &outcome{r[0], v}, nil
}

// restUnreadable takes those streams out of the claim that cannot be read themselves, and raises the alarm for each: nobody knows what is next in them.
func (i *Inbox) restUnreadable(ctx context.Context, tx *store.Tx) (n int, err error) {
	where, which := notNumbers("inbox_streams")
	var found []struct{ Source, Stream, Col string }
	if err := tx.Select(ctx, &found, `SELECT source, stream, `+which+` AS col FROM inbox_streams WHERE due_at > 0 AND `+where); err != nil {
		return 0, fmt.Errorf("look for streams that cannot be read: %w", err)
	}
	for _, f := range found {
		why := &problem.Error{
			Kind: problem.Integrity, What: "read inbound lane " + f.Stream + " of " + f.Source, Why: "column " + f.Col + " of its row in inbox_streams is no number, as Holdfast writes it: the database was altered",
			Hint: "find out by whom; restore the row from a backup, or the plant",
		}
		i.log.ErrorContext(ctx, "an inbound lane cannot be read, and stands still", "source", f.Source, "lane", f.Stream, "err", why)
		_, err := tx.Exec(ctx, `UPDATE inbox_streams SET due_at = 0, trouble = ? WHERE source = ? AND stream = ?`, short(why.Error()), f.Source, f.Stream)
		if err == nil && i.cfg.Alarm != nil {
			err = i.cfg.Alarm.Raise(ctx, tx, alteredAlert, "inbound-lane/"+f.Source+"/"+f.Stream, why)
		}
		if err != nil {
			return 0, fmt.Errorf("put an unreadable stream aside: %w", err)
		}
	}
	return len(found), nil
}
