package mes

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Page asks for one page of a list.
type Page struct {
	Cursor string // List.Next of the page before; empty for the first
	Limit  int    // default 50, at most 500
}

// List is one page, in an order that does not change under the reader's hands.
type List[T any] struct {
	Items []T
	Next  string // cursor of the next page; empty on the last

	Altered []string // IDs of those of the page that were altered in the database, so that they cannot be opened: they are not among Items
}

// The limits of a page.
const (
	defaultLimit = 50
	maxLimit     = 500
)

func (p Page) limit() int {
	if p.Limit <= 0 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// after reads the cursor into the values of the last row seen, and is false for the first page.
func (p Page) after(into ...any) (bool, error) {
	if p.Cursor == "" {
		return false, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err == nil {
		want := len(into)
		if err = json.Unmarshal(text, &into); err == nil && len(into) == want && !slices.ContainsFunc(into, unstorable) {
			return true, nil
		}
	}
	return false, &problem.Error{
		Kind: problem.Invalid, What: "next page", Why: "the cursor is not one that this list has given",
		Hint: "begin again without a cursor", Fields: []problem.Field{field("cursor", "is not known")}, Cause: err,
	}
}

// unstorable tells whether v is a text that no database keeps.
func unstorable(v any) bool {
	s, ok := v.(*string)
	return ok && !storable(*s)
}

// cursor is where the page after a row begins.
func cursor(values ...any) (string, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("write a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// where gathers conditions.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds, w.args = append(w.conds, cond), append(w.args, args...)
}

// is adds a condition on a text unless the text is empty. What no database keeps in text matches nothing.
func (w *where) is(column, value string) {
	switch {
	case value == "":
	case storable(value):
		w.add(column+" = ?", value)
	default:
		w.add("1 = 0")
	}
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// recorded is a row of a list that is read in the order in which things were recorded.
type recorded struct {
	ID   string `db:"id"`
	At   int64  `db:"recorded_at"`
	Body []byte `db:"body"`
}

// listRecorded reads one page of a table of recorded things.
func listRecorded[T any](ctx context.Context, tx *store.Tx, table string, w where, p Page) (List[T], error) {
	var at int64
	var id string
	more, err := p.after(&at, &id)
	if err != nil {
		return List[T]{}, err
	}
	if more {
		w.add("(recorded_at, id) > (?, ?)", at, id)
	}
	var rows []recorded
	query := "SELECT id, recorded_at, body FROM " + table + w.String() + " ORDER BY recorded_at, id LIMIT ?"
	if err := tx.Select(ctx, &rows, query, append(w.args, p.limit()+1)...); err != nil {
		return List[T]{}, fmt.Errorf("list %s: %w", table, err)
	}
	whole, altered := rows[:0:0], map[string]bool{}
	for n, r := range rows {
		switch r.Body, err = openDoc(ctx, tx, r.ID, r.Body); {
		case problem.KindOf(err) == problem.Integrity: // it hides none of the others
			r.Body, altered[r.ID] = []byte("{}"), n < p.limit()
		case err != nil:
			return List[T]{}, fmt.Errorf("list %s: %w", table, err)
		}
		whole = append(whole, r)
	}
	out, err := paged[T](whole, p, func(r recorded) []byte { return r.Body }, func(r recorded) (string, error) { return cursor(r.At, r.ID) })
	for n := len(out.Items) - 1; n >= 0; n-- {
		if id := whole[n].ID; altered[id] {
			out.Items, out.Altered = slices.Delete(out.Items, n, n+1), append(out.Altered, id)
		}
	}
	slices.Reverse(out.Altered)
	return out, err
}

// paged makes a page of rows, of which one more than the limit was read.
func paged[T, R any](rows []R, p Page, body func(R) []byte, next func(R) (string, error)) (List[T], error) {
	var out List[T]
	if len(rows) > p.limit() {
		rows = rows[:p.limit()]
		var err error
		if out.Next, err = next(rows[len(rows)-1]); err != nil {
			return List[T]{}, err
		}
	}
	out.Items = make([]T, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal(body(r), &out.Items[i]); err != nil {
			return List[T]{}, fmt.Errorf("read a kept document: %w", err)
		}
	}
	return out, nil
}

// readBody reads the document of one row; what and id name it for a person if it is not there.
func readBody[T any](ctx context.Context, tx *store.Tx, what, id, query string, args ...any) (T, error) {
	var out T
	var body []byte
	err := sql.ErrNoRows
	if storable(id) {
		err = tx.Get(ctx, &body, query, args...)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return out, missing(what+" "+id, "the plant has none of that ID", "look it up in the list")
	}
	if err != nil {
		return out, fmt.Errorf("read %s %s: %w", what, id, err)
	}
	if body, err = openDoc(ctx, tx, id, body); err != nil {
		return out, fmt.Errorf("read %s %s: %w", what, id, err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fmt.Errorf("read %s %s: %w", what, id, err)
	}
	return out, nil
}

// command is an act that carried an ID.
type command struct {
	ID     string `db:"id"`
	Kind   string `db:"kind"`
	Digest string `db:"digest"`
}

// claimCommand takes the ID for c; where it was taken before, it says by what.
func claimCommand(ctx context.Context, tx *store.Tx, c command) (fresh bool, before command, err error) {
	n, err := tx.Exec(ctx, "INSERT INTO plant_commands (id, kind, digest, recorded_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
		c.ID, c.Kind, c.Digest, store.Micros(tx.Now))
	if err != nil {
		return false, command{}, fmt.Errorf("keep the ID %s: %w", c.ID, err)
	}
	if n == 1 {
		return true, command{}, nil
	}
	if err := tx.Get(ctx, &before, "SELECT id, kind, digest FROM plant_commands WHERE id = ?", c.ID); err != nil {
		return false, command{}, fmt.Errorf("read the ID %s: %w", c.ID, err)
	}
	return false, before, nil
}

// nextNumber is the next of a range, without gaps: the range is locked until the transaction ends.
func nextNumber(ctx context.Context, tx *store.Tx, name, prefix string, digits int) (string, error) {
	var n int64
	err := tx.Get(ctx, &n, `INSERT INTO plant_counters (name, last) VALUES (?, 1)
		ON CONFLICT (name) DO UPDATE SET last = plant_counters.last + 1 RETURNING last`, name)
	if err != nil {
		return "", fmt.Errorf("take the next number of range %s: %w", name, err)
	}
	return fmt.Sprintf("%s%0*d", prefix, digits, n), nil
}

// cutObject splits "order/ID".
func cutObject(object string) (kind, id string, ok bool) { return strings.Cut(object, "/") }
