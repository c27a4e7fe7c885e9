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

// Clean takes out of what an ERP says of a message of the plant the values that it was told with it. Of all else it gives the text as it is.
type Clean func(ctx context.Context, tx *store.Tx, link, kind string, text []byte) ([]byte, error)

// cleanAll is Clean of all that can be believed, in tx or, if that is nil, by one look at the database.
func (i *Inbox) cleanAll(ctx context.Context, tx *store.Tx, came []arrival) (err error) {
	if i.cfg.Clean == nil {
		return nil
	}
	if tx == nil {
		return i.db.View(ctx, func(tx *store.Tx) error { return i.cleanAll(ctx, tx, came) })
	}
	for n := range came {
		a := &came[n]
		if a.err != nil || a.row.Large != "" {
			continue
		}
		if a.row.Body, err = i.cfg.Clean(ctx, tx, a.link, a.in.Kind, a.row.Body); err != nil {
			return err
		}
	}
	return nil
}

// veilAll veils and cleans what can be believed, in tx or, if that is nil, in transactions of its own. It may be called again with the same.
func (i *Inbox) veilAll(ctx context.Context, tx *store.Tx, came []arrival) error {
	if i.cfg.Veil == nil {
		return nil
	}
	for n := range came {
		a := &came[n]
		if a.err != nil || a.row.Large != "" {
			continue
		}
		var err error
		if tx != nil {
			a.row.Body, err = i.cfg.Veil.Veil(ctx, tx, a.row.Body)
		} else {
			a.row.Body, err = i.cfg.Veil.VeilAlone(ctx, i.db, a.row.Body)
		}
		if err != nil {
			return err
		}
	}
	return i.cleanAll(ctx, tx, came)
}
