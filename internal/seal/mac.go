package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// MAC is the HMAC-SHA-256 of all that a cell is bound to, under a key of the epoch of the moment that serves nothing else: who has not the plant's
// keyring can make none. They are made also where bodies are kept as they are (Off), once the plant has an epoch.
func (r *Rest) MAC(ctx context.Context, tx *store.Tx, c store.Cell) ([]byte, int64, error) {
	if err := r.awake(ctx, tx); err != nil {
		return nil, 0, err
	}
	id := r.latest.Load()
	if e := r.now.Load(); e != nil {
		id = e.id
	}
	if id == 0 {
		return nil, 0, r.none()
	}
	m, err := r.mac(id, c)
	return m, id, err
}

// CheckMAC is nil if mac is that of the cell. The error is of kind Unavailable while the key is not at hand, NotFound where the plant has no such epoch.
func (r *Rest) CheckMAC(ctx context.Context, tx *store.Tx, c store.Cell, epoch int64, mac []byte) error {
	if err := r.awake(ctx, tx); err != nil {
		return err
	}
	want, err := r.mac(epoch, c)
	if err != nil {
		var is bool
		if kerr := tx.Get(ctx, &is, `SELECT EXISTS (SELECT 1 FROM rest_epochs WHERE id = ?)`, epoch); kerr != nil {
			return fmt.Errorf("look for epoch %d: %w", epoch, kerr)
		}
		if !is {
			return &problem.Error{
				Kind: problem.NotFound, What: "check the MAC in " + c.Table + ", row " + c.Row, Why: fmt.Sprintf("the plant has no epoch %d", epoch),
				Hint: "the database was altered behind Holdfast: find out by whom",
			}
		}
		return err
	}
	if !hmac.Equal(want, mac) {
		return &problem.Error{
			Kind: problem.Integrity, What: "check the MAC in " + c.Table + ", row " + c.Row, Why: "it is not of what stands there",
			Hint: "the database was altered behind Holdfast: find out by whom",
		}
	}
	return nil
}

func (r *Rest) mac(id int64, c store.Cell) ([]byte, error) {
	key, err := r.macKey(keyOf{id, c.Table})
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, key)
	m.Write(aad(id, c))
	return m.Sum(nil), nil
}

func (r *Rest) macKey(of keyOf) ([]byte, error) {
	r.mu.RLock()
	k, seed, why := r.macs[of], r.seeds[of.epoch], r.closed[of.epoch]
	r.mu.RUnlock()
	if k != nil {
		return k, nil
	}
	if seed == nil {
		r.poke()
		return nil, missing(of.epoch, why)
	}
	k, err := hkdf.Key(sha256.New, seed, nil, fmt.Sprintf("holdfast/mac/1|%s|%d", of.table, of.epoch), seedSize)
	if err != nil {
		return nil, fmt.Errorf("make a key from a seed: %w", err)
	}
	r.mu.Lock()
	r.macs[of] = k
	r.mu.Unlock()
	return k, nil
}
