package httpapi

import (
	"context"

	"holdfast/internal/problem"
)

// notJoined is answered until the inbox is joined to the API.
func notJoined() error {
	return &problem.Error{Kind: problem.Unavailable, What: "use the inbox", Why: "it is not joined to the API", Hint: "wait for the next version"}
}

func (s *Server) ListInbound(ctx context.Context, r ListInboundRequestObject) (ListInboundResponseObject, error) {
func (s *Server) ReceiveInbound(ctx context.Context, r ReceiveInboundRequestObject) (ReceiveInboundResponseObject, error) {
func (s *Server) GetInbound(ctx context.Context, r GetInboundRequestObject) (GetInboundResponseObject, error) {
func (s *Server) DiscardInbound(ctx context.Context, r DiscardInboundRequestObject) (DiscardInboundResponseObject, error) {
func (s *Server) ReplayInbound(ctx context.Context, r ReplayInboundRequestObject) (ReplayInboundResponseObject, error) {
func (s *Server) SkipInbound(ctx context.Context, r SkipInboundRequestObject) (SkipInboundResponseObject, error) {
