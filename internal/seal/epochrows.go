package seal

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/store"
)

// epochRow is an epoch as it is kept.
type epochRow struct {
	ID      int64
	Wrapped string
	MadeAt  int64 `db:"made_at"`
	UsedAt  int64 `db:"used_at"`
	Seals   int64
}

// epochs are all that are kept, and how far sealing has got.
type epochs struct {
	rows    []epochRow
	beganAt int64
	wholeAt int64
	removed bool   // somebody has deleted how far it has
	plain   []byte // the plant's statement that what it owes may be unsealed
}

func readEpochs(ctx context.Context, tx *store.Tx) (e epochs, err error) {
	var state []struct {
		BeganAt int64 `db:"began_at"`
		WholeAt int64 `db:"whole_at"`
		Plain   []byte
	}
	err = tx.Select(ctx, &state, `SELECT began_at, whole_at, plain FROM rest_state`)
	if err == nil {
		err = tx.Select(ctx, &e.rows, `SELECT id, wrapped, made_at, used_at, seals FROM rest_epochs ORDER BY id`)
	}
	if err != nil {
		return e, fmt.Errorf("read the epochs of what is sealed at rest: %w", err)
	}
	for _, s := range state {
		e.beganAt, e.wholeAt, e.plain = s.BeganAt, s.WholeAt, s.Plain
	}
	if len(state) == 0 && e.last() != nil { // somebody has deleted the row: what was begun stays so
		e.beganAt, e.wholeAt, e.removed = 1, 1, true
	}
	return e, nil
}

// last is the epoch by which was sealed last, nil if none was.
func (e epochs) last() *epochRow {
	for n := len(e.rows) - 1; n >= 0; n-- {
		if e.rows[n].UsedAt > 0 {
			return &e.rows[n]
		}
	}
	return nil
}

// at is the epoch of the moment: the one that was used last, or that is used first; nil if there is none.
func (e epochs) at() *epochRow {
	if last := e.last(); last != nil || len(e.rows) == 0 {
		return last
	}
	return &e.rows[0]
}

// unused are those that lie ready.
func (e epochs) unused() (ready []epochRow) {
	for _, row := range e.rows {
		if row.UsedAt == 0 {
			ready = append(ready, row)
		}
	}
	return ready
}

// keepEpochs keeps epochs that lie ready.
func keepEpochs(ctx context.Context, tx *store.Tx, wrapped []string) ([]int64, error) {
	ids := make([]int64, len(wrapped))
	for n, w := range wrapped {
		err := tx.Get(ctx, &ids[n], `INSERT INTO rest_epochs (wrapped, made_at) VALUES (?, ?) RETURNING id`, w, store.Micros(tx.Now))
		if err != nil {
			return nil, fmt.Errorf("keep an epoch: %w", err)
		}
	}
	tx.Wake(RestTopic)
	return ids, nil
}

// RestState is how it is with what a plant seals at rest.
type RestState struct {
	Began time.Time `json:"began,omitzero"` // since when; zero: it does not
	Whole time.Time `json:"whole,omitzero"` // since when nothing that is owed is unsealed
	Epoch int64     `json:"epoch"`          // that was used last
	Since time.Time `json:"since,omitzero"` // since when
	Ready int       `json:"ready"`          // epochs that lie ready

	Epochs  int `json:"epochs"`          // all that there are
	Earlier int `json:"wrapped_earlier"` // of them, those that are wrapped by an earlier version of the key than others: a rewrap has come so far
}

// ReadRestState tells what the database knows of it.
func ReadRestState(ctx context.Context, tx *store.Tx) (s RestState, err error) {
	kept, err := readEpochs(ctx, tx)
	if err != nil {
		return s, err
	}
	s.Ready, s.Epochs, s.Earlier = len(kept.unused()), len(kept.rows), earlier(kept.rows)
	if kept.beganAt > 0 {
		s.Began = store.FromMicros(kept.beganAt)
	}
	if kept.wholeAt > 0 {
		s.Whole = store.FromMicros(kept.wholeAt)
	}
	if last := kept.last(); last != nil {
		s.Epoch, s.Since = last.ID, store.FromMicros(last.UsedAt)
	}
	return s, nil
}

// OpensSeeds is nil if a keyring opens the seed of every epoch that a database keeps. The error of those that it refuses is of kind Denied; others are as of
// Wrapper.Unwrap. What Vault has wrapped, of a plant that has gone there, a keyring of the plant's own leaves to it.
func OpensSeeds(ctx context.Context, tx *store.Tx, w Wrapper) error {
	kept, err := readEpochs(ctx, tx)
	if err != nil || len(kept.rows) == 0 {
		return err
	}
	_, local := w.(*Local)
	wrapped := make([]string, 0, len(kept.rows))
	for _, row := range kept.rows {
		if !local || !strings.HasPrefix(row.Wrapped, "vault:") {
			wrapped = append(wrapped, row.Wrapped)
		}
	}
	_, err = w.Unwrap(ctx, wrapped)
	return err
}
