package body

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Find is the body with a digest, as a transaction of its own reads it; NotFound if none is kept. It does not keep the sweep away.
func Find(ctx context.Context, db *store.DB, digest [sha256.Size]byte) (l *message.Large, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		l, err = find(ctx, tx, digest)
		return err
	})
	return l, err
}

// Take is Find for who will hold the body in tx: the sweep leaves it alone for as long as Loose, whatever becomes of tx's message.
func Take(ctx context.Context, tx *store.Tx, digest [sha256.Size]byte) (*message.Large, error) {
	l, err := find(ctx, tx, digest)
	if err != nil {
		return nil, err
	}
	id, err := known(ctx, tx, l)
	if err == nil && id == "" {
		err = missing(digest)
	}
	l.Kept = kept{id, anew{tx.DB()}}
	return l, err
}

func find(ctx context.Context, tx *store.Tx, digest [sha256.Size]byte) (*message.Large, error) {
	var found struct {
		ID   string
		Size int64
	}
	err := tx.Get(ctx, &found, `SELECT id, size FROM bodies WHERE digest = ? AND state = 'kept' LIMIT 1`, hex.EncodeToString(digest[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing(digest)
	}
	if err != nil {
		return nil, fmt.Errorf("look for a body: %w", err)
	}
	return &message.Large{Digest: digest, Size: found.Size, Kept: kept{found.ID, anew{tx.DB()}}}, nil
}

func missing(digest [sha256.Size]byte) error {
	return &problem.Error{
		Kind: problem.NotFound, What: fmt.Sprintf("find body %x", digest), Why: "none with this digest is kept",
		Hint: "one that no message names is kept for an hour, one of a message as long as the message: send it again",
	}
}

// Idle is how many bytes are kept of bodies that nothing refers to, or refers to yet. Those that are being written are not counted.
func Idle(ctx context.Context, db *store.DB) (n int64, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		return tx.Get(ctx, &n, `SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM bodies WHERE loose_at > 0`)
	})
	return n, err
}

// Seekable reads a body from any place, for who was interrupted. From its beginning to its end it is checked as message.Large.Open does;
// a part is given as it is kept.
type Seekable struct {
	ctx  context.Context //nolint:containedctx // as in pages
	of   *message.Large
	at   int64
	from io.ReadCloser // at at; nil before the first Read there
}

// Seek returns a Seekable of a body that this package keeps.
func Seek(ctx context.Context, l *message.Large) *Seekable { return &Seekable{ctx: ctx, of: l} }

// Read implements io.Reader.
func (s *Seekable) Read(p []byte) (int, error) {
	if s.from == nil {
		var err error
		if s.from, err = s.open(); err != nil {
			return 0, err
		}
	}
	n, err := s.from.Read(p)
	s.at += int64(n)
	return n, err
}

func (s *Seekable) open() (io.ReadCloser, error) {
	k, ok := s.of.Kept.(kept)
	if s.at == 0 || !ok {
		return s.of.Open(s.ctx)
	}
	r := &pages{ctx: s.ctx, of: k, next: int(s.at / chunkSize)}
	_, err := io.CopyN(io.Discard, r, s.at%chunkSize)
	return r, err
}

// Seek implements io.Seeker.
func (s *Seekable) Seek(offset int64, whence int) (int64, error) {
	at := offset
	switch whence {
	case io.SeekCurrent:
		at += s.at
	case io.SeekEnd:
		at += s.of.Size
	}
	if at < 0 {
		return 0, errors.New("seek to before the beginning of a body")
	}
	if at != s.at {
		_ = s.Close() // it only forgets
		s.at = at
	}
	return at, nil
}

// Close implements io.Closer.
func (s *Seekable) Close() error {
	if s.from == nil {
		return nil
	}
	err := s.from.Close()
	s.from = nil
	return err
}
