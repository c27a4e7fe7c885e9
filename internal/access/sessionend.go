package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// timeOut ends the session of a request, whose time is over. Of several requests that find that at once, one keeps it on record.
func (s *Sessions) timeOut(r *http.Request, actor string, began, seen time.Time) error {
	ctx := r.Context()
	err := s.db.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, deleteSession, foundToken(ctx))
		if err != nil || n == 0 {
			return err
		}
		return s.timedOut(ctx, tx, actor, address(r), began, seen)
	})
	return errors.Join(s.end(ctx, "the session has ended: nobody used it, or it was open for long enough"), err)
}

// swept keeps on record that a session has ended whose browser did not come again. One that was ended by an act has that on record.
func (s *Sessions) swept(ctx context.Context, tx *store.Tx, data []byte) error {
	_, values, err := scs.GobCodec{}.Decode(data)
	if err != nil {
		return nil //nolint:nilerr // it is none that this program could have let anybody in by
	}
	name, _ := values[sessionUser].(string)
	began, _ := values[sessionBegan].(int64)
	seen, _ := values[sessionSeen].(int64)
	if name == "" {
		return nil
	}
	a, err := s.account(ctx, tx, name)
	if err != nil && problem.KindOf(err) != problem.NotFound || began <= a.signedOut {
		return err
	}
	if _, elsewhere := bareName(name); !elsewhere {
		name = "user:" + name
	}
	return s.timedOut(ctx, tx, name, "", store.FromMicros(began), store.FromMicros(seen))
}

// timedOut keeps on record that a session has ended by itself, how long it was and when it was used last.
func (s *Sessions) timedOut(ctx context.Context, tx *store.Tx, actor, from string, began, seen time.Time) error {
	after, err := json.Marshal(map[string]time.Time{"began": began.UTC(), "used": seen.UTC()})
	if err != nil {
		return fmt.Errorf("write the end of a session: %w", err)
	}
	why := fmt.Sprintf("nobody used the session for %s", s.cfg.Idle)
	if !seen.Add(s.cfg.Idle).Before(began.Add(s.cfg.Absolute)) {
		why = fmt.Sprintf("the session was open for %s", s.cfg.Absolute)
	}
	return audit.Append(ctx, tx, audit.Entry{Actor: actor, From: from, Action: SignedOut, Object: "console", Reason: why, After: after})
}
