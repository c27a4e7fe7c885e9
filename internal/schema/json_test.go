package schema_test

import (
	"slices"
	"testing"

	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

const document = `openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /orders/{number}:
    parameters: [{name: number, in: path, required: true, schema: {type: string, pattern: '^[0-9]{12}$'}}]
    post:
      operationId: create
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
      responses: {'201': {description: made}}
components:
  schemas:
    Order:
      type: object
      required: [id, quantity, version]
      additionalProperties: false
      properties:
        version: {type: integer, readOnly: true}
        priority: {minimum: 0, allOf: [{type: integer, maximum: 9}, {maximum: 12, minimum: -5}]}
        share: {type: number, exclusiveMinimum: 0, maximum: 9007199254740993}
        delta: {type: string, format: decimal, pattern: '^-?[0-9]{1,3}$'}
        id: {type: string, maxLength: 12}
        quantity: {type: string, format: decimal, pattern: '^[0-9]{1,13}([.][0-9]{1,6})?$'}
        unit: {type: [string, 'null'], enum: [KG, G]}
        parts: {type: array, maxItems: 9, items: {$ref: '#/components/schemas/Order'}}
    Changed: {allOf: [{$ref: '#/components/schemas/Order'}, {required: [unit]}]}
`

func TestAnOpenAPIDocumentSaysWhatAnOperationTakes(t *testing.T) {
	doc, err := contract.Load([]byte(document), "d.yaml")
	if err != nil {
		t.Fatal(err)
	}
	op := schema.FromOperation(doc, "POST", "/orders/{number}")
	if len(op.Params) != 1 || !op.Params[0].Required || op.Params[0].Type.MaxLength != 12 {
		t.Errorf("parameters %+v", op.Params)
	}
	if got, want := op.Body.Names(), []string{"priority", "share", "delta", "id", "quantity", "unit", "parts"}; !slices.Equal(got, want) || !op.Body.Closed {
		t.Errorf("fields %q, closed %t, want %q: what the service fills in is not sent", got, op.Body.Closed, want)
	}
	quantity, _ := op.Body.Field("quantity")
	if q := quantity.Type; !quantity.Required || q.Kind != schema.Text || q.Format != schema.IsDecimal || q.Digits != 13 || q.Scale != 6 {
		t.Errorf("quantity is %+v", q)
	}
	unit, _ := op.Body.Field("unit")
	if u := unit.Type; unit.Required || !u.Nullable || !slices.Equal(u.Enum, []string{"KG", "G"}) {
		t.Errorf("unit is %+v", u)
	}
	for name, want := range map[string][2]schema.Bound{
		"priority": {{Value: "0"}, {Value: "9"}}, "share": {{Value: "0", Open: true}, {Value: "9007199254740993"}}, "delta": {}, "quantity": {{Value: "0"}, {}},
	} {
		if f, _ := op.Body.Field(name); f.Type.Least != want[0] || f.Type.Most != want[1] {
			t.Errorf("%s is within %+v and %+v, want %+v", name, f.Type.Least, f.Type.Most, want)
		}
	}
	parts, _ := op.Body.Field("parts")
	if p := parts.Type; p.Kind != schema.List || p.MaxItems != 9 || p.Item != op.Body {
		t.Errorf("parts are %+v, want a list of the same", p)
	}
}

func TestAllOfJoinsWhatIsRequired(t *testing.T) {
	doc, err := contract.Load([]byte(document), "d.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := schema.FromComponent(doc, "Changed")
	unit, ok := changed.Field("unit")
	if !ok || !unit.Required {
		t.Errorf("unit is %+v", unit)
	}
	if _, ok := changed.Field("version"); !ok {
		t.Error("what the service sends is missing")
	}
	if without, _ := changed.Without("unit").Field("unit"); without.Required || !unit.Required {
		t.Error("Without changes what it is taken from, or nothing")
	}
	if schema.FromComponent(doc, "None") != nil {
		t.Error("a schema that is none was found")
	}
}
