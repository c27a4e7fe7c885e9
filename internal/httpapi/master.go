package httpapi

import (
	"context"

	"holdfast/internal/mes"
	"holdfast/internal/store"
)

// ListMaterials answers GET /v1/materials.
func (s *Server) ListMaterials(ctx context.Context, r ListMaterialsRequestObject) (ListMaterialsResponseObject, error) {
	page := MaterialPage{}
	var err error
	page.Items, page.NextCursor, err = list(ctx, s, r.Params.Cursor, r.Params.Limit, r.Params.Prefix, s.Plant.Materials)
	return ListMaterials200JSONResponse(page), err
}

// GetMaterial answers GET /v1/materials/{material}.
func (s *Server) GetMaterial(ctx context.Context, r GetMaterialRequestObject) (GetMaterialResponseObject, error) {
	v, err := one(ctx, s, r.Material, s.Plant.Material)
	return GetMaterial200JSONResponse(v), err
}

// ListWorkCentres answers GET /v1/work-centres.
func (s *Server) ListWorkCentres(ctx context.Context, r ListWorkCentresRequestObject) (ListWorkCentresResponseObject, error) {
	page := WorkCentrePage{}
	var err error
	page.Items, page.NextCursor, err = list(ctx, s, r.Params.Cursor, r.Params.Limit, r.Params.Prefix, s.Plant.WorkCentres)
	return ListWorkCentres200JSONResponse(page), err
}

// GetWorkCentre answers GET /v1/work-centres/{workCentre}.
func (s *Server) GetWorkCentre(ctx context.Context, r GetWorkCentreRequestObject) (GetWorkCentreResponseObject, error) {
	v, err := one(ctx, s, r.WorkCentre, s.Plant.WorkCentre)
	return GetWorkCentre200JSONResponse(v), err
}

// GetBOM answers GET /v1/boms/{material}.
func (s *Server) GetBOM(ctx context.Context, r GetBOMRequestObject) (GetBOMResponseObject, error) {
	v, err := one(ctx, s, r.Material, func(ctx context.Context, tx *store.Tx, material string) (mes.BOM, error) {
		return s.Plant.BOM(ctx, tx, material, r.Params.On)
	})
	return GetBOM200JSONResponse(v), err
}

// GetRouting answers GET /v1/routings/{material}.
func (s *Server) GetRouting(ctx context.Context, r GetRoutingRequestObject) (GetRoutingResponseObject, error) {
	v, err := one(ctx, s, r.Material, func(ctx context.Context, tx *store.Tx, material string) (mes.Routing, error) {
		return s.Plant.Routing(ctx, tx, material, r.Params.On)
	})
	return GetRouting200JSONResponse(v), err
}
