package httpapi

import (
	"context"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ListLanes answers GET /v1/lanes.
func (s *Server) ListLanes(ctx context.Context, r ListLanesRequestObject) (ListLanesResponseObject, error) {
	cursor, err := cursorIn(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	f := outbox.LaneFilter{Link: r.Params.Link, State: outbox.State(r.Params.State), Paused: r.Params.Paused, Limit: limit(r.Params.Limit)}
	page := LanePage{Items: []Lane{}}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		list, next, err := s.Outbox.Lanes(ctx, tx, f, cursor)
		page.NextCursor = cursorOut(next)
		for _, l := range list {
			page.Items = append(page.Items, lane(l))
		}
		return err
	})
	return ListLanes200JSONResponse(page), err
}

// PauseLane answers POST /v1/links/{link}/lanes/{lane}/pause.
func (s *Server) PauseLane(ctx context.Context, r PauseLaneRequestObject) (PauseLaneResponseObject, error) {
	c := call{access.LanePause, "lane/" + r.Link + "/" + r.Lane, r.Body.Reason, r.Params.IdempotencyKey, nil}
	l, err := s.changeLane(ctx, c, r.Link, r.Lane, s.Outbox.PauseLane)
	return PauseLane200JSONResponse(l), err
}

// ResumeLane answers POST /v1/links/{link}/lanes/{lane}/resume.
func (s *Server) ResumeLane(ctx context.Context, r ResumeLaneRequestObject) (ResumeLaneResponseObject, error) {
	c := call{access.LaneResume, "lane/" + r.Link + "/" + r.Lane, r.Body.Reason, r.Params.IdempotencyKey, nil}
	l, err := s.changeLane(ctx, c, r.Link, r.Lane, s.Outbox.Resume)
	return ResumeLane200JSONResponse(l), err
}

func (s *Server) changeLane(
	ctx context.Context, c call, link, name string, change func(ctx context.Context, tx *store.Tx, link, lane, reason string) error,
) (Lane, error) {
	l, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[Lane], error) {
		if err := s.onLink(ctx, c, link); err != nil {
			return did[Lane]{}, err
		}
		before, err := s.Outbox.Lane(ctx, tx, link, name)
		if err != nil {
			return did[Lane]{}, err
		}
		if err := change(ctx, tx, link, name, c.reason); err != nil {
			return did[Lane]{}, err
		}
		after, err := s.Outbox.Lane(ctx, tx, link, name)
		return did[Lane]{value: lane(after), before: lane(before)}, err
	})
	return l, err
}

func lane(l outbox.Lane) Lane {
	return Lane{
		Link: l.Link, Lane: l.Name, State: LaneState(l.State), Paused: l.Paused, Reason: l.Reason, Awaits: l.Awaits, Head: l.Head,
		Next: l.Next, Owed: l.Owed, Oldest: l.OldestAt, Due: l.DueAt,
	}
}

// ListLinks answers GET /v1/links.
func (s *Server) ListLinks(ctx context.Context, _ ListLinksRequestObject) (ListLinksResponseObject, error) {
	page := LinkPage{Items: []Link{}}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		all, err := s.Outbox.Links(ctx, tx)
		for _, l := range all {
			if s.sees(ctx, access.MsgRead, l.Name) {
				page.Items = append(page.Items, link(l))
			}
		}
		return err
	})
	return ListLinks200JSONResponse(page), err
}

// GetLink answers GET /v1/links/{link}.
func (s *Server) GetLink(ctx context.Context, r GetLinkRequestObject) (GetLinkResponseObject, error) {
	var l Link
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		l, err = s.findLink(ctx, tx, r.Link)
		return err
	})
	return GetLink200JSONResponse(l), err
}

func (s *Server) findLink(ctx context.Context, tx *store.Tx, name string) (Link, error) {
	all, err := s.Outbox.Links(ctx, tx)
	if err != nil {
		return Link{}, err
	}
	for _, l := range all {
		if l.Name == name {
			return link(l), nil
		}
	}
	return Link{}, &problem.Error{
		Kind: problem.NotFound, What: "link " + name, Why: "nothing was ever sent over a link of that name", Hint: "GET /v1/links lists the links",
	}
}

// PauseLink answers POST /v1/links/{link}/pause.
func (s *Server) PauseLink(ctx context.Context, r PauseLinkRequestObject) (PauseLinkResponseObject, error) {
	c := call{access.LinkPause, "link/" + r.Link, r.Body.Reason, r.Params.IdempotencyKey, nil}
	l, err := s.changeLink(ctx, c, r.Link, s.Outbox.PauseLink)
	return PauseLink200JSONResponse(l), err
}

// ResumeLink answers POST /v1/links/{link}/resume.
func (s *Server) ResumeLink(ctx context.Context, r ResumeLinkRequestObject) (ResumeLinkResponseObject, error) {
	c := call{access.LinkResume, "link/" + r.Link, r.Body.Reason, r.Params.IdempotencyKey, nil}
	l, err := s.changeLink(ctx, c, r.Link, s.Outbox.ResumeLink)
	return ResumeLink200JSONResponse(l), err
}

func (s *Server) changeLink(
	ctx context.Context, c call, name string, change func(ctx context.Context, tx *store.Tx, link, reason string) error,
) (Link, error) {
	l, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[Link], error) {
		if err := s.onLink(ctx, c, name); err != nil {
			return did[Link]{}, err
		}
		before, err := s.findLink(ctx, tx, name)
		if err != nil {
			return did[Link]{}, err
		}
		if err := change(ctx, tx, name, c.reason); err != nil {
			return did[Link]{}, err
		}
		after, err := s.findLink(ctx, tx, name)
		return did[Link]{value: after, before: before}, err
	})
	return l, err
}

func link(l outbox.Link) Link {
	return Link{
		Link: l.Name, Paused: l.Paused, Reason: l.Reason, Breaker: LinkBreaker(l.Breaker), Trouble: l.Trouble, Owed: l.Owed, Lanes: l.Lanes, PausedLanes: l.Held,
		Parked: l.Parked, Waiting: l.Waiting, Delivered: l.Delivered, Voided: l.Voided, Refused: l.Refused, Oldest: l.OldestAt, LastSettled: l.LastAt,
	}
}
