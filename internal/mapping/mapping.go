// Package mapping turns the plant's messages into an ERP's documents and back, by rules that an ERP team writes in YAML.
//
// # Guarantees
//
//   - A mapping that does not compile is never used: Load reports every mistake of every file as file:line:column, with what is
//     wrong, why, and a hint. Expressions are compiled with the types of the plant's messages (openapi/events.yaml); Check holds what
//     they make against the ERP's contract.
//   - Another set takes the place of one that is used as a whole, or not at all (Live).
//   - Numbers are exact from byte to byte: JSON numbers are read digit for digit, a floating-point literal is a mistake, a result
//     that would lose a digit is an error unless the rule says how to round.
//   - An expression ends: it cannot loop for ever, and its cost, its texts and its result are bounded.
//   - The same message, mapping and references give the same document, byte for byte.
//   - A Document names the mapping that made it and the hash of all that it is made of: its text, tables, fragments and units.
//
// # The file
//
// A mapping out names the kind of message that it takes and the operation that it feeds; a mapping in names the document that it
// takes and the kind of message that it makes. Each field is a CEL expression, or an object that says more:
//
//	from: {kind: operation.confirmed, version: 1}
//	to: {operation: createConfirmation}
//	tables:
//	  reason: {rows: {scratch: "0001", dent: "0002"}, otherwise: "0000"}
//	fields:
//	  messageId: event.id
//	  order: {value: 'ref("order", src.order)', required: true}
//	  yield: {value: decimal(src.yield), scale: 3, as: string}
//	  reason: {when: has(src.reason), value: 'lookup("reason", src.reason)'}
//	  items:
//	    each: src.components
//	    item: c
//	    fields: {material: c.material}
//
// tables may stand in files beside the mapping, fields in fragments that several mappings use. docs/mapping-guide.md has the whole language.
//
// A mapping with body: event instead of fields passes the body on as it is, whatever its size: no expression sees it.
//
// An expression sees src (the body), and event.id, .source, .kind, .version, .key, .time, .link, .lane, .epoch, .number and
// .digest. A value that is absent (a field that is not there read as src.?name, or null) leaves its field out, takes the default,
// or is an error where the field is required.
package mapping

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

//go:embed library
var library embed.FS

// Library is the mappings that Holdfast ships. A file's name in it, without .yaml, is the mapping's name.
func Library() fs.FS {
	sub, err := fs.Sub(library, "library")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}

// Resolver knows the two names of one thing. Out, it gives the ERP's number of the plant's object, named as "order/ID"; in, the
// plant's ID of the ERP's object, named as "order/NUMBER". It says false while nobody knows.
type Resolver func(ctx context.Context, object string) (name string, known bool, err error)

// Waiting says that a document cannot be made yet: the ERP has not given the number of an object that the plant made. The
// receipt of the message that creates the object brings it.
type Waiting struct{ Object string }

// Error names the object.
func (w *Waiting) Error() string { return "the ERP's number of " + w.Object + " is not known yet" }

// ErrLeftOut says that the mapping in has a condition (when) which this document does not meet: it is to have no effect.
var ErrLeftOut = errors.New("the mapping leaves this document out")

// Set is the mappings that compiled, by name. It is immutable and safe for use by many goroutines.
type Set struct {
	// Kept is the name under which the files that the set was made of are kept (package edition), "" if they are not. It is given before the
	// set is used.
	Kept string

	byName map[string]*mapping
	from   []fs.FS
	was    bool      // it was published before: what is found in it does not stop a plant
	draft  bool      // of mappings with mistakes, for Check alone
	base   *compiler // what the mappings share, to compile one of them once more
	idle   []Mistake
}

// How the names of files begin or end that are no mappings: examples, and tables in YAML.
const (
	exampleSuffix = ".example.yaml"
	tablePrefix   = "table-"
)

// Load compiles every *.yaml below each fsys; a name in a later one replaces the same name in an earlier one. Files ending in
// .example.yaml hold examples and are passed over, those in .fragments.yaml hold fragments, and units.csv the plant's own units. The error
// joins a *Mistake for each mistake found.
func Load(fsys ...fs.FS) (*Set, error) { return loadAs(false, fsys...) }

// LoadPublished is Load of mappings that were checked when they were published, maybe by an earlier release. What this one finds in them beyond is told
// by Check (Finding.Newer) and does not keep them from being used: a release must not stop a plant. What cannot be compiled is refused as by Load.
func LoadPublished(fsys ...fs.FS) (*Set, error) { return loadAs(true, fsys...) }

func loadAs(published bool, fsys ...fs.FS) (*Set, error) {
	s, err := loadBy(func(c *compiler) { c.was = published }, fsys)
	if err != nil {
		return nil, err
	}
	s.was = published
	return s, nil
}

// LoadDraft is Load of mappings with mistakes, for Check alone: beside the mistakes of the files that the error joins, a person wants to see what
// their contracts have against the rest of them. A file that cannot be read is left out, and nothing is mapped by such a set. It is nil if there is none.
func LoadDraft(fsys ...fs.FS) (*Set, error) {
	s, err := loadBy(func(c *compiler) { c.draft = true }, fsys)
	if s != nil {
		s.draft = true
	}
	return s, err
}

func loadBy(how func(*compiler), fsys []fs.FS) (*Set, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	how(c)
	s := &Set{byName: map[string]*mapping{}, from: fsys}
	c.expanded = map[string]bool{}
	if err := c.prepare(fsys); err != nil {
		return nil, err
	}
	for i, f := range fsys {
		c.own = i > 0
		if err := s.loadAll(f, c); err != nil {
			return nil, err
		}
	}
	s.oneOfAKind(c)
	s.base, s.idle = c.again(nil), c.idle()
	return s, errors.Join(c.mistakes...)
}

// Idle is what stands in the plant's own files and is used by no mapping: fragments.
func (s *Set) Idle() []Mistake { return slices.Clone(s.idle) }

// prepare reads what mappings share: units and fragments.
func (c *compiler) prepare(fsys []fs.FS) error {
	var own [][]byte
	var kept []byte
	for i, f := range fsys {
		if table, err := fs.ReadFile(f, KeptUnits); err == nil && i == 0 {
			kept = table
		}
		c.own = i > 0
		if text, err := fs.ReadFile(f, unitFile); err == nil {
			own = append(own, text)
		}
		here := map[string]bool{}
		err := files(f, func(file string) error {
			if strings.HasSuffix(file, fragmentSuffix) {
				return c.readFragments(f, file, here)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	err := c.units.fill(kept, own...)
	if m, ok := errors.AsType[*Mistake](err); ok {
		c.mistakes = append(c.mistakes, m)
		err = c.units.fill(kept)
	}
	if kept == nil {
		kept = shippedUnits
	}
	if kept = unlessFirst(kept); kept != nil {
		c.unitTables = piece(KeptUnits, kept)
	}
	for _, text := range own {
		c.unitTables = append(c.unitTables, piece(unitFile, text)...)
	}
	return err
}

// files calls do with each file below a folder, which need not be there. What begins with a dot is not the plant's: an editor's, or the
// folder of a volume in which Kubernetes keeps what the names beside it are links to.
func files(fsys fs.FS, do func(file string) error) error {
	return fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && file == ".":
			return nil // a plant without mappings of its own
		case err != nil:
			return fmt.Errorf("look for mappings in %s: %w", file, err)
		case file != "." && strings.HasPrefix(d.Name(), "."):
			return hidden(d)
		case d.IsDir():
			return nil
		}
		return do(file)
	})
}

func hidden(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// isMapping tells whether a file is one.
func isMapping(file string) bool {
	return path.Ext(file) == ".yaml" && !strings.HasSuffix(file, exampleSuffix) && !strings.HasSuffix(file, fragmentSuffix)
}

func (s *Set) loadAll(fsys fs.FS, c *compiler) error {
	return files(fsys, func(file string) error {
		if path.Ext(file) == ".yml" {
			c.add(place{file, 1, 1}, "the file", "only files that end in .yaml and .csv are read, and this one would be passed over", "name it "+strings.TrimSuffix(file, ".yml")+".yaml")
		}
		if !isMapping(file) || strings.HasPrefix(path.Base(file), tablePrefix) {
			return nil
		}
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return fmt.Errorf("read mapping %s: %w", file, err)
		}
		c.fsys = fsys
		s.add(file, text, c)
		return nil
	})
}

// add compiles one mapping. Its version is the hash of everything that it is made of.
func (s *Set) add(file string, text []byte, c *compiler) {
	m := c.compile(file, text)
	if m == nil {
		return
	}
	sum := sha256.Sum256(slices.Concat(text, c.used.files, c.unitTables)) // each of the others is a piece
	m.name, m.text, m.folder, m.own = strings.TrimSuffix(file, ".yaml"), text, c.fsys, c.own
	m.version = m.name + "@" + hex.EncodeToString(sum[:])[:12]
	s.byName[m.name] = m
}

// piece is a text as a part of what is hashed: with its name and length, so that no two lists of texts hash alike.
func piece(name string, text []byte) []byte {
	return slices.Concat(fmt.Appendf(nil, "\x00%d %s %d\x00", len(name), name, len(text)), text)
}

// oneOfAKind finds files of one folder that are for the same kind, of which a route by the folder would find any.
func (s *Set) oneOfAKind(c *compiler) {
	first := map[string]string{}
	for _, n := range s.Names() {
		m, folder := s.byName[n], path.Dir(n)
		route := folder + "/" + m.kind
		named, was := s.byName[route], first[route]
		switch {
		case m.inbound || folder == "." || named != nil && named.kind == m.kind:
		case was != "":
			c.add(m.kindAt, "from.kind", fmt.Sprintf("%s maps %s too, and a route by %s finds one", was, m.kind, folder),
				fmt.Sprintf("move one of them to another folder, or name the one for such routes %s.yaml", m.kind))
		default:
			first[route] = m.file
		}
	}
}

// Names lists the mappings in order.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Covers tells whether Apply (or, for a kind "", ApplyIn) finds a mapping for this name and kind. A name is that of one mapping,
// or of a folder in which the mapping for the kind is found.
func (s *Set) Covers(name, kind string) bool {
	m, err := s.find(name, kind)
	return err == nil && m.inbound == (kind == "")
}

// Name is that of the mapping that a name stands for with a kind (for what comes in: ""), "" if there is none.
func (s *Set) Name(name, kind string) string {
	m, err := s.find(name, kind)
	if err != nil {
		return ""
	}
	return m.name
}

// Target is the operation that the mapping name feeds for messages of kind, "" if there is none.
func (s *Set) Target(name, kind string) string {
	m, err := s.find(name, kind)
	if err != nil {
		return ""
	}
	return m.target
}

// toUse is find of what maps.
func (s *Set) toUse(name, kind string) (*mapping, error) {
	if s.draft {
		return nil, &problem.Error{Kind: problem.Invalid, What: "map a document by " + name, Why: "its files have mistakes", Hint: "mend what holdfast mapping check tells"}
	}
	return s.find(name, kind)
}

func (s *Set) find(name, kind string) (*mapping, error) {
	if m := s.byName[name]; m != nil && (kind == "" || m.inbound || m.kind == kind) {
		return m, nil
	}
	if m := s.byName[name+"/"+kind]; m != nil && !m.inbound && m.kind == kind {
		return m, nil
	}
	for _, n := range s.Names() {
		if m := s.byName[n]; path.Dir(n) == name && !m.inbound && m.kind == kind {
			return m, nil
		}
	}
	what, hint := "map a document by "+name, "name one of: "+strings.Join(s.Names(), ", ")
	if kind != "" {
		what = fmt.Sprintf("map %s by %s", kind, name)
	}
	return nil, &problem.Error{Kind: problem.NotFound, What: what, Why: "there is no such mapping", Hint: hint}
}

// Apply makes the document of a message by the mapping name, or by the one for the message's kind in the folder name. Errors:
// *Waiting if a reference is not known yet; a *problem.Error of kind NotFound without a mapping, Invalid if the message does not
// fit it; what refs returns.
func (s *Set) Apply(ctx context.Context, name string, v message.Verified, refs Resolver) (message.Document, error) {
	m := v.Message()
	rules, err := s.toUse(name, m.Kind)
	if err == nil && rules.inbound {
		err = wrongWay(rules)
	}
	if err == nil {
		err = rules.accepts(m)
	}
	if err != nil {
		return message.Document{}, err
	}
	r, err := newRun(ctx, rules, m, refs)
	if err != nil {
		return message.Document{}, err
	}
	doc := message.Document{Mapping: rules.version, Target: rules.target}
	if len(rules.params) > 0 {
		doc.Params = make(map[string]string, len(rules.params))
	}
	for _, p := range rules.params {
		text, present, err := r.text(p)
		if err != nil {
			return message.Document{}, err
		}
		if present {
			doc.Params[p.name] = text
		}
	}
	if rules.whole {
		doc.Body, doc.Large, doc.Whole = m.Body, m.Large, true
		return doc, nil
	}
	if doc.Body, err = r.body(); err != nil {
		return message.Document{}, err
	}
	return doc, nil
}

// ApplyIn makes the plant's message of an ERP's document by the mapping name. It keeps ID, Source, Trace and Place. Errors:
// ErrLeftOut if the mapping's condition is not met; a *problem.Error of kind NotFound without a mapping, Invalid if the document
// does not fit it; what refs returns.
func (s *Set) ApplyIn(ctx context.Context, name string, m message.Message, refs Resolver) (message.Message, error) {
	rules, err := s.toUse(name, "")
	if err == nil && !rules.inbound {
		err = wrongWay(rules)
	}
	if err != nil {
		return message.Message{}, err
	}
	r, err := newRun(ctx, rules, m, refs)
	if err != nil {
		return message.Message{}, err
	}
	if rules.when != nil {
		if yes, err := r.holds(rules.when, r.scope); err != nil || !yes {
			return message.Message{}, orLeftOut(err)
		}
		r.observer.mark(rules.when, "")
	}
	out := m
	out.Version, out.Creates = rules.makes, ""
	for _, attr := range []struct {
		rule *rule
		to   *string
	}{{rules.toKind, &out.Kind}, {rules.toKey, &out.Key}} {
		text, present, err := r.text(attr.rule)
		if err == nil && (!present || text == "") {
			err = r.fail(attr.rule, errors.New("it is empty"), "")
		}
		if err != nil {
			return message.Message{}, err
		}
		*attr.to = text
	}
	if out.Time, err = r.time(rules.toTime, m.Time); err != nil {
		return message.Message{}, err
	}
	if rules.whole {
		return out, nil
	}
	out.Large = nil
	if out.Body, err = r.body(); err != nil {
		return message.Message{}, err
	}
	return out, nil
}

func orLeftOut(err error) error {
	if err == nil {
		return ErrLeftOut
	}
	return err
}

func wrongWay(m *mapping) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "use mapping " + m.name, Why: "it maps the other way",
		Hint: "a route names a mapping with from.kind, a source names one with from.document",
	}
}

// accepts checks the version of what a mapping out is given.
func (m *mapping) accepts(in message.Message) error {
	if in.Version == m.fromVersion {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("map %s of version %d by %s", in.Kind, in.Version, m.name),
		Why: fmt.Sprintf("the mapping is for version %d", m.fromVersion), Hint: "change from.version and look through the fields",
	}
}

// time is the time of a message in: what the rule says, or the one that it came with.
func (r *run) time(at *rule, otherwise time.Time) (time.Time, error) {
	if at == nil {
		return otherwise, nil
	}
	text, present, err := r.text(at)
	if err != nil || !present {
		return otherwise, err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, r.fail(at, fmt.Errorf("%q is no RFC 3339 time with an offset", clip(text)), "")
	}
	return t, nil
}

// body writes the fields; nil if the mapping has none.
func (r *run) body() ([]byte, error) {
	if len(r.rules.fields) == 0 {
		return nil, nil
	}
	w := &writer{limit: maxBody}
	if err := r.object(w, r.rules.fields, r.scope); err != nil {
		return nil, err
	}
	return bytes.Clone(w.b), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
