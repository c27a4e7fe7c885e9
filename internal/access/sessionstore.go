package access

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/store"
)

// sessionStore keeps sessions in the plant's database, so that every node knows them. It is an scs.CtxStore.
type sessionStore struct {
	db   *store.DB
	gone func(ctx context.Context, tx *store.Tx, data []byte) error // tells of one that was taken out, since its time was over
}

// foundKey is where the context of a request has the token, as it is kept, of the session that was there when the request began.
type foundKey struct{}

// foundToken is that token; "" if there was no session.
func foundToken(ctx context.Context) string {
	if found, ok := ctx.Value(foundKey{}).(*string); ok {
		return *found
	}
	return ""
}

// FindCtx implements scs.CtxStore.
func (s sessionStore) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	var rows [][]byte
	err = s.db.View(ctx, func(tx *store.Tx) error { return tx.Select(ctx, &rows, selectSession, token, store.Micros(tx.Now)) })
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	if found, ok := ctx.Value(foundKey{}).(*string); ok {
		*found = token
	}
	return rows[0], true, nil
}

// CommitCtx implements scs.CtxStore. What has ended is taken out at the same time. A session that the request has found is changed, not made:
// if it was ended meanwhile, it stays so.
func (s sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.db.InTx(ctx, func(tx *store.Tx) error {
		var gone [][]byte
		err := tx.Select(ctx, &gone, deleteSessions, store.Micros(tx.Now))
		for _, one := range gone {
			if err == nil {
				err = s.gone(ctx, tx, one)
			}
		}
		if err != nil {
			return err
		}
		if found := foundToken(ctx); found != "" && found == token {
			_, err = tx.Exec(ctx, updateSession, data, store.Micros(expiry), token)
		} else {
			_, err = tx.Exec(ctx, insertSession, token, data, store.Micros(expiry))
		}
		return err
	})
}

// DeleteCtx implements scs.CtxStore.
func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, deleteSession, token)
		return err
	})
}

// Find implements scs.Store; the manager calls FindCtx.
func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store; the manager calls CommitCtx.
func (s sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete implements scs.Store; the manager calls DeleteCtx.
func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// EndSessions ends every session of a database that was restored, in the restore's transaction: those who have signed out since would be signed in again.
func EndSessions(ctx context.Context, tx *store.Tx) error {
	if _, err := tx.Exec(ctx, `DELETE FROM access_sessions`); err != nil {
		return fmt.Errorf("end all sessions: %w", err)
	}
	return nil
}
