package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/audit"
	"holdfast/internal/store"
)

// mostLate is how many numbers of entries one may come late, after another with a greater one was handed on, and is still seen while the record stands.
// What comes later yet is handed on with its place.
const mostLate = 1000

// stood notes whether the record stands, and tells of it once. The collector's trouble is in the database, and so are the channels'.
func (f *Forwarder) stood(ctx context.Context, why error) error {
	was := f.stands
	f.stands = why != nil
	f.beyond.Set(0)
	switch {
	case why != nil:
		f.beyond.Set(1)
		if was {
			return nil
		}
		f.log.ErrorContext(ctx, "the audit record stands: what is new in it is handed on without a place", "err", why)
		return f.trouble(ctx, why)
	case was:
		f.log.InfoContext(ctx, "the audit record goes on")
		return f.untroubled(ctx)
	}
	return nil
}

func (f *Forwarder) untroubled(ctx context.Context) error {
	return f.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE siem_cursors SET trouble = '' WHERE collector = ? AND owner = ?`, f.to.Name, f.node)
		return err
	})
}

// ahead hands on, by their numbers, entries that have no place since the record stands.
func (f *Forwarder) ahead(ctx context.Context) (n int, err error) {
	var all []placed
	err = f.db.View(ctx, func(tx *store.Tx) error {
		all, err = f.unplaced(ctx, tx)
		f.aged(tx, all)
		return err
	})
	if err != nil || len(all) == 0 {
		f.narrow = f.narrow && err != nil
		return 0, err
	}
	size := len(all)
	if f.once { // each of these is noted by itself: none is judged twice, nor told twice for what came after it
		size = 1
	}
	for some := range slices.Chunk(all, size) {
		if err := f.carry(ctx, some); err != nil {
			return n, errors.Join(err, f.trouble(ctx, err))
		}
		if err := f.note(ctx, some); err != nil {
			return n, err
		}
		n += len(some)
	}
	return n, nil
}

// unplaced are the next entries without a place that the collector has not had.
func (f *Forwarder) unplaced(ctx context.Context, tx *store.Tx) ([]placed, error) {
	var last int64
	if err := tx.Get(ctx, &last, `SELECT COALESCE(MAX(entry), 0) FROM siem_ahead WHERE collector = ?`, f.to.Name); err != nil {
		return nil, fmt.Errorf("read what collector %s had while the record stands: %w", f.to.Name, err)
	}
	entries, err := audit.Unplaced(ctx, tx, last-mostLate, f.most()+mostLate)
	if err != nil {
		return nil, err
	}
	all := make([]placed, len(entries))
	for i, e := range entries {
		all[i] = placed{e, -1}
	}
	all, err = f.unhad(ctx, tx, all)
	return all[:min(len(all), f.most())], err
}

// unhad leaves out what the collector had while the record stood.
func (f *Forwarder) unhad(ctx context.Context, tx *store.Tx, all []placed) ([]placed, error) {
	if len(all) == 0 {
		return nil, nil
	}
	numbers := make([]int64, len(all))
	for i, e := range all {
		numbers[i] = e.Seq
	}
	query, args, err := tx.In(`SELECT entry FROM siem_ahead WHERE collector = ? AND entry IN (?)`, f.to.Name, numbers)
	if err != nil {
		return nil, err
	}
	var had []int64
	if err := tx.Select(ctx, &had, query, args...); err != nil {
		return nil, fmt.Errorf("read what collector %s had while the record stood: %w", f.to.Name, err)
	}
	return slices.DeleteFunc(all, func(e placed) bool { return slices.Contains(had, e.Seq) }), nil
}

// news are those of some entries with places that are to be handed on.
func (f *Forwarder) news(ctx context.Context, all []placed) (news []placed, err error) {
	if !f.once {
		return all, nil
	}
	err = f.db.View(ctx, func(tx *store.Tx) error {
		news, err = f.unhad(ctx, tx, slices.Clone(all))
		return err
	})
	return news, err
}

// note notes that the collector has entries without their places.
func (f *Forwarder) note(ctx context.Context, had []placed) error {
	err := f.db.InTx(ctx, func(tx *store.Tx) error {
		for _, e := range had {
			if _, err := tx.Exec(ctx, `INSERT INTO siem_ahead (collector, entry) VALUES (?, ?) ON CONFLICT DO NOTHING`, f.to.Name, e.Seq); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE siem_cursors SET sent_at = ? WHERE collector = ? AND owner = ?`, store.Micros(tx.Now), f.to.Name, f.node)
		return err
	})
	if err != nil {
		return fmt.Errorf("note what collector %s has while the record stands: %w", f.to.Name, err)
	}
	return nil
}

// forget forgets of entries that they were handed on without their places, as they have them now.
func (f *Forwarder) forget(ctx context.Context, tx *store.Tx, had []placed) error {
	var any int
	if err := tx.Get(ctx, &any, `SELECT COUNT(*) FROM (SELECT 1 FROM siem_ahead WHERE collector = ? LIMIT 1) AS had`, f.to.Name); err != nil || any == 0 {
		return err
	}
	numbers := make([]int64, len(had))
	for i, e := range had {
		numbers[i] = e.Seq
	}
	query, args, err := tx.In(`DELETE FROM siem_ahead WHERE collector = ? AND entry IN (?)`, f.to.Name, numbers)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, query, args...)
	return err
}
