package httpapi

import (
	"context"

	"holdfast/internal/access"
	"holdfast/internal/mes"
	"holdfast/internal/store"
)

// DismissConflict answers POST /v1/number-conflicts/{sort}/{object}/dismiss.
func (s *Server) DismissConflict(ctx context.Context, r DismissConflictRequestObject) (DismissConflictResponseObject, error) {
	sort := string(r.Sort)
	c := call{access.ConflictDismiss, sort + "/" + r.Object, r.Body.Reason, r.Params.IdempotencyKey, nil}
	v, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[mes.Conflicted], error) {
		v, err := s.Plant.DismissConflict(ctx, tx, sort, r.Object)
		return did[mes.Conflicted]{value: v}, err
	})
	return DismissConflict200JSONResponse{Sort: ConflictSort(v.Sort), ID: v.ID, Number: v.Number}, err
}
