// Package contract turns an OpenAPI 3.0 or 3.1 document into something that can be held
// against real requests and answers. The ERP mock serves such a document and the REST link
// calls one; both must judge a message by the same rules, so the rules stand here.
//
// # Guarantees
//
//   - Everything is compiled by Load; checking a message compiles nothing.
//   - Numbers are exact from byte to byte: bounds, examples and values never pass through a
//     float. 9007199254740993, 12.500 and 9999999999.9990001 are what they say.
//   - Every violation of a message is reported at once, with its JSON pointer, the keyword, the
//     limit as the document writes it, and the document's file:line:column.
//   - Each schema is compiled twice: in a request a readOnly property is refused and never
//     required, in an answer a writeOnly one. That holds for 3.0 and 3.1 alike, inside allOf too.
//   - JSON bodies are read strictly: duplicate names, bytes after the value, invalid UTF-8 and
//     numbers beyond a thousand digits are violations (RFC 8259 section 4 leaves these open).
//
// kin-openapi loads, resolves and routes the document. It does not judge messages: it reads
// numbers as float64 and compiles a 3.1 schema anew for each request.
//
// References to other files are not followed; bundle such a document first.
package contract

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Document is a loaded contract. It is immutable and safe for concurrent use.
type Document struct {
	src      *source
	router   routers.Router
	ops      []*Operation
	byID     map[string]*Operation
	byRoute  map[string]*Operation // "METHOD /template"
	title    string
	version  string
	bases    []string
	warnings []string
}

// ErrNotFound is returned by Route for a path that the document does not have.
var ErrNotFound = errors.New("the document has no such path")

// ErrMethod is returned by Route for a path that the document has, without this method.
var ErrMethod = errors.New("the document has this path, but not with this method")

// Load reads, resolves and compiles an OpenAPI document in YAML or JSON. The name is used in
// error positions only. An error names the place as name:line:column where it has one.
func Load(doc []byte, name string) (*Document, error) {
	src, err := parse(doc, name)
	if err != nil {
		return nil, err
	}
	d := &Document{src: src, byID: map[string]*Operation{}, byRoute: map[string]*Operation{}}
	if d.title, d.version, err = describe(src); err != nil {
		return nil, err
	}
	loader := openapi3.NewLoader()
	t, err := loader.LoadFromData(doc)
	if err != nil {
		return nil, fmt.Errorf("read OpenAPI document %s: %w", name, err)
	}
	if err := validate(t); err != nil {
		return nil, fmt.Errorf("check OpenAPI document %s: %w", name, err)
	}
	d.bases = basePaths(t.Servers)
	if d.router, err = newRouter(t, d.bases); err != nil {
		return nil, fmt.Errorf("route OpenAPI document %s: %w", name, err)
	}
	if err := d.compile(); err != nil {
		return nil, err
	}
	return d, nil
}

// validate leaves examples and patterns to us: kin-openapi would judge examples by floats, and
// refuse a document for a pattern that Go cannot compile.
func validate(t *openapi3.T) error {
	return t.Validate(context.Background(),
		openapi3.DisableExamplesValidation(), openapi3.DisableSchemaPatternValidation(),
		openapi3.DisableSchemaDefaultsValidation())
}

// describe reads what identifies the document and refuses versions that we do not know.
func describe(src *source) (title, version string, err error) {
	version, _ = src.tree["openapi"].(string)
	if v := src.tree["openapi"]; v != nil && version == "" {
		return "", "", fmt.Errorf("%s: openapi is %v, which is not text: write it in quotes with its three parts, such as \"3.1.0\"", src.at("/openapi"), v)
	}
	if !strings.HasPrefix(version, "3.0") && !strings.HasPrefix(version, "3.1") {
		return "", "", fmt.Errorf("%s: openapi is %q: only 3.0 and 3.1 documents are read", src.at("/openapi"), version)
	}
	info, _ := src.tree["info"].(map[string]any)
	title, _ = info["title"].(string)
	return title, version, nil
}

// newRouter serves the paths below each server's base path, and below the root too, because
// who calls a mock knows its address and not the real one's.
func newRouter(t *openapi3.T, bases []string) (routers.Router, error) {
	bare := *t
	bare.Servers = nil
	for _, b := range bases {
		bare.Servers = append(bare.Servers, &openapi3.Server{URL: b})
	}
	return gorillamux.NewRouter(&bare)
}

// basePaths is "/" and the path of each server URL with its variables at their defaults.
func basePaths(servers openapi3.Servers) []string {
	bases := []string{"/"}
	for _, s := range servers {
		u := s.URL
		for name, v := range s.Variables {
			u = strings.ReplaceAll(u, "{"+name+"}", v.Default)
		}
		if _, rest, ok := strings.Cut(u, "://"); ok {
			_, path, _ := strings.Cut(rest, "/")
			u = "/" + path
		}
		u = "/" + strings.Trim(u, "/")
		if !strings.ContainsAny(u, "{}") && !slices.Contains(bases, u) {
			bases = append(bases, u)
		}
	}
	return bases
}

// Name is the name given to Load.
func (d *Document) Name() string { return d.src.name }

// Title is the document's info.title.
func (d *Document) Title() string { return d.title }

// Version is the OpenAPI version that the document states, such as 3.1.0.
func (d *Document) Version() string { return d.version }

// BasePaths are the paths below which Route finds operations; the first is "/".
func (d *Document) BasePaths() []string { return slices.Clone(d.bases) }

// Warnings name what the document asks for and the check cannot do, such as a pattern that
// Go's regular expressions do not know. A message is then judged without it.
func (d *Document) Warnings() []string { return slices.Clone(d.warnings) }

// Operations lists all operations in the order of the document.
func (d *Document) Operations() []*Operation { return slices.Clone(d.ops) }

// Operation finds an operation by its operationId. An operation without one has the ID
// "METHOD /path".
func (d *Document) Operation(id string) (*Operation, bool) {
	o, ok := d.byID[id]
	return o, ok
}

// Route finds the operation that a request means and the raw path parameters, decoded. The
// error is ErrNotFound or ErrMethod.
func (d *Document) Route(r *http.Request) (*Operation, map[string]string, error) {
	route, params, err := d.router.FindRoute(r)
	switch {
	case errors.Is(err, routers.ErrMethodNotAllowed):
		return nil, nil, ErrMethod
	case err != nil:
		return nil, nil, ErrNotFound
	}
	o, ok := d.byRoute[route.Method+" "+route.Path]
	if !ok {
		return nil, nil, ErrMethod
	}
	return o, unescapeAll(params), nil
}

// Extension reads the value of an x- key of the document's root, or nil.
func (d *Document) Extension(name string) any { return d.src.tree[name] }

// At gives the value at a JSON pointer of the document, following references on the way,
// and the pointer at which it really stands. Numbers are json.Number.
func (d *Document) At(pointer string) (value any, where string, ok bool) {
	return d.src.resolve(pointer)
}

// Raw gives the JSON text of the value at a pointer, with members in the document's order and
// numbers in the document's spelling.
func (d *Document) Raw(pointer string) ([]byte, bool) { return d.src.raw(pointer) }

// Position says where a pointer stands, as file:line:column.
func (d *Document) Position(pointer string) string { return d.src.at(pointer) }
