package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"holdfast/internal/problem"
)

// Cell is what is sealed at rest: one value of one row. All of it is bound into the seal, so that a value which is put elsewhere, or whose
// Bound has changed, does not open.
type Cell struct {
	Table string
	Row   string   // what names the row for as long as the value lives
	Bound [][]byte // what else the value belongs to
	Own   []byte   // a secret of its own that the key is made with, so that the value can be destroyed by it; nil for none
}

// SealBytes is how many bytes a sealed value has more than the value: a nonce and a tag.
const SealBytes = 12 + 16

// Rest seals what a database keeps. Epoch names the key; 0 is none: the bytes are as they were given. The error of a key that is not at
// hand is of kind Unavailable, of a value that was altered or put elsewhere of kind Integrity.
type Rest interface {
	Seal(ctx context.Context, tx *Tx, c Cell, plain []byte) (sealed []byte, epoch int64, err error)
	Unseal(ctx context.Context, tx *Tx, c Cell, epoch int64, sealed []byte) ([]byte, error)
	// Whole tells whether all that the plant owes is sealed, so that what is not was not written by the plant.
	Whole(ctx context.Context, tx *Tx) (bool, error)
	// MAC is a message authentication code of a cell; CheckMAC is nil if mac is that of the cell. Kinds of errors are those of Seal and Unseal.
	MAC(ctx context.Context, tx *Tx, c Cell) (mac []byte, epoch int64, err error)
	CheckMAC(ctx context.Context, tx *Tx, c Cell, epoch int64, mac []byte) error
}

// SealWith has everything that is sealed at rest be so by r. It is called before anything else uses db.
func (db *DB) SealWith(r Rest) { db.rest = r }

// Seals tells whether the database has a Rest: what is kept may be sealed.
func (tx *Tx) Seals() bool { return tx.db.rest != nil }

// Whole is that of the database's Rest; false without one.
func (tx *Tx) Whole(ctx context.Context) (bool, error) {
	if !tx.Seals() {
		return false, nil
	}
	return tx.db.rest.Whole(ctx, tx)
}

// Seal gives what is to be kept of a value, and the epoch that is kept with it; 0, and the value itself, where nothing is sealed.
func (tx *Tx) Seal(ctx context.Context, c Cell, plain []byte) ([]byte, int64, error) {
	if !tx.Seals() {
		return plain, 0, nil
	}
	return tx.db.rest.Seal(ctx, tx, c, plain)
}

// Unseal gives the value of what was kept.
func (tx *Tx) Unseal(ctx context.Context, c Cell, epoch int64, kept []byte) ([]byte, error) {
	if epoch == 0 {
		return kept, nil
	}
	if !tx.Seals() {
		return nil, keyless("open what is sealed in " + c.Table)
	}
	return tx.db.rest.Unseal(ctx, tx, c, epoch, kept)
}

// sealedDoc is how a JSON document is kept that is sealed: no document of Holdfast has these keys.
type sealedDoc struct {
	Epoch  int64  `json:"$epoch"`
	Sealed []byte `json:"$sealed"`
}

// SealDoc is a JSON document as it is kept: in a JSON document that names the epoch, or as it is where nothing is sealed.
func (tx *Tx) SealDoc(ctx context.Context, c Cell, doc []byte) ([]byte, error) {
	sealed, epoch, err := tx.Seal(ctx, c, doc)
	if err != nil || epoch == 0 {
		return doc, err
	}
	return json.Marshal(sealedDoc{epoch, sealed})
}

// UnsealDoc is the document of what SealDoc gave.
func (tx *Tx) UnsealDoc(ctx context.Context, c Cell, kept []byte) ([]byte, error) {
	if !bytes.HasPrefix(kept, []byte(`{"$epoch":`)) {
		return kept, nil
	}
	var s sealedDoc
	if err := json.Unmarshal(kept, &s); err != nil {
		return nil, fmt.Errorf("read what is sealed in %s of %s: %w", c.Table, c.Row, err)
	}
	return tx.Unseal(ctx, c, s.Epoch, s.Sealed)
}

// MAC gives the message authentication code of a cell, and the epoch that is kept with it.
func (tx *Tx) MAC(ctx context.Context, c Cell) ([]byte, int64, error) {
	if !tx.Seals() {
		return nil, 0, keyless("authenticate what is written to " + c.Table)
	}
	return tx.db.rest.MAC(ctx, tx, c)
}

// CheckMAC is nil if mac is that of the cell.
func (tx *Tx) CheckMAC(ctx context.Context, c Cell, epoch int64, mac []byte) error {
	if !tx.Seals() {
		return keyless("check what is written in " + c.Table)
	}
	return tx.db.rest.CheckMAC(ctx, tx, c, epoch, mac)
}

func keyless(what string) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: what, Why: "this process has no keyring", Hint: "give it the keys section that the plant was run with; docs/keys.md tells more",
	}
}
