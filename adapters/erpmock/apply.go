package erpmock

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/openapi/contract"
)

// transaction is the effect of one request. The space's mutex is held all the while.
type transaction struct {
	*call
	touched  []*record
	answered string // key under which the answer is kept for a repetition, if it is
}

// keyed is the answer that an idempotent request has had.
type keyed struct {
	sum [32]byte
	ans answer
}

// apply does what the operation does.
func (t *transaction) apply() answer {
	key := t.idempotencyKey()
	if key == "" {
		return t.act()
	}
	sum := sha256.Sum256(t.req.Body)
	if old, ok := t.s.keys[key]; ok {
		if old.sum != sum {
			return problem(http.StatusUnprocessableEntity, "key-reused", "the same key came before with another body", "use a new key for a new request")
		}
		return old.ans
	}
	ans := t.act()
	if ans.status < 300 && len(t.s.keys) < t.m.cfg.Journal.Count {
		t.s.keys[key] = keyed{sum, ans}
		t.answered = key
	}
	return ans
}

// idempotencyKey is what an effect is unique by, or empty where nothing makes it so.
func (t *transaction) idempotencyKey() string {
	switch {
	case t.r.Method == http.MethodGet || t.r.Method == http.MethodHead:
		return ""
	case t.b.idempotent && t.entry.MessageID != "":
		return t.b.op.ID + "\x00m" + t.entry.MessageID
	case (t.b.idempotent || t.m.cfg.Idempotent) && t.entry.Key != "":
		return t.b.op.ID + "\x00k" + t.entry.Key
	}
	return ""
}

func (t *transaction) act() answer {
	if t.b.act == actUnion {
		return t.union()
	}
	if t.b.coll == nil {
		return t.static()
	}
	c := t.s.store.collection(t.b.coll, expand(t.b.template, t.req.Path))
	var rec *record
	if t.b.itemParam != "" {
		number := t.req.Path[t.b.itemParam]
		var ok bool
		if rec, ok = c.docs[number]; !ok && t.b.act != actPut {
			return problem(http.StatusNotFound, "not-found", fmt.Sprintf("there is no %s %s", t.b.coll.Type, number), "list what there is")
		}
	}
	if ans, stop := t.precondition(rec); stop {
		return ans
	}
	if ans, stop := t.checkRules(rec); stop {
		return ans
	}
	switch t.b.act {
	case actCreate:
		return t.create(c)
	case actList:
		return t.list(c)
	case actGet:
		return t.resource(rec, t.b.status)
	case actPatch, actDo:
		return t.change(rec)
	case actPut:
		return t.replace(c, rec)
	case actDelete:
		return t.remove(rec)
	}
	return t.static()
}

// expand fills a template's parameters in.
func expand(template string, params map[string]string) string {
	if !strings.Contains(template, "{") {
		return template
	}
	for k, v := range params {
		template = strings.ReplaceAll(template, "{"+k+"}", url.PathEscape(v))
	}
	return template
}

// precondition holds If-Match and If-None-Match against the record's version (RFC 9110 section 13).
func (t *transaction) precondition(r *record) (answer, bool) {
	if r == nil {
		return answer{}, false
	}
	if want := t.r.Header.Get("If-Match"); want != "" && want != "*" && !slices.Contains(splitTags(want), r.etag()) {
		return problem(http.StatusPreconditionFailed, "changed-meanwhile", "the resource is at version "+r.etag(), "read it again and repeat the change"), true
	}
	if not := t.r.Header.Get("If-None-Match"); t.r.Method == http.MethodGet && not != "" && slices.Contains(splitTags(not), r.etag()) {
		return answer{status: http.StatusNotModified, header: http.Header{"Etag": {r.etag()}}}, true
	}
	return answer{}, false
}

func splitTags(s string) []string {
	tags := strings.Split(s, ",")
	for i := range tags {
		tags[i] = strings.TrimPrefix(strings.TrimSpace(tags[i]), "W/")
	}
	return tags
}

func (r *record) etag() string { return `"` + strconv.FormatInt(r.version, 10) + `"` }

// create stores a new document under a number of the ERP, or under its own where it has one.
func (t *transaction) create(c *collection) answer {
	doc, ok := t.body.(map[string]any)
	if !ok {
		doc = map[string]any{}
	}
	number := scalarText(doc[c.spec.Number])
	if number == "" {
		number = c.next()
	} else if old, known := c.docs[number]; known {
		if !c.spec.Upsert {
			return problem(http.StatusConflict, "duplicate", fmt.Sprintf("%s %s exists already", c.spec.Type, number), "change it, or leave the number to the ERP")
		}
		return t.rewrite(old, doc, t.b.status)
	}
	rec := t.insert(c, number, doc)
	ans := t.resource(rec, t.b.status)
	ans.header["Location"] = []string{rec.path}
	return ans
}

// insert makes a record of a body and notes the effect.
func (t *transaction) insert(c *collection, number string, doc map[string]any) *record {
	rec := &record{in: c, number: number, path: c.path + "/" + url.PathEscape(number), created: t.entry.At}
	rec.envelope = envelope{t.entry.MessageID, t.entry.Digest, t.entry.Lane, t.entry.LaneNumber}
	t.fill(c.spec, doc, number)
	t.save(rec, doc, t.entry.At)
	t.note(rec, "created")
	return rec
}

// fill adds to a new document what the ERP gives: initial values, its number, and whatever the
// answer's schema requires.
func (t *transaction) fill(spec *collectionSpec, doc map[string]any, number string) {
	for k, v := range spec.Initial {
		if _, has := doc[k]; !has {
			doc[k] = v
		}
	}
	if spec.Number != "" {
		doc[spec.Number] = number
		if spec.integer {
			doc[spec.Number] = json.Number(number)
		}
	}
	if t.b.act != actCreate && t.b.act != actPut {
		return
	}
	for _, name := range t.b.required {
		if _, has := doc[name]; !has && t.b.sample[name] != nil {
			doc[name] = t.b.sample[name]
		}
	}
}

// save writes stamps and version and stores the document.
func (t *transaction) save(rec *record, doc map[string]any, at time.Time) {
	spec := rec.in.spec
	rec.version++
	stamp := at.UTC().Format(time.RFC3339Nano)
	if spec.Version != "" {
		doc[spec.Version] = json.Number(strconv.FormatInt(rec.version, 10))
	}
	if spec.Posted != "" {
		doc[spec.Posted] = rec.created.UTC().Format(time.RFC3339Nano)
	}
	if spec.Changed != "" {
		doc[spec.Changed] = stamp
	}
	keys := make([]string, len(spec.filters))
	for i, f := range spec.filters {
		keys[i] = scalarText(doc[f])
	}
	t.s.store.put(rec, encode(nil, doc), keys)
	t.touched = append(t.touched, rec)
}

func (t *transaction) note(rec *record, act string) {
	t.s.log.effect(t.entry, Effect{Type: rec.in.spec.Type, Number: rec.number, Act: act, Target: rec.target})
}

// rewrite replaces a document's content; what the ERP gives stays.
func (t *transaction) rewrite(rec *record, doc map[string]any, status int) answer {
	t.fill(rec.in.spec, doc, rec.number)
	t.save(rec, doc, t.entry.At)
	t.note(rec, "changed")
	return t.resource(rec, status)
}

func (t *transaction) replace(c *collection, rec *record) answer {
	doc, ok := t.body.(map[string]any)
	if !ok {
		doc = map[string]any{}
	}
	if rec != nil {
		return t.rewrite(rec, doc, t.b.status)
	}
	status := t.b.status
	if r, ok := t.b.op.Response(http.StatusCreated); ok && r.Status == "201" {
		status = http.StatusCreated
	} else if _, ok := t.b.op.Response(http.StatusNotFound); ok {
		return problem(http.StatusNotFound, "not-found", fmt.Sprintf("there is no %s %s", c.spec.Type, t.req.Path[t.b.itemParam]), "create it first")
	}
	return t.resource(t.insert(c, t.req.Path[t.b.itemParam], doc), status)
}

func (t *transaction) remove(rec *record) answer {
	ans := answer{status: t.b.status, header: http.Header{}}
	if t.b.media != "" && t.b.status != http.StatusNoContent {
		ans = t.resource(rec, t.b.status)
	}
	t.s.store.remove(rec)
	t.touched = append(t.touched, rec)
	t.note(rec, "deleted")
	return ans
}

// change patches a resource, or does to it what the action of a sub-resource says. An action has
// a document of its own, which carries the message; the resource keeps its creator's.
func (t *transaction) change(rec *record) answer {
	doc := t.decoded(rec)
	patch, _ := t.body.(map[string]any)
	if t.b.act == actPatch {
		plain := maps.Clone(patch)
		if t.b.action != nil {
			for _, k := range t.m.plan.names.all() {
				delete(plain, k)
			}
		}
		doc, _ = mergePatch(doc, plain).(map[string]any)
	}
	var own *record
	if a := t.b.action; a != nil {
		maps.Copy(doc, a.Set)
		own = t.actDocument(rec, patch)
		if a.Link != "" {
			doc[a.Link] = own.number
		}
	}
	t.save(rec, doc, t.entry.At)
	switch {
	case own == nil:
		t.note(rec, "changed")
		return t.changed(rec)
	case t.b.action.Answer == "resource":
		return t.resource(rec, t.b.status)
	}
	return t.resource(own, t.b.status)
}

func (n envelopeNames) all() []string { return []string{n.Message, n.Digest, n.Lane, n.LaneNumber} }

// actDocument keeps what was done to a resource as a document with a number and a message.
func (t *transaction) actDocument(rec *record, body map[string]any) *record {
	c := t.s.store.collection(t.b.actSpec, "act:"+t.b.actSpec.Type)
	doc := maps.Clone(body)
	if doc == nil {
		doc = map[string]any{}
	}
	doc["type"], doc["target"] = t.b.actSpec.Type, rec.number
	own := &record{in: c, number: c.next(), created: t.entry.At, target: rec.number}
	own.path = "/" + own.number
	own.envelope = envelope{t.entry.MessageID, t.entry.Digest, t.entry.Lane, t.entry.LaneNumber}
	doc["number"] = own.number
	t.save(own, doc, t.entry.At)
	t.note(own, "created")
	return own
}

// changed answers an action that the document does not describe further: with its example, or
// with the resource where the answer's schema takes it.
func (t *transaction) changed(rec *record) answer {
	ans := t.resource(rec, t.b.status)
	if t.b.act == actPatch || t.b.media == "" {
		return ans
	}
	h := http.Header{"Content-Type": {t.b.media}}
	if _, wrong := t.b.op.CheckResponse(t.b.status, h, ans.body); len(wrong) > 0 {
		return t.static()
	}
	return ans
}

func (t *transaction) decoded(rec *record) map[string]any {
	v, err := contract.Decode(rec.body)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return map[string]any{}
	}
	return m
}
