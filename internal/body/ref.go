package body

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// Ref is how the row of a message names its large body: where it is, its size, digest and media type. "" is none.
type Ref string

// RefOf names a body that Keep or KeepIn has kept; "" without one.
func RefOf(l *message.Large) Ref {
	if l == nil {
		return ""
	}
	k, ok := l.Kept.(kept)
	if !ok { // what is kept elsewhere cannot be found again
		return ""
	}
	return Ref(strings.Join([]string{k.id, strconv.FormatInt(l.Size, 10), hex.EncodeToString(l.Digest[:]), l.Media}, " "))
}

// Large is the body, nil if there is none. It is read by transactions of its own: it may be passed on slowly, and long after.
func (r Ref) Large(db *store.DB) *message.Large { return r.large(anew{db}) }

// Within is the body as a part of tx reads it, so that who acts on it in tx needs no second connection.
func (r Ref) Within(tx *store.Tx) *message.Large { return r.large(within{tx}) }

// large reads the name. One that cannot be read has no digest that fits: nobody takes the message for what was committed.
func (r Ref) large(from reader) *message.Large {
	if r == "" {
		return nil
	}
	parts := append(strings.SplitN(string(r), " ", 4), "", "", "", "")
	l := &message.Large{Media: parts[3], Kept: kept{parts[0], from}}
	if l.Gone = parts[0] == shredded; l.Gone {
		l.Kept = gone{}
	}
	l.Size, _ = strconv.ParseInt(parts[1], 10, 64)
	sum, _ := hex.DecodeString(parts[2])
	copy(l.Digest[:], sum)
	return l
}

// Size is how many bytes the body has.
func (r Ref) Size() int64 {
	if l := r.large(nil); l != nil {
		return l.Size
	}
	return 0
}

// id is where the body is.
func (r Ref) id() string {
	id, _, _ := strings.Cut(string(r), " ")
	return id
}

// reader runs what reads.
type reader interface {
	read(ctx context.Context, fn func(tx *store.Tx) error) error
}

type (
	anew   struct{ db *store.DB }
	within struct{ tx *store.Tx }
)

func (a anew) read(ctx context.Context, fn func(tx *store.Tx) error) error { return a.db.View(ctx, fn) }

func (w within) read(_ context.Context, fn func(tx *store.Tx) error) error { return fn(w.tx) }

// kept is where a body is, and how it is read.
type kept struct {
	id   string
	from reader
}

// Open implements message.Keeper.
func (k kept) Open(ctx context.Context) (io.ReadCloser, error) {
	return &pages{ctx: ctx, of: k}, nil
}

// pages reads a body a few chunks at a time.
type pages struct {
	ctx  context.Context //nolint:containedctx // io.Reader takes none, and the reading ends with the call that opened it
	of   kept
	next int
	rest bytes.Reader
	full [][]byte
	err  error
}

// Read implements io.Reader.
func (p *pages) Read(b []byte) (int, error) {
	for p.rest.Len() == 0 && p.err == nil {
		p.err = p.turn()
	}
	if p.rest.Len() > 0 {
		return p.rest.Read(b)
	}
	return 0, p.err
}

// turn reads on; io.EOF at the end.
func (p *pages) turn() error {
	if len(p.full) == 0 {
		const most = readSize / chunkSize
		err := p.of.from.read(p.ctx, func(tx *store.Tx) (err error) {
			p.full, err = chunks(p.ctx, tx, p.of.id, p.next, p.next+most)
			return err
		})
		if err != nil {
			return fmt.Errorf("read the chunks of a body: %w", err)
		}
		if len(p.full) == 0 {
			return io.EOF
		}
		p.next += most
	}
	p.rest.Reset(p.full[0])
	p.full = p.full[1:]
	return nil
}

// Close implements io.Closer.
func (p *pages) Close() error {
	p.full, p.err = nil, io.ErrClosedPipe
	p.rest.Reset(nil)
	return nil
}
