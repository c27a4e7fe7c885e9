package rest

import (
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/problem"
	"holdfast/internal/schema"
)

// TargetType is what an operation of the contract takes, for a check of mappings. What the link fills in by itself is not required.
func (l *Link) TargetType(target string) (*schema.Operation, bool) {
	op, found := l.doc.Operation(target)
	if !found {
		return nil, false
	}
	o := schema.FromOperation(l.doc, op.Method, op.Path)
	e := l.cfg.Envelope
	filled := []string{e.MessageID, e.Digest, e.Lane, e.LaneNumber}
	if o.Body != nil {
		o.Body = o.Body.Without(filled...)
	}
	filled = append(filled, l.cfg.IdempotencyHeader)
	filled = slices.AppendSeq(filled, maps.Keys(l.operation(op).cfg.Params))
	o.Params = schema.NewObject("", o.Params...).Without(filled...).Fields
	return o, true
}

// DocumentType is the type of a document that the ERP gives, by the name of its schema in the contract.
func (l *Link) DocumentType(name string) (*schema.Type, bool) {
	t := schema.FromComponent(l.doc, name)
	return t, t != nil
}

// Gives refuses a document that the contract does not name. A contract that names none refuses none: its answers have no names.
func (l *Link) Gives(document string) error {
	if _, ok := l.DocumentType(document); ok || len(l.Documents()) == 0 {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("document %q of a mapping", document), Why: l.doc.Name() + " has no schema of this name",
		Hint: "name a schema below components.schemas of the contract; what stands only within an operation, give a name there",
	}
}

// Documents are the names of the contract's schemas.
func (l *Link) Documents() []string { return l.doc.Keys("/components/schemas") }
