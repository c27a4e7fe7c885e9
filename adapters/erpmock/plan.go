package erpmock

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"holdfast/openapi/contract"
)

// plan is what each operation of the document does, worked out once.
type plan struct {
	doc       *contract.Document
	behaviour map[string]*behaviour // by operation ID
	specs     map[string]*collectionSpec
	settings  map[string]any
	names     envelopeNames
}

// actionSpec says what a sub-resource POST or a PATCH brings about beside the change itself.
type actionSpec struct {
	Type   string         `json:"type"`
	First  string         `json:"first"`
	Set    map[string]any `json:"set"`
	Link   string         `json:"link"`
	Answer string         `json:"answer"` // document (default) or resource
}

// rule refuses a request in a state of the ERP.
type rule struct {
	Refer    string  `json:"refer"`    // field of the body that names a document; empty for the resource of the path
	To       string  `json:"to"`       // the type of that document
	Property string  `json:"property"` // of that document; empty asks for its existence only
	In       []any   `json:"in"`       // the values allowed
	Not      []any   `json:"not"`      // the values refused
	Field    string  `json:"field"`    // a field of the body that must be
	After    string  `json:"after"`    // later than this setting
	When     string  `json:"when"`     // a setting that must be true for the rule to hold
	Refuse   refusal `json:"refuse"`
}

// refusal is the answer of a rule.
type refusal struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Hint   string `json:"hint"`
}

type listSpec struct {
	Items  string `json:"items"`
	Cursor string `json:"cursor"`
	Token  string `json:"token"`
}

// envelopeNames are the properties of a body that tell of the message it reports.
type envelopeNames struct {
	Message    string `json:"message"`
	Digest     string `json:"digest"`
	Lane       string `json:"lane"`
	LaneNumber string `json:"laneNumber"`
}

// filter binds a query parameter to a filter field, or to a role in paging.
type filter struct {
	param *contract.Parameter
	field int
	role  string
}

type act int

const (
	actStatic act = iota
	actCreate
	actList
	actGet
	actPatch
	actPut
	actDelete
	actDo
	actUnion
)

// behaviour is what one operation does.
type behaviour struct {
	op         *contract.Operation
	act        act
	coll       *collectionSpec
	template   string // of the collection
	itemParam  string
	action     *actionSpec
	actSpec    *collectionSpec // of the action's own documents
	rules      []rule
	list       listSpec
	bare       bool // the list answers with an array
	filters    []filter
	idempotent bool
	status     int
	schema     string         // of the answer
	required   []string       // of the answer
	sample     map[string]any // an answer made of the schema
	example    []byte         // an answer of the document
	drop       []string       // write-only members of the answer
	media      string
}

func newPlan(d *contract.Document) (*plan, error) {
	p := &plan{doc: d, behaviour: map[string]*behaviour{}, specs: map[string]*collectionSpec{}, settings: map[string]any{}}
	p.names = envelopeNames{"messageId", "digest", "lane", "laneNumber"}
	if err := into(d.Extension("x-mock-envelope"), &p.names, d.Position("/x-mock-envelope")); err != nil {
		return nil, err
	}
	if err := into(d.Extension("x-mock-settings"), &p.settings, d.Position("/x-mock-settings")); err != nil {
		return nil, err
	}
	ops := d.Operations()
	if err := p.collections(ops); err != nil {
		return nil, err
	}
	for _, op := range ops {
		b, err := p.behave(op)
		if err != nil {
			return nil, err
		}
		p.behaviour[op.ID] = b
	}
	p.bindFilters(ops)
	return p, nil
}

// into reads an extension into a struct, strictly: a misspelt key would be a silent no-op.
func into(ext, target any, pos string) error {
	if ext == nil {
		return nil
	}
	b, err := json.Marshal(ext)
	if err != nil {
		return fmt.Errorf("%s: %w", pos, err)
	}
	if err := strictJSON(b, target); err != nil {
		return fmt.Errorf("%s: %w", pos, err)
	}
	return nil
}

// behave works out what an operation does.
func (p *plan) behave(op *contract.Operation) (*behaviour, error) {
	b := &behaviour{op: op, list: listSpec{"items", "nextCursor", "changeToken"}}
	b.classify(p)
	pos := op.Position()
	if ext := op.Extension("x-mock-action"); ext != nil {
		b.action = &actionSpec{}
		if err := into(ext, b.action, pos); err != nil {
			return nil, err
		}
		if b.coll == nil {
			return nil, fmt.Errorf("%s: x-mock-action on %s, which has no resource", pos, op.Path)
		}
		b.actSpec = &collectionSpec{Type: b.action.Type, Number: "number", First: b.action.First, Posted: "postedAt"}
	}
	if err := into(op.Extension("x-mock-rules"), &b.rules, pos); err != nil {
		return nil, err
	}
	if err := into(op.Extension("x-mock-list"), &b.list, pos); err != nil {
		return nil, err
	}
	b.idempotent = op.Extension("x-mock-idempotent") == true
	b.answer(p.doc)
	return b, nil
}

func (b *behaviour) classify(p *plan) {
	op := b.op
	tail := last(op.Path)
	if op.Extension("x-mock-union") == true {
		b.act = actUnion
		return
	}
	if c, ok := p.specs[op.Path]; ok {
		b.coll, b.template = c, op.Path
		switch op.Method {
		case "POST":
			b.act = actCreate
		case "GET", "HEAD":
			b.act = actList
		}
		return
	}
	if c, ok := p.specs[parent(op.Path)]; ok && isParam(tail) {
		b.coll, b.template, b.itemParam = c, parent(op.Path), strings.Trim(tail, "{}")
		b.act = map[string]act{"GET": actGet, "HEAD": actGet, "PATCH": actPatch, "PUT": actPut, "DELETE": actDelete, "POST": actDo}[op.Method]
		return
	}
	item := parent(op.Path)
	if c, ok := p.specs[parent(item)]; ok && isParam(last(item)) && op.Method == "POST" {
		b.coll, b.template, b.itemParam, b.act = c, parent(item), strings.Trim(last(item), "{}"), actDo
	}
}

// answer finds the successful answer and prepares what does not depend on the request.
func (b *behaviour) answer(d *contract.Document) {
	var resp *contract.Response
	b.status = 200
	for _, r := range b.op.Responses() {
		if n, err := strconv.Atoi(r.Status); err == nil && n >= 200 && n < 300 {
			resp, b.status = r, n
			break
		}
	}
	if resp == nil {
		resp, _ = b.op.Response(200)
	}
	if resp == nil {
		b.status = 204
		return
	}
	b.example, _ = resp.Example("")
	b.media = "application/json"
	for _, m := range resp.MediaTypes() {
		if strings.Contains(m, "json") {
			b.media = m
		}
	}
	if len(resp.MediaTypes()) == 0 {
		b.media = ""
	}
	ptr, ok := resp.Schema()
	if !ok {
		return
	}
	b.schema = ptr
	shape, _, _ := d.At(ptr)
	m, _ := shape.(map[string]any)
	b.bare = m["type"] == "array"
	b.sample, _ = generate(d, ptr).(map[string]any)
	b.required = requiredOf(d, ptr)
	for name, prop := range properties(d, ptr) {
		if pm, _ := prop.(map[string]any); pm["writeOnly"] == true {
			b.drop = append(b.drop, name)
		}
		if pm, _ := prop.(map[string]any); b.act == actList && pm["type"] == "array" {
			if _, has := properties(d, ptr)[b.list.Items]; !has {
				b.list.Items = name
			}
		}
	}
}

// bindFilters ties query parameters of lists to fields of their documents.
func (p *plan) bindFilters(ops []*contract.Operation) {
	for _, op := range ops {
		b := p.behaviour[op.ID]
		if b.act != actList {
			continue
		}
		for _, param := range op.Parameters() {
			if param.In != "query" {
				continue
			}
			role, _ := param.Extension("x-mock-role").(string)
			if role == "" && (param.Name == "limit" || param.Name == "cursor") {
				role = param.Name
			}
			f := filter{param: param, role: role, field: -1}
			if role == "" {
				name, _ := param.Extension("x-mock-field").(string)
				if name == "" {
					name = param.Name
				}
				f.field = b.coll.filterIndex(name)
			}
			b.filters = append(b.filters, f)
		}
	}
}

func answerSchema(op *contract.Operation) (string, bool) {
	for _, status := range []int{201, 200, 202} {
		if r, ok := op.Response(status); ok && r.Status != "default" {
			if ptr, ok := r.Schema(); ok {
				return ptr, true
			}
		}
	}
	return "", false
}

func isParam(segment string) bool {
	return strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}")
}

func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return ""
}
