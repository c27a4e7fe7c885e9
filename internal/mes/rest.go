package mes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"holdfast/internal/store"
)

// sealedDoc is how a document is kept that names people: no document of the plant has these keys.
type sealedDoc struct {
	Epoch  int64  `json:"$epoch"`
	Sealed []byte `json:"$sealed"`
}

func cellOf(id string) store.Cell { return store.Cell{Table: "plant_documents", Row: id} }

// sealDoc is a document as it is kept, sealed if the plant seals.
func sealDoc(ctx context.Context, tx *store.Tx, id string, doc any) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	sealed, epoch, err := tx.Seal(ctx, cellOf(id), text)
	if err != nil || epoch == 0 {
		return text, err
	}
	return json.Marshal(sealedDoc{epoch, sealed})
}

// openDoc is the document that is kept.
func openDoc(ctx context.Context, tx *store.Tx, id string, kept []byte) ([]byte, error) {
	if !bytes.HasPrefix(kept, []byte(`{"$epoch":`)) {
		return kept, nil
	}
	var s sealedDoc
	if err := json.Unmarshal(kept, &s); err != nil {
		return nil, fmt.Errorf("read what is sealed of %s: %w", id, err)
	}
	return tx.Unseal(ctx, cellOf(id), s.Epoch, s.Sealed)
}
