package erpmock

import (
	"slices"
	"strconv"
	"strings"

	"holdfast/openapi/contract"
)

// collectionSpec says how the documents of one path template are kept. Each member names a
// property of the document, but for First, Initial and Upsert.
type collectionSpec struct {
	Type    string         `json:"type"`
	Number  string         `json:"number"`
	First   string         `json:"first"`
	Version string         `json:"version"`
	Posted  string         `json:"posted"`
	Changed string         `json:"changed"`
	Initial map[string]any `json:"initial"`
	Upsert  bool           `json:"upsert"`

	template string
	filters  []string // properties that list operations filter by
	integer  bool     // the number is a JSON integer
	uuid     bool
	pos      string
}

// collections finds the templates that hold documents: those with an item path below them, and
// those that both take and list documents.
func (p *plan) collections(ops []*contract.Operation) error {
	methods := map[string][]string{}
	for _, op := range ops {
		methods[op.Path] = append(methods[op.Path], op.Method)
	}
	for _, op := range ops {
		if _, done := p.specs[op.Path]; done || isParam(last(op.Path)) {
			continue
		}
		item := slices.ContainsFunc(ops, func(o *contract.Operation) bool {
			return parent(o.Path) == op.Path && isParam(last(o.Path))
		})
		both := slices.Contains(methods[op.Path], "GET") && slices.Contains(methods[op.Path], "POST")
		ext := op.PathExtension("x-mock-collection")
		if !item && !both && ext == nil {
			continue
		}
		c := &collectionSpec{template: op.Path, Type: last(op.Path), pos: op.Position()}
		if err := into(ext, c, op.Position()); err != nil {
			return err
		}
		p.specs[op.Path] = c
	}
	for _, c := range p.specs {
		p.numbering(c, ops)
	}
	return nil
}

// numbering finds the property that holds a document's number where the document does not say.
func (p *plan) numbering(c *collectionSpec, ops []*contract.Operation) {
	param, props := "", map[string]any{}
	for _, op := range ops {
		if parent(op.Path) == c.template && isParam(last(op.Path)) && param == "" {
			param = strings.Trim(last(op.Path), "{}")
		}
		if ptr, ok := answerSchema(op); ok && (op.Path == c.template && op.Method == "POST" || parent(op.Path) == c.template && op.Method == "GET" && isParam(last(op.Path))) {
			for k, v := range properties(p.doc, ptr) {
				props[k] = v
			}
		}
	}
	for _, name := range []string{param, "id", "number", "code", "key"} {
		if _, ok := props[name]; ok && c.Number == "" {
			c.Number = name
		}
	}
	shape, _ := props[c.Number].(map[string]any)
	c.integer = shape["type"] == "integer"
	c.uuid = shape["format"] == "uuid" && c.First == ""
	if c.First == "" {
		c.First = "1"
		if n := fixedDigits(shape["pattern"]); n > 0 {
			c.First = strings.Repeat("0", n-1) + "1"
		}
	}
}

// fixedDigits reads n of the pattern ^[0-9]{n}$ or ^\d{n}$; 0 for another one.
func fixedDigits(pattern any) int {
	s, _ := pattern.(string)
	for _, class := range []string{"^[0-9]{", `^\d{`} {
		if rest, ok := strings.CutPrefix(s, class); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(rest, "}$"))
			if err == nil && n > 0 && n < 19 {
				return n
			}
		}
	}
	return 0
}

func (c *collectionSpec) filterIndex(name string) int {
	if i := slices.Index(c.filters, name); i >= 0 {
		return i
	}
	c.filters = append(c.filters, name)
	return len(c.filters) - 1
}
