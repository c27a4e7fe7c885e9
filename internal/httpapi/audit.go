package httpapi

import (
	"context"
	"encoding/json"
	"strconv"

	"holdfast/internal/audit"
	"holdfast/internal/store"
)

// ListAudit answers GET /v1/audit-entries.
func (s *Server) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	before, err := cursorNumber(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	n := limit(r.Params.Limit)
	f := audit.Filter{Actor: r.Params.Actor, Action: r.Params.Action, Object: r.Params.Object, Before: before, Limit: n + 1}
	page := AuditPage{Items: []AuditEntry{}}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		all, err := audit.List(ctx, tx, f)
		if len(all) > n {
			all = all[:n]
			page.NextCursor = cursorOut(strconv.FormatInt(all[n-1].Seq, 10))
		}
		for _, e := range all {
			page.Items = append(page.Items, auditEntry(e))
		}
		return err
	})
	return ListAudit200JSONResponse(page), err
}

func auditEntry(e audit.Entry) AuditEntry {
	return AuditEntry{
		Seq: e.Seq, At: e.At, Actor: e.Actor, From: e.From, Action: e.Action, Object: e.Object, Reason: e.Reason, Outcome: e.Outcome,
		Before: json.RawMessage(e.Before), After: json.RawMessage(e.After),
	}
}
