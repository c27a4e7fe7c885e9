package body_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// mask is a Rest whose seal is a mask and its place: package seal, which has the real one, stands above this package.
type mask struct{}

func (mask) Seal(_ context.Context, _ *store.Tx, c store.Cell, plain []byte) ([]byte, int64, error) {
	return append(fmt.Appendf(nil, "%v|", c), masked(plain)...), 1, nil
}

func (mask) Unseal(_ context.Context, _ *store.Tx, c store.Cell, _ int64, sealed []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, fmt.Appendf(nil, "%v|", c))
	if !ok {
		return nil, &problem.Error{Kind: problem.Integrity, What: "unseal", Why: "it belongs elsewhere"}
	}
	return masked(rest), nil
}

func (mask) Whole(context.Context, *store.Tx) (bool, error) { return true, nil }

func (mask) MAC(context.Context, *store.Tx, store.Cell) ([]byte, int64, error) {
	return nil, 0, errors.New("it has no key for one")
}

func (mask) CheckMAC(context.Context, *store.Tx, store.Cell, int64, []byte) error {
	return errors.New("it has no key for one")
}

func masked(b []byte) []byte {
	out := make([]byte, len(b))
	for n := range b {
		out[n] = b[n] ^ 0x5a
	}
	return out
}

// TestChunksAreSealedOneByOne: a body that was kept before is read as it was, and sealed when it is asked for.
func TestChunksAreSealedOneByOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		text := bytes.Repeat([]byte("canary-4711 "), 20_000)
		before := append(bytes.Clone(text), '!')
		old := keep(t, db, before)
		db.SealWith(mask{})
		l := keep(t, db, text)
		if !bytes.Equal(read(t, l), text) || !bytes.Equal(read(t, old), before) {
			t.Error("a body came back otherwise")
		}
		sealed := 0
		for at := (body.Place{}); ; {
			n, last, err := body.SealKept(t.Context(), db, at)
			if err != nil {
				t.Fatal(err)
			}
			if sealed += n; n == 0 {
				break
			}
			at = last
		}
		if sealed != 4 || !bytes.Equal(read(t, old), before) {
			t.Errorf("%d chunks of the one that was there were sealed, want 4, and it whole", sealed)
		}
		var kept [][]byte
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.Select(t.Context(), &kept, `SELECT bytes FROM body_chunks`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `UPDATE body_chunks SET bytes = (SELECT o.bytes FROM body_chunks AS o WHERE o.body = body_chunks.body AND o.seq = 1) WHERE seq = 0`)
			return err
		})
		if err != nil || bytes.Contains(bytes.Join(kept, nil), []byte("canary")) {
			t.Errorf("the chunks are kept as they were given, %v", err)
		}
		if err := (message.Message{Large: l}).Intact(t.Context()); problem.KindOf(err) != problem.Integrity {
			t.Errorf("a chunk at another place: got %v, want a problem of kind %s", err, problem.Integrity)
		}
		db.SealWith(nil)
		if err := (message.Message{Large: l}).Intact(t.Context()); !errors.As(err, new(*problem.Error)) || problem.KindOf(err) != problem.Unavailable {
			t.Errorf("without keys: got %v, want a problem of kind %s", err, problem.Unavailable)
		}
	})
}
