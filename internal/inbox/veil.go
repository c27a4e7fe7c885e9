package inbox

import (
	"context"

	"holdfast/internal/store"
)

// Veil has tokens in the place of the sensitive values of bodies, once their sender is believed and before anything of them is kept: the
// digest and the signature of a message are over the body as it came.
type Veil interface {
	Veil(ctx context.Context, tx *store.Tx, text []byte) ([]byte, error)
	VeilAlone(ctx context.Context, db *store.DB, text []byte) ([]byte, error) // in transactions of its own
	Blot(text []byte) []byte                                                  // nothing is kept of the values
}

// veilAll veils what can be believed. It may be called again with the same.
func (i *Inbox) veilAll(came []arrival, veil func(text []byte) ([]byte, error)) error {
	if i.cfg.Veil == nil {
		return nil
	}
	for n := range came {
		a := &came[n]
		if a.err != nil || a.row.Large != "" {
			continue
		}
		var err error
		if a.row.Body, err = veil(a.row.Body); err != nil {
			return err
		}
	}
	return nil
}
