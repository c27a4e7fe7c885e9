package odata

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// target is what one write is made to: a new entity of a set, one that is there, or an operation.
type target struct {
	name   string // as the mapping has it, behind the service
	set    *edm.Set
	change bool
	op     *edm.Operation
	cfg    Write
	sap    bool // the ERP is one
}

// changed is what a target that changes an entity ends with.
const changed = "/change"

// split finds the service of a mapping's target.
func (l *Link) split(name string) (*Client, string, error) {
	service, rest, _ := strings.Cut(name, "/")
	c, err := l.Service(service)
	if err != nil || rest == "" {
		return nil, "", &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("target %q of a mapping", name), Why: "it names no service of the link and what to call there",
			Hint: "write SERVICE/SET, SERVICE/SET/change or SERVICE/OPERATION; the services are " + strings.Join(l.Services(), ", "),
		}
	}
	return c, rest, nil
}

// target finds in the $metadata what is named behind the service.
func (c *Client) target(m *edm.Model, rest string) (*target, error) {
	t := &target{name: rest, cfg: c.link.cfg.Writes[c.name+"/"+rest], sap: c.link.cfg.SAP}
	bad := func(why, hint string) (*target, error) {
		return nil, &problem.Error{Kind: problem.Invalid, What: fmt.Sprintf("target %q of a mapping", c.name+"/"+rest), Why: why, Hint: hint}
	}
	if op, ok := m.Operations[rest]; ok {
		if op.Method != http.MethodPost {
			return bad("it is called by "+op.Method+", which changes nothing in the ERP", "use what writes")
		}
		t.op = op
		if op.Bound != nil {
			t.set = setOf(m, op.Bound)
		}
		if op.Bound != nil && (t.set == nil || op.BoundMany) {
			return bad("no entity set has what it is bound to, or it is bound to many", "use an operation of one entity")
		}
		return t, nil
	}
	name, isChange := strings.CutSuffix(rest, changed)
	set, ok := m.Sets[name]
	switch t.set, t.change = set, isChange; {
	case !ok:
		return bad("the service's $metadata has neither set nor operation of this name"+like(m, name), "use a name of its $metadata")
	case !isChange && (set.NoCreate || set.Singleton):
		return bad("the service makes no new entities in this set", "change one that is there, with "+rest+changed+", or call an operation")
	case isChange && set.NoUpdate:
		return bad("the service does not change entities of this set", "call an operation")
	}
	return t, nil
}

// setOf is the first set, by name, of a type.
func setOf(m *edm.Model, of *edm.Struct) *edm.Set {
	var found *edm.Set
	for _, s := range m.Sets {
		if s.Of == of && (found == nil || s.Name < found.Name) {
			found = s
		}
	}
	return found
}

// like names what may have been meant.
func like(m *edm.Model, name string) string {
	var out []string
	for s := range m.Sets {
		if strings.EqualFold(s, name) || strings.HasPrefix(strings.ToLower(s), strings.ToLower(name)) {
			out = append(out, s)
		}
	}
	for o := range m.Operations {
		if strings.EqualFold(o, name) || strings.HasSuffix(o, "."+name) {
			out = append(out, o)
		}
	}
	if slices.Sort(out); len(out) > 0 {
		return "; did you mean " + strings.Join(out, " or ") + "?"
	}
	return ""
}

// field finds what the message's ID is written to.
func (t *target) field(name string) (*edm.Field, bool) {
	if t.op != nil {
		return t.op.Param(name)
	}
	return t.set.Of.Field(name)
}

// asked is the set and field in which the message's ID is found again.
func (t *target) asked(m *edm.Model) (*edm.Set, *edm.Field, error) {
	set := t.set
	if t.cfg.AskSet != "" {
		set = m.Sets[t.cfg.AskSet]
	} else if t.op != nil && t.op.Returns != nil && t.op.Returns.Struct != nil {
		set = setOf(m, t.op.Returns.Struct)
	}
	if set == nil {
		return nil, nil, wrong("writes."+t.name+".ask_set", "the service has no such set", "name the set in which the document can be found")
	}
	if t.cfg.ID == "" {
		return set, nil, t.checkAsk(set)
	}
	name := t.cfg.AskField
	if name == "" {
		name = t.cfg.ID
	}
	f, ok := set.Of.Field(name)
	if !ok || f.NoFilter {
		return nil, nil, wrong("writes."+t.name+".ask_field", fmt.Sprintf("%s has no field %q that can be searched", set.Name, name), "name the field that keeps the message's ID")
	}
	return set, f, nil
}

// checkAsk holds the fields by which an effect is found against the set in which it is.
func (t *target) checkAsk(set *edm.Set) error {
	for _, names := range []map[string]string{t.cfg.AskFields, t.cfg.AskValues} {
		for name := range names {
			if f, ok := set.Of.Field(name); !ok || f.NoFilter {
				return wrong("writes."+t.name+".ask_fields", fmt.Sprintf("%s has no field %q that can be searched", set.Name, name), "name fields that show the effect")
			}
		}
	}
	of := t.document()
	for _, name := range t.cfg.AskFields {
		_, isField := of.Field(name)
		if !isField && (t.set == nil || !slices.Contains(t.set.Of.Key, name)) {
			return wrong("writes."+t.name+".ask_fields", fmt.Sprintf("the document has neither field nor parameter %q", name), "name one whose value the effect has")
		}
	}
	return nil
}

// asks tells whether there is a way to find what became of a write.
func (w Write) asks() bool { return w.ID != "" || len(w.AskFields) > 0 }

// checkWrite holds what the configuration says of a target against the $metadata.
func (t *target) checkWrite(m *edm.Model, w Write) error {
	if !w.asks() {
		return nil
	}
	if w.ID == "" {
		_, _, err := t.asked(m)
		return err
	}
	f, ok := t.field(w.ID)
	if !ok {
		return wrong("writes."+t.name+".id", fmt.Sprintf("%s has no field %q", t.name, w.ID), "name the field that the ERP keeps and can search")
	}
	if _, err := idFor(f, "x"); err != nil {
		return wrong("writes."+t.name+".id", err.Error(), "name an Edm.Guid, or a text of at least 12 characters")
	}
	_, _, err := t.asked(m)
	return err
}

// space is that of the UUIDs that are made of message IDs which are none.
var space = uuid.MustParse("8f0c3c52-7d0e-5b3a-9d4e-2f6a1c9b7e10")

// guid is the UUID that stands for a message's ID: the ID itself, if it is one.
func guid(id string) uuid.UUID {
	if u, err := uuid.Parse(id); err == nil && len(id) == 36 {
		return u
	}
	return uuid.NewSHA1(space, []byte(id))
}

// RequestID is the UUID that goes with every write of a message, whichever field else carries its ID: the message's own ID, if it is a
// UUID. A gateway that was set up for it knows a repeated request by it; a mock's journal names the message by it.
func RequestID(id string) string { return guid(id).String() }

// Mark is what stands for a message's ID in a text field of that length.
func Mark(id string, length int) string {
	if len(id) <= length {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
	return text[:min(len(text), length)]
}

// shortest is how few characters may stand for a message: 60 bits.
const shortest = 12

// idFor is what stands for a message's ID in a field. The same ID gives the same text, now and after a restart.
func idFor(f *edm.Field, id string) (string, error) {
	switch {
	case f.Type == "Edm.Guid":
		return guid(id).String(), nil
	case f.Type != "Edm.String":
		return "", fmt.Errorf("%s is no field for an ID", f.Name)
	case f.MaxLength == 0 || len(id) <= f.MaxLength:
		return id, nil
	case f.MaxLength < shortest:
		return "", fmt.Errorf("%s is too short for an ID", f.Name)
	}
	return Mark(id, f.MaxLength), nil
}

// compose makes the request of a delivery, held against the $metadata. Nothing that does not fit gets further.
func (c *Client) compose(m *edm.Model, t *target, d message.Delivery) (request, []edm.Violation) {
	doc, ok := object(d.Doc.Body)
	if !ok {
		return request{}, []edm.Violation{{Why: "the document is no JSON object"}}
	}
	if wrong := t.identify(doc, d.Event.Message().ID); wrong != nil {
		return request{}, wrong
	}
	w := edm.Wire{Version: m.Version, IEEE754: c.cfg.IEEE754}
	r := request{method: http.MethodPost, header: http.Header{"Content-Type": {jsonType(m.Version, c.cfg.IEEE754)}}}
	if !c.cfg.NoRequestID {
		c.link.repeatable(r.header, d)
	}
	var wrong []edm.Violation
	var body map[string]any
	switch {
	case t.op != nil:
		return c.composeCall(m, t, r, doc, d.Doc.Params)
	case t.change:
		if r.method = http.MethodPatch; m.Version == edm.V2 {
			r.method = "MERGE"
		}
		body, wrong = t.set.Of.Wire(doc, w, edm.Change)
		key, err := t.key(m, d.Doc.Params)
		if err != nil {
			wrong = append(wrong, edm.Violation{Why: err.Error()})
		}
		r.path = "/" + t.set.Name + key
	default:
		body, wrong = t.set.Of.Wire(doc, w, edm.Create)
		r.path = "/" + t.set.Name
		for name := range d.Doc.Params {
			wrong = append(wrong, edm.Violation{Pointer: name, Why: "a new entity has no parameters; fields belong in the document"})
		}
	}
	if len(wrong) > 0 {
		return request{}, wrong
	}
	r.body, wrong = marshal(body)
	return r, wrong
}

// object reads a document; an empty one has no fields.
func object(body []byte) (map[string]any, bool) {
	if len(body) == 0 {
		return map[string]any{}, true
	}
	v, err := contract.Decode(body)
	o, ok := v.(map[string]any)
	return o, ok && err == nil
}

// identify writes the message's ID to its field. Another ID there is a violation: the ERP would be asked for the wrong one later.
func (t *target) identify(doc map[string]any, id string) []edm.Violation {
	if t.cfg.ID == "" {
		return nil
	}
	f, ok := t.field(t.cfg.ID)
	if !ok {
		return []edm.Violation{{Pointer: "/" + t.cfg.ID, Why: "the service has no such field for the message's ID"}}
	}
	v, err := idFor(f, id)
	if err != nil {
		return []edm.Violation{{Pointer: "/" + t.cfg.ID, Why: err.Error()}}
	}
	if given, has := doc[t.cfg.ID]; has && given != v && given != id {
		return []edm.Violation{{Pointer: "/" + t.cfg.ID, Why: "it is not the ID of the message; leave it out of the mapping, the link fills it in"}}
	}
	doc[t.cfg.ID] = v
	return nil
}

// repeatable sends along what SAP's gateway knows a repeated request by, where it was set up to. Nothing relies on it. An amendment is another request. A
// replay that is forced is one too, and has nothing: by when it was made the gateway would take it for one that it has forgotten, as all that is older
// than it remembers.
func (l *Link) repeatable(h http.Header, d message.Delivery) {
	m := d.Event.Message()
	if d.Forced && d.Redelivery > 0 || l.forgotten(m.Time) {
		return
	}
	id := m.ID
	if m.Role == message.Amendment {
		id += " " + m.Digest()
	}
	h["RequestID"] = []string{strings.ToUpper(strings.ReplaceAll(guid(id).String(), "-", ""))}
	h["RepeatabilityCreation"] = []string{m.Time.UTC().Format(http.TimeFormat)}
}

// key is the address of the entity that parameters name.
func (t *target) key(m *edm.Model, params map[string]string) (string, error) {
	key := make(map[string]any, len(params))
	for name, v := range params {
		key[name] = v
	}
	if t.set.Singleton {
		return "", nil
	}
	for name := range key {
		if f, ok := t.set.Of.Field(name); ok && f.Type == "Edm.Boolean" {
			key[name] = params[name] == "true"
		}
	}
	return t.set.Of.KeyPath(key, m.Version)
}

// composeCall makes the request of an operation: V2 has the parameters in the address, V4 in the body.
func (c *Client) composeCall(m *edm.Model, t *target, r request, doc map[string]any, params map[string]string) (request, []edm.Violation) {
	as := edm.NewStruct(t.op.Name, t.op.Params)
	w := edm.Wire{Version: m.Version, IEEE754: c.cfg.IEEE754}
	body, wrong := as.Wire(doc, w, edm.Create)
	for _, f := range t.op.Params {
		if _, has := doc[f.Name]; !has && !f.Nullable && !f.Required {
			wrong = append(wrong, edm.Violation{Pointer: "/" + f.Name, Why: "the operation requires this parameter"})
		}
	}
	r.path = "/" + t.op.Name
	if t.op.Bound != nil {
		key, err := t.key(m, params)
		if err != nil {
			wrong = append(wrong, edm.Violation{Why: err.Error()})
		}
		r.path = "/" + t.set.Name + key + "/" + t.op.Name
	}
	if m.Version == edm.V2 {
		query, more := inAddress(t.op, doc)
		r.query = query
		return r, append(wrong, more...)
	}
	if len(wrong) > 0 {
		return request{}, wrong
	}
	r.body, wrong = marshal(body)
	return r, wrong
}

// inAddress writes V2's parameters, in the order of the $metadata.
func inAddress(op *edm.Operation, doc map[string]any) (string, []edm.Violation) {
	var parts []string
	var wrong []edm.Violation
	for _, f := range op.Params {
		v, has := doc[f.Name]
		if !has || v == nil {
			continue
		}
		lit, err := f.Literal(v, edm.V2)
		if err != nil {
			wrong = append(wrong, edm.Violation{Pointer: "/" + f.Name, Why: err.Error()})
			continue
		}
		parts = append(parts, f.Name+"="+edm.Escape(lit))
	}
	return strings.Join(parts, "&"), wrong
}

func marshal(body map[string]any) ([]byte, []edm.Violation) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, []edm.Violation{{Why: "the document cannot be written: " + err.Error()}}
	}
	return b, nil
}

func opName(t *target) string {
	if t.op == nil {
		return ""
	}
	return t.op.Name
}
