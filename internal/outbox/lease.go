package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// Holding names one lane in hand.
type Holding struct {
	Lane  string
	Token int64 // 0: to TakeBack any, while an append that may take the lane is under way
}

// Renew extends the leases of lanes in hand. It returns those that it has extended, and those that are lost: they
// were given back, or somebody else has claimed them. A lane that is in neither is being appended to at this moment; its lease runs on as it was.
func (o *Outbox) Renew(ctx context.Context, tx *store.Tx, link string, held []Holding) (renewed, lost []Holding, err error) {
	if len(held) == 0 {
		return nil, nil, nil
	}
	g := inHand(held)
	still := func(clause string) (names []string, err error) {
		err = tx.Select(ctx, &names, `SELECT l.lane FROM `+g.Table(tx, "g")+` CROSS JOIN outbox_lanes AS l
			WHERE l.link = ? AND l.lane = g.lane AND l.lease_token = g.token AND l.lease_owner <> ''`+clause, append(g.Args(tx), link)...)
		return names, err
	}
	free, err := still(tx.SkipLocked()) // a row that an append has locked is passed over: the next renewal comes long before the lease ends
	if err != nil {
		return nil, nil, fmt.Errorf("lock lanes of link %s: %w", link, err)
	}
	err = tx.Later(ctx, `UPDATE outbox_lanes SET due_at = ? WHERE link = ? AND `+among(tx, "lane"),
		store.Micros(tx.Now.Add(o.cfg.Lease)), link, listed(tx, free))
	if err != nil {
		return nil, nil, fmt.Errorf("renew leases of link %s: %w", link, err)
	}
	ours, err := still("")
	if err != nil {
		return nil, nil, fmt.Errorf("read leases of link %s: %w", link, err)
	}
	isFree, isOurs := set(free), set(ours)
	for _, h := range held {
		switch {
		case !isOurs[h.Lane]:
			lost = append(lost, h)
		case isFree[h.Lane]:
			renewed = append(renewed, h)
		}
	}
	return renewed, lost, nil
}

// inHand is a table of lanes in hand, with their tokens.
func inHand(held []Holding) store.Given {
	names, tokens := make([]string, 0, len(held)), make([]int64, 0, len(held))
	for _, h := range held {
		names, tokens = append(names, h.Lane), append(tokens, h.Token)
	}
	return store.Give(store.Col("lane", names), store.Col("token", tokens))
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// Abandon parks a lane in hand, with the reason, and ends its lease without settling anything: what was marked as sent at its claim
// stays marked, and is asked for when a person resumes the lane. A lane that is no longer in this hand is left alone.
func (o *Outbox) Abandon(ctx context.Context, tx *store.Tx, link string, h Holding, reason string) error {
	_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET state = 'parked', awaits = '', reason = ?, lease_owner = '', due_at = ?, changed_at = ?
		WHERE link = ? AND lane = ? AND lease_token = ? AND lease_owner <> ''`, reason, store.Micros(tx.Now), store.Micros(tx.Now), link, h.Lane, h.Token)
	if err != nil {
		return fmt.Errorf("park lane %s of link %s: %w", h.Lane, link, err)
	}
	tx.Wake(Settled)
	return nil
}

// TakeBack ends the leases of link in the name of node, except for those it holds, each told by its token: at a start, those of a process
// of the same name that is gone (so the name must be unique in the plant); later, those of a claim whose commit nobody heard of. What
// may have been sent stays marked, and becomes due once it has had the time to arrive.
func (o *Outbox) TakeBack(ctx context.Context, tx *store.Tx, node, link string, held []Holding) (lanes int64, err error) {
	take, args := `UPDATE outbox_lanes SET lease_owner = '', lease_token = lease_token + 1, sent_by_token = sent_by_token + 1,
		due_at = CASE WHEN sent_to >= head THEN ? WHEN head_at > ? THEN ? ELSE head_at END WHERE lease_owner = ? AND link = ?`,
		[]any{store.Micros(tx.Now.Add(o.cfg.AskAfter)), store.Micros(tx.Now), store.Micros(tx.Now), node, link}
	if len(held) > 0 {
		g := inHand(held)
		take += ` AND NOT EXISTS (SELECT 1 FROM ` + g.Table(tx, "g") + ` WHERE g.lane = outbox_lanes.lane AND g.token IN (0, outbox_lanes.lease_token))`
		args = append(args, g.Args(tx)...)
	}
	n, err := tx.Exec(ctx, take, args...)
	if err != nil {
		return 0, fmt.Errorf("take back the leases of node %s: %w", node, err)
	}
	return n, nil
}

// Rebase brings near what a clock that was wrong has put far away: lanes whose next attempt lies further ahead than any backoff,
// and leases longer than any lease. With jumped, which the relay says when its clock has gone back and when it starts, every
// lane that waits for an attempt is due at once. Scheduled messages keep their time. It also looks at the clock for messages that
// expire: while a link is held nothing is claimed, and a leap ahead must be seen all the same.
func (o *Outbox) Rebase(ctx context.Context, tx *store.Tx, node, link string, jumped bool) (lanes int64, err error) {
	o.expiry.look(tx.Now)
	now, far := store.Micros(tx.Now), store.Micros(tx.Now.Add(max(longest, o.cfg.Backoff)))
	if jumped {
		far = now + o.cfg.AskAfter.Microseconds()
	}
	n, err := tx.Exec(ctx, `UPDATE outbox_lanes SET due_at = ? WHERE link = ? AND `+due+` AND priority IN (-1, 0, 1) AND due_at > ?
		AND lease_owner = '' AND NOT scheduled`, now, link, far)
	if err != nil {
		return 0, fmt.Errorf("bring near the lanes of link %s: %w", link, err)
	}
	m, err := tx.Exec(ctx, `UPDATE outbox_lanes SET due_at = ? WHERE link = ? AND `+due+` AND priority IN (-1, 0, 1) AND due_at > ?
		AND lease_owner <> '' AND lease_owner <> ?`, now, link, store.Micros(tx.Now.Add(2*o.cfg.Lease)), node)
	if err != nil {
		return 0, fmt.Errorf("end impossible leases of link %s: %w", link, err)
	}
	return n + m, nil
}
