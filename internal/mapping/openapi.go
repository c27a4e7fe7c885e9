package mapping

import (
	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// OpenAPI is what an OpenAPI document says, as it stands: no link has its say in it.
type OpenAPI struct{ doc *contract.Document }

// FromOpenAPI reads a contract out of an OpenAPI document.
func FromOpenAPI(doc *contract.Document) OpenAPI { return OpenAPI{doc} }

// TargetType implements Contract.
func (o OpenAPI) TargetType(target string) (*schema.Operation, bool) {
	op, ok := o.doc.Operation(target)
	if !ok {
		return nil, false
	}
	return schema.FromOperation(o.doc, op.Method, op.Path), true
}

// DocumentType implements Contract.
func (o OpenAPI) DocumentType(name string) (*schema.Type, bool) {
	t := schema.FromComponent(o.doc, name)
	return t, t != nil
}
