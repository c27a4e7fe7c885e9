package mes

import (
	"context"
	"encoding/json"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// cellOf is where a document stands. What was sealed before is bound to this name, which no table has.
func cellOf(id string) store.Cell { return store.Cell{Table: "plant_documents", Row: id} }

// sealDoc is a document as it is kept, sealed if the plant seals.
func sealDoc(ctx context.Context, tx *store.Tx, id string, doc any) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return tx.SealDoc(ctx, cellOf(id), text)
}

// openDoc is the document that is kept.
func openDoc(ctx context.Context, tx *store.Tx, id string, kept []byte) ([]byte, error) {
	plain, err := tx.UnsealDoc(ctx, cellOf(id), kept)
	if problem.KindOf(err) == problem.Integrity {
		return nil, altered(id)
	}
	return plain, err
}

// altered is why the document of an ID cannot be opened.
func altered(id string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "open what is kept of " + id, Why: "it was altered in the database, or belongs to another",
		Hint: "the database was altered behind Holdfast: find out by whom, and restore the row from a backup; what the ERP was told of it is not touched",
	}
}

// Alarm tells people of what must not pass unseen, in tx.
type Alarm interface {
	Raise(ctx context.Context, tx *store.Tx, name, object string, why error) error
}

// alteredAlert is the alarm of what was altered in the database.
const alteredAlert = "message.altered"

// TellAltered raises an alarm for each of what a list could not open (List.Altered); what says what it is a list of, as "confirmation".
func (p *Plant) TellAltered(ctx context.Context, db *store.DB, what string, ids []string) error {
	if p.cfg.Alarm == nil || len(ids) == 0 {
		return nil
	}
	return db.InTx(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if err := p.cfg.Alarm.Raise(ctx, tx, alteredAlert, what+"/"+id, altered(id)); err != nil {
				return err
			}
		}
		return nil
	})
}
