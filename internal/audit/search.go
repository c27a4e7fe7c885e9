package audit

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"holdfast/internal/store"
)

// scanAtOnce is how many entries the search for words reads at a time.
const scanAtOnce = 500

// Search is one page of what a filter chooses, the latest first, and how many entries it chooses in all, whatever the page.
func Search(ctx context.Context, tx *store.Tx, f Filter) (page []Entry, matched int64, err error) {
	before, limit := f.Before, cmp.Or(f.Limit, 100)
	f.Before = 0
	if f.Text == "" {
		where, args := f.where()
		if err := tx.Get(ctx, &matched, `SELECT COUNT(*) FROM audit_entries`+where, args...); err != nil {
			return nil, 0, fmt.Errorf("count audit entries: %w", err)
		}
		f.Before = before
		page, err = List(ctx, tx, f)
		return page, matched, err
	}
	err = f.each(ctx, tx, func(e Entry) bool {
		matched++
		if len(page) < limit && (before <= 0 || e.Seq < before) {
			page = append(page, e)
		}
		return true
	})
	return page, matched, err
}

// each gives fn what the filter chooses, words and all, the latest first, until it says no. The words are compared here, so that both databases
// find the same: neither folds the case of every letter, and one keeps what was before and after as bytes.
func (f Filter) each(ctx context.Context, tx *store.Tx, fn func(Entry) bool) error {
	words := strings.Fields(strings.ToLower(f.Text))
	for {
		where, args := f.where()
		var rows []row
		if err := tx.Select(ctx, &rows, selectEntries+where+" ORDER BY seq DESC LIMIT ?", append(args, scanAtOnce)...); err != nil {
			return fmt.Errorf("read audit entries: %w", err)
		}
		for _, r := range rows {
			if e := r.entry(); e.has(words) && !fn(e) {
				return nil
			}
		}
		if len(rows) < scanAtOnce {
			return nil
		}
		f.Before = rows[len(rows)-1].Seq
	}
}

// has tells whether every word stands somewhere in the entry; the words are in lower case.
func (e Entry) has(words []string) bool {
	text := strings.ToLower(strings.Join([]string{e.Actor, e.From, e.Action, e.Object, e.Reason, e.Outcome, string(e.Before), string(e.After)}, "\n"))
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
