package contract_test

import (
	"strings"
	"testing"

	"holdfast/openapi/contract"
)

// FuzzLoad reads anything as the document of a link: it compiles, and each operation has a method and a path of its own, or it is refused in words.
func FuzzLoad(f *testing.F) {
	const head = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\n"
	for _, doc := range []string{
		head + "paths: {}\n",
		head + "paths: {/a/{id}: {get: {operationId: a, parameters: [{name: id, in: path, required: true, schema: {type: string}}], responses: {'200': {description: d}}}}}\n",
		head + "paths: {/a: {post: {operationId: a, requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}, responses: {default: {description: d}}}}}\ncomponents: {schemas: {A: {type: object, properties: {a: {$ref: '#/components/schemas/A'}}}}}\n",
		head + "paths: {/a: &a {get: *a}}\n", head + "servers: [{url: 'http://x/{v}', variables: {v: {default: '1'}}}]\npaths: null\n",
		`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{"/a":{"$ref":"file:///etc/passwd"}}}`, "openapi: 3.1\n", "",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := contract.Load(doc, "erp.yaml")
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Errorf("%q is refused without a word", doc)
			}
			return
		}
		seen := map[string]bool{}
		for _, o := range d.Operations() {
			if route := o.Method + " " + o.Path; o.Method == "" || o.Path == "" || seen[route] {
				t.Errorf("%q has the operation %q twice, or without its place", doc, route)
			} else {
				seen[route] = true
			}
		}
	})
}
