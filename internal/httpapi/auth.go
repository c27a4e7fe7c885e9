package httpapi

import (
	"context"
	"net/http"

	"holdfast/openapi/contract"
)

// admitted lets in whom the gate knows, before anything of the request but its head is read.
func (s *Server) admitted(next http.Handler) http.Handler {
	if s.Gate == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, err := s.Gate.Identify(r.Context(), r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		c := caller{by, requestID(r.Context())}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// linkComesLater names the operations that find out for themselves what link they are about, and ask then. Every other operation is about
// the link of its path or query, or about all of them: one that is forgotten here refuses too much, never too little.
func linkComesLater(operation string) bool {
	switch operation {
	case "listLinks", "getMessage", "retryMessage", "discardMessage", "amendMessage", "markMessage", "sendMessageAgain", "postponeMessage", "replayMessages",
		"receiveInbound", "keepBody", "getInbound", "replayInbound", "discardInbound", "amendInbound":
		return true
	default:
		return false
	}
}

// permitted refuses what the caller may not call. An operation without an action of the registry is permitted to nobody.
func (s *Server) permitted(r *http.Request, op *contract.Operation, path map[string]string) error {
	if s.Gate == nil {
		return nil
	}
	ctx := r.Context()
	action, _ := op.Extension("x-holdfast-action").(string)
	object := r.Method + " " + r.URL.Path
	link := path["link"]
	if all := r.URL.Query()["link"]; link == "" && len(all) == 1 {
		link = all[0]
	}
	if link == "" && linkComesLater(op.ID) {
		return s.Gate.PermitSome(ctx, actor(ctx), action, object)
	}
	return s.Gate.Permit(ctx, actor(ctx), action, link, object)
}

// permitLink refuses a caller what belongs to a link that it has no permission on. It is asked outside an act.
func (s *Server) permitLink(ctx context.Context, action, link, object string) error {
	if s.Gate == nil {
		return nil
	}
	return s.Gate.Permit(ctx, actor(ctx), action, link, object)
}

// onLink does the same inside an act, whose refusal is recorded by the Doer.
func (s *Server) onLink(ctx context.Context, c call, link string) error {
	return s.Doer.Permit(actor(ctx), c.action, link)
}

// sees tells whether the caller may see a link among others.
func (s *Server) sees(ctx context.Context, action, link string) bool {
	return s.Gate == nil || s.Gate.Policy().May(actor(ctx).Rights, action, link)
}
