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
	f := audit.Filter{Actor: p.Actor, Action: p.Action, Object: p.Object}
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
		Before: json.RawMessage(e.Before), After: json.RawMessage(e.After),
	}
}
