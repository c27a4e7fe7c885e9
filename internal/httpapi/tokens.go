package httpapi

import (
	"context"
	"errors"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// RevealToken answers POST /v1/tokens/{token}/reveal. The value is in the answer alone: neither in the audit record, nor kept for a repetition,
// which is a look of its own.
func (s *Server) RevealToken(ctx context.Context, r RevealTokenRequestObject) (RevealTokenResponseObject, error) {
	if s.Tokens == nil {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "show what a token stands for", Why: "nothing is sensitive in this plant", Hint: "see the section sensitive of the configuration",
		}
	}
	by, shown := actor(ctx), RevealedValue{Token: r.Token}
	a := access.Act{Action: access.TokenReveal, Actor: by, Object: "token/" + r.Token, Reason: r.Body.Reason}
	_, err := s.Doer.Do(ctx, a, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
		err := s.Tokens.Look(ctx, tx, by.Name)
		if err == nil {
			shown.Class, shown.Value, err = s.Tokens.Value(ctx, tx, r.Token)
		}
		return access.Result{}, err
	})
	if err != nil { // the act may have failed at its commit, unrecorded: nothing is shown
		return nil, errors.Join(err, s.Tokens.Tell(ctx, s.DB))
	}
	return RevealToken200JSONResponse{Body: shown, Headers: RevealToken200ResponseHeaders{CacheControl: "no-store"}}, nil
}
