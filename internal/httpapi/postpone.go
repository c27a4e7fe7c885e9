package httpapi

import (
	"context"

	"holdfast/internal/access"
	"holdfast/internal/store"
)

// PostponeMessage answers POST /v1/messages/{message}/postpone.
func (s *Server) PostponeMessage(ctx context.Context, r PostponeMessageRequestObject) (PostponeMessageResponseObject, error) {
	c := call{access.MsgPostpone, access.MessageObject(r.Message), r.Body.Reason, r.Params.IdempotencyKey, r.Body}
	p, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[Postponed], error) {
		before, err := s.Outbox.Message(ctx, tx, r.Message)
		if err == nil {
			err = s.onLink(ctx, c, before.Link)
		}
		if err != nil {
			return did[Postponed]{}, err
		}
		held, err := s.Outbox.Postpone(ctx, tx, r.Message, r.Body.Until, r.Body.Reason)
		if err != nil {
			return did[Postponed]{}, err
		}
		about, err := s.Outbox.LetGo(ctx, tx, before)
		if err != nil {
			return did[Postponed]{}, err
		}
		after, err := s.Outbox.Message(ctx, tx, r.Message)
		return did[Postponed]{value: Postponed{Message: outMessage(after), Held: held - 1}, before: outMessage(before), about: about}, err
	})
	return PostponeMessage200JSONResponse(p), err
}
