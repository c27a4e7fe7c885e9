package outbox

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Garbled is why rows cannot be read: a column of one of them is not what Holdfast writes there. It is a problem of kind Integrity.
type Garbled struct {
	Link, Lane string
	Number     int64 // of the message, or the last of the lane; where that is what was altered, the first that is missing

	why *problem.Error
}

// Error implements error.
func (g *Garbled) Error() string { return g.why.Error() }

// Unwrap gives the problem.
func (g *Garbled) Unwrap() error { return g.why }

// garbled says which row of some tables is not what Holdfast writes, where rows of them could not be read for that: SQLite keeps a text in a column of
// numbers. Any other error stays what it is.
func garbled(ctx context.Context, tx *store.Tx, err error, link, lane string, tables ...string) error {
	if err == nil || tx.Dialect() != store.SQLite || !strings.Contains(err.Error(), "Scan error on column") {
		return err
	}
	for _, table := range tables {
		g, lookErr := garbledIn(ctx, tx, table, link, lane)
		if lookErr != nil || g != nil {
			if g == nil {
				return lookErr
			}
			g.why.Cause = err
			return g
		}
	}
	return err
}

// garbledIn is the first row of a table that has something else in a column of numbers; nil if none has.
func garbledIn(ctx context.Context, tx *store.Tx, table, link, lane string) (*Garbled, error) {
	any, which, err := notNumbers(ctx, tx, table)
	if err != nil {
		return nil, err
	}
	number := `CASE WHEN typeof(number) = 'integer' THEN number ELSE COALESCE((SELECT MIN(b.number) + 1 FROM ` + table + ` AS b WHERE b.link = m.link AND b.lane = m.lane
		AND typeof(b.number) = 'integer' AND NOT EXISTS (SELECT 1 FROM ` + table + ` AS a WHERE a.link = b.link AND a.lane = b.lane AND a.number = b.number + 1)), 1) END`
	if table == "outbox_lanes" {
		number = `CASE WHEN typeof(next_number) = 'integer' THEN next_number - 1 ELSE 0 END`
	}
	var rows []struct {
		Link, Lane, Col string
		Number          int64
	}
	err = tx.Select(ctx, &rows, `SELECT link, lane, CASE `+strings.Join(which, " ")+` END AS col, `+number+` AS number FROM `+table+` AS m
		WHERE (? = '' OR link = ?) AND (? = '' OR lane = ?) AND (`+strings.Join(any, " OR ")+`) ORDER BY link, lane LIMIT 1`, link, link, lane, lane)
	if err != nil {
		return nil, fmt.Errorf("look for what cannot be read in %s: %w", table, err)
	}
	for _, r := range rows {
		return newGarbled(r.Link, r.Lane, r.Number, table, r.Col), nil
	}
	return nil, nil
}

func newGarbled(link, lane string, number int64, table, column string) *Garbled {
	return &Garbled{link, lane, number, &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("lane %s of link %s, number %d", lane, link, number),
		Why: "column " + column + " of its row in " + table + " is no number, as Holdfast writes it: the database was altered", Hint: AlteredDo,
	}}
}

// notNumbers are the conditions, one for each column of numbers of a table, that there is something else in it, and the cases that name the column.
func notNumbers(ctx context.Context, tx *store.Tx, table string) (any, which []string, err error) {
	var columns []string
	err = tx.Select(ctx, &columns, `SELECT name FROM pragma_table_info(?) WHERE type IN ('BIGINT', 'INTEGER', 'BOOLEAN') ORDER BY cid`, table)
	if err != nil {
		return nil, nil, fmt.Errorf("read the columns of %s: %w", table, err)
	}
	const is = `typeof(%[1]s) NOT IN ('integer', 'null')`
	for _, c := range columns {
		any, which = append(any, fmt.Sprintf(is, c)), append(which, fmt.Sprintf(`WHEN `+is+` THEN '%[1]s'`, c))
	}
	return any, which, nil
}

// garbledEvent is garbled, of the history of one message.
func garbledEvent(ctx context.Context, tx *store.Tx, err error, w row) error {
	if tx.Dialect() != store.SQLite || !strings.Contains(err.Error(), "Scan error on column") {
		return err
	}
	const table = "outbox_events"
	any, which, lookErr := notNumbers(ctx, tx, table)
	if lookErr != nil {
		return lookErr
	}
	var column []string
	lookErr = tx.Select(ctx, &column, `SELECT CASE `+strings.Join(which, " ")+` END FROM `+table+` WHERE id = ? AND (`+strings.Join(any, " OR ")+`) LIMIT 1`, w.ID)
	if lookErr != nil {
		return fmt.Errorf("look for what cannot be read in %s: %w", table, lookErr)
	}
	if len(column) == 0 {
		return err
	}
	g := newGarbled(w.Link, w.Lane, w.Number, table, column[0])
	g.why.Cause = err
	return g
}
