package httpapi

import (
	"context"
	"encoding/json"

	"holdfast/internal/audit"
	"holdfast/internal/store"
)

// ListAudit answers GET /v1/audit-entries.
func (s *Server) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	p := r.Params
	f := audit.Filter{
		Actor: p.Actor, Action: p.Action, Object: p.Object, Person: p.Person, Outcome: string(p.Outcome), Since: p.Since, Until: p.Until, Text: p.Q,
	}
	page := AuditPage{}
	var err error
	page.Items, page.NextCursor, err = numbered(ctx, s, p.Cursor, p.Limit, func(ctx context.Context, tx *store.Tx, before int64, n int) ([]AuditEntry, error) {
		f.Before, f.Limit = before, n
		all, err := audit.List(ctx, tx, f)
		return each(all, auditEntry), err
	}, func(e AuditEntry) int64 { return e.Seq })
	return ListAudit200JSONResponse(page), err
}

func auditEntry(e audit.Entry) AuditEntry {
	return AuditEntry{
		Seq: e.Seq, At: e.At, Actor: e.Actor, From: e.From, Action: e.Action, Object: e.Object, Reason: e.Reason, Outcome: e.Outcome,
		Before: json.RawMessage(e.Before), After: json.RawMessage(e.After), Signature: json.RawMessage(e.Signature),
	}
}

// ProveAudit answers GET /v1/audit-entries/{entry}/proof.
func (s *Server) ProveAudit(ctx context.Context, r ProveAuditRequestObject) (ProveAuditResponseObject, error) {
	var proof string
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		proof, err = audit.Prove(ctx, tx, r.Entry)
		return err
	})
	return ProveAudit200TextResponse(proof), err
}

// GetAuditCheckpoint answers GET /v1/audit-checkpoint.
func (s *Server) GetAuditCheckpoint(ctx context.Context, _ GetAuditCheckpointRequestObject) (GetAuditCheckpointResponseObject, error) {
	var c audit.Checkpoint
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		c, err = audit.Newest(ctx, tx)
		return err
	})
	return GetAuditCheckpoint200JSONResponse{Origin: c.Origin, Size: c.Size, Root: c.Root.String(), At: c.At, Note: c.Note}, err
}

// ProveAuditConsistency answers GET /v1/audit-consistency.
func (s *Server) ProveAuditConsistency(ctx context.Context, r ProveAuditConsistencyRequestObject) (ProveAuditConsistencyResponseObject, error) {
	answer := AuditConsistency{From: r.Params.From, Hashes: []string{}}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		proof, to, err := audit.Consistency(ctx, tx, r.Params.From, r.Params.To)
		for _, h := range proof {
			answer.Hashes = append(answer.Hashes, h.String())
		}
		answer.To = to
		return err
	})
	return ProveAuditConsistency200JSONResponse(answer), err
}
