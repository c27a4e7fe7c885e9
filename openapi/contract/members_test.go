package contract

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const shapes = `openapi: 3.1.0
info: {title: Shapes, version: "1"}
paths:
  /a:
    post:
      operationId: closed
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Closed'}}}}
      responses: {"201": {description: made}}
  /b:
    post:
      operationId: silent
      requestBody: {content: {application/json: {schema: {allOf: [{$ref: '#/components/schemas/Base'}, {properties: {more: {}}}]}}}}
      responses: {"201": {description: made}}
  /c:
    post: {operationId: bodiless, responses: {"201": {description: made}}}
components:
  schemas:
    Base: {type: object, properties: {id: {type: string}, self: {$ref: '#/components/schemas/Base'}}}
    Closed:
      type: object
      additionalProperties: false
      properties:
        yield: {type: string}
        items: {type: array, items: {type: object, additionalProperties: false, properties: {material: {type: string}}}}
        choice: {oneOf: [{properties: {a: {}}}, {properties: {b: {}}}]}
        free: {type: object}
        map: {type: object, properties: {x: {}}, additionalProperties: {type: string}}
`

func TestMembersOfABody(t *testing.T) {
	doc, err := Load([]byte(shapes), "shapes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, op, path string
		want           Members
	}{
		{"a closed object", "closed", "", Members{Names: []string{"choice", "free", "items", "map", "yield"}, Closed: true}},
		{"the items of a list", "closed", "items", Members{Names: []string{"material"}, Closed: true}},
		{"one of several", "closed", "choice", Members{Names: []string{"a", "b"}}},
		{"an object of which nothing is said", "closed", "free", Members{Open: true}},
		{"an object that takes others", "closed", "map", Members{Names: []string{"x"}, Open: true}},
		{"what the contract does not know", "closed", "other", Members{Open: true}},
		{"joined schemas that do not say", "silent", "", Members{Names: []string{"id", "more", "self"}}},
		{"a schema within itself", "silent", "self/self", Members{Names: []string{"id", "self"}}},
		{"no body", "bodiless", "", Members{Open: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op, _ := doc.Operation(tt.op)
			got := op.Members(strings.FieldsFunc(tt.path, func(r rune) bool { return r == '/' })...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
