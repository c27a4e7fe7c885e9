package audit

import "holdfast/internal/store"

const insertEntry = `INSERT INTO audit_entries (at, actor, origin, action, object, reason, old, new, outcome)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

const selectEntries = `SELECT seq, at, actor, origin, action, object, reason, old, new, outcome FROM audit_entries`

type row struct {
	Seq     int64  `db:"seq"`
	At      int64  `db:"at"`
	Actor   string `db:"actor"`
	Origin  string `db:"origin"`
	Action  string `db:"action"`
	Object  string `db:"object"`
	Reason  string `db:"reason"`
	Old     []byte `db:"old"`
	New     []byte `db:"new"`
	Outcome string `db:"outcome"`
}

func (r row) entry() Entry {
	return Entry{
		Seq: r.Seq, At: store.FromMicros(r.At), Actor: r.Actor, From: r.Origin, Action: r.Action, Object: r.Object, Reason: r.Reason,
		Before: r.Old, After: r.New, Outcome: r.Outcome,
	}
}
