package mapping

import (
	"sync"

	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// OpenAPI is what an OpenAPI document says, as it stands: no link has its say in it.
type OpenAPI struct {
	doc *contract.Document
	ops *sync.Map // operationId → *schema.Operation: many mappings have one target
}

// FromOpenAPI reads a contract out of an OpenAPI document.
func FromOpenAPI(doc *contract.Document) OpenAPI { return OpenAPI{doc, &sync.Map{}} }

// TargetType implements Contract.
func (o OpenAPI) TargetType(target string) (*schema.Operation, bool) {
	if op, ok := o.ops.Load(target); ok {
		return op.(*schema.Operation), true
	}
	found, ok := o.doc.Operation(target)
	if !ok {
		return nil, false
	}
	op, _ := o.ops.LoadOrStore(target, schema.FromOperation(o.doc, found.Method, found.Path))
	return op.(*schema.Operation), true
}

// Targets are the operations that write.
func (o OpenAPI) Targets() (out []string) {
	for _, op := range o.doc.Operations() {
		if op.Method != "GET" && op.Method != "HEAD" {
			out = append(out, op.ID)
		}
	}
	return out
}

// DocumentType implements Contract.
func (o OpenAPI) DocumentType(name string) (*schema.Type, bool) {
	t := schema.FromComponent(o.doc, name)
	return t, t != nil
}
