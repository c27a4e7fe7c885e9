package odata

import (
	"context"
	"fmt"
	"net/http"

	"holdfast/adapters/odata/edm"
)

// Propose calls an operation that changes nothing, such as one that says what the ERP would do, and calls each for what it answers with.
// Only those parameters are sent that the operation has; one that it requires and is not given is a problem that is Invalid, and so is an
// operation that answers with no list of entities.
func (c *Client) Propose(ctx context.Context, operation string, params map[string]any, each func(Entity) error) error {
	m, err := c.Model(ctx)
	if err != nil {
		return err
	}
	op := m.Operations[operation]
	if op == nil || op.Bound != nil || op.Returns == nil || op.Returns.Struct == nil || !op.Returns.Many {
		return c.invalid(operation, fmt.Errorf("the service's $metadata has no such operation that gives a list"))
	}
	given := map[string]any{}
	for _, f := range op.Params {
		if v, ok := params[f.Name]; ok {
			given[f.Name] = v
		}
	}
	r := request{method: op.Method, header: http.Header{"Content-Type": {jsonType(m.Version, c.cfg.IEEE754)}}}
	r, wrong := c.composeCall(m, &target{name: operation, op: op}, r, given, nil)
	if len(wrong) > 0 {
		return violated(operation+" of "+c.name, wrong)
	}
	return c.proposed(ctx, m, op, r, each)
}

// proposed reads the list that an operation answers with.
func (c *Client) proposed(ctx context.Context, m *edm.Model, op *edm.Operation, r request, each func(Entity) error) error {
	a, sent, err := c.call(ctx, r)
	switch {
	case err != nil:
		return c.unreachable(op.Name, sent, err)
	case a.Cut != nil:
		return c.unreachable(op.Name, true, a.Cut)
	case a.Status/100 != 2:
		return c.said(op.Name, a)
	}
	p, err := c.page(m, op.Returns.Struct, a)
	if err != nil {
		return err
	}
	for _, e := range p.Entities {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}
