// Package strict reads a YAML file into a struct and takes nothing that the struct does not have.
//
// # Guarantees
//
//   - Every mistake of the file is reported at once, each with file and line, why, and what to write instead.
//   - A key that nobody knows is a mistake, never passed over; the nearest known key is named.
//   - No anchors, aliases or merge keys: what a line says, it says there.
//   - No value of the file stands in a report where its key may hold a secret: only key and place do.
package strict

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"holdfast/internal/problem"
)

// Places knows on which line of a file each key stands, so that what is found out later can name it too.
type Places struct {
	file   string
	lines  map[string]int  // by path, such as links.erp.base_url or routes[0].kinds
	spoilt map[string]bool // paths that Decode complained of; true for a key that nobody knows
}

// Read tells whether the file was YAML with something in it, so that its values can be judged even where some could not be read.
func (p Places) Read() bool { return len(p.lines) > 0 }

// Sound tells whether what is at path, or its absence, is what the file says: Decode has complained neither of it nor of anything
// above it, nor, where it is absent, of a key beside it that may have been meant.
func (p Places) Sound(path string) bool {
	if _, there := p.lines[path]; !there {
		for spoilt, unknown := range p.spoilt {
			if unknown && above(spoilt) == above(path) {
				return false
			}
		}
	}
	for at := path; ; at = above(at) {
		if _, spoilt := p.spoilt[at]; spoilt {
			return false
		}
		if at == "" {
			return true
		}
	}
}

// above is the path that path is part of, "" at the top.
func above(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// At is where path stands, as file:line; for a path that is not in the file it is where its nearest parent stands.
func (p Places) At(path string) string {
	if line := p.Line(path); line > 0 {
		return fmt.Sprintf("%s:%d", p.file, line)
	}
	return p.file
}

// Line is the line where path or its nearest parent stands; 0 where only the file is known.
func (p Places) Line(path string) int {
	for ; path != ""; path = above(path) {
		if line, ok := p.lines[path]; ok {
			return line
		}
	}
	return 0
}

// Mistake is what is wrong at path, as a person reads it.
func (p Places) Mistake(path, why, hint string) *problem.Error {
	return &problem.Error{
		Kind: problem.Invalid, What: p.At(path) + ": " + path, Why: why, Hint: hint,
		Fields: []problem.Field{{Pointer: path, Why: why}},
	}
}

// Sort brings mistakes into the order of the file.
func (p Places) Sort(mistakes []error) {
	slices.SortStableFunc(mistakes, func(a, b error) int { return cmp.Compare(p.lineOf(a), p.lineOf(b)) })
}

// lineOf is the line of what err is about.
func (p Places) lineOf(err error) int {
	if e, ok := errors.AsType[*problem.Error](err); ok && len(e.Fields) == 1 {
		return p.Line(e.Fields[0].Pointer)
	}
	return 0
}

// Decode reads text into the struct that into points to. Keys come from yaml tags, with ",inline" as the only option that
// matters. Fields that the file does not name keep their value. The keys of a Varied depend on one of its values. The error joins a
// *problem.Error for each mistake.
func Decode(file string, text []byte, into any) (Places, error) {
	d := &decoder{Places: Places{file: file, lines: map[string]int{}, spoilt: map[string]bool{}}}
	var docs []yaml.Node
	if err := yaml.Load(text, &docs, yaml.WithAllDocuments()); err != nil {
		return d.Places, d.notYAML(err)
	}
	switch {
	case len(docs) == 0 || len(docs[0].Content) != 1:
		return d.Places, &problem.Error{Kind: problem.Invalid, What: file, Why: "it says nothing", Hint: "begin with what holdfast init writes"}
	case len(docs) > 1:
		return d.Places, &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("%s:%d", file, docs[1].Line), Why: "a second document begins here", Hint: "take the line --- away",
		}
	}
	d.value(docs[0].Content[0], reflect.ValueOf(into).Elem(), "")
	return d.Places, errors.Join(d.mistakes...)
}

type decoder struct {
	Places
	mistakes []error
}

func (d *decoder) notYAML(err error) error {
	at, why := d.file, err.Error()
	e, ok := errors.AsType[*yaml.LoadError](err)
	if all, many := errors.AsType[*yaml.LoadErrors](err); !ok && many && len(all.Errors) > 0 {
		e, ok = all.Errors[0], true
	}
	if ok {
		at, why = fmt.Sprintf("%s:%d", d.file, max(1, e.Mark.Line)), e.Message
	}
	return &problem.Error{
		Kind: problem.Invalid, What: at, Why: "this is not YAML: " + why,
		Hint: "indent with spaces, and put a text that holds ': ' or ' #' in quotes",
	}
}

func (d *decoder) wrong(n *yaml.Node, path, why, hint string) {
	d.spoilt[path] = false
	d.mistakes = append(d.mistakes, &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("%s:%d: %s", d.file, max(1, n.Line), cmp.Or(path, "the file")), Why: why, Hint: hint,
		Fields: []problem.Field{{Pointer: path, Why: why}},
	})
}

// value reads a node into v, whose type says what may stand there.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if _, seen := d.lines[path]; !seen { // the line of the key is better
		d.lines[path] = n.Line
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.wrong(n, path, "anchors and aliases are not part of this file", "write the value out")
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a key with nothing behind it says nothing
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.table(n, v, path)
	case reflect.Struct:
		if isScalar(v.Type()) {
			d.scalar(n, v, path)
			return
		}
		d.object(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// entries are the keys of an object with their values; a key may stand there once.
func (d *decoder) entries(n *yaml.Node, path string, take func(key, value *yaml.Node, below string)) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "there must be keys below it", "write them on the next lines, indented by two spaces")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		below := join(path, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "<<" || key.Anchor != "":
			d.wrong(key, path, "a key is a plain word", "write the keys out")
		case seen[key.Value]:
			d.wrong(key, below, "it is there twice", "leave one of them out")
		default:
			seen[key.Value] = true
			d.lines[below] = key.Line
			take(key, value, below)
		}
	}
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	fields := fieldsOf(v)
	others := vary(n, v, fields)
	d.entries(n, path, func(key, value *yaml.Node, below string) {
		f, ok := fields[key.Value]
		if !ok {
			if d.misplaced(key, below, others) {
				return
			}
			d.wrong(key, below, "there is no such key", suggest(key.Value, fields))
			d.spoilt[below] = true
			return
		}
		d.value(value, f, below)
	})
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, path string) {
	t := v.Type()
	out := reflect.MakeMap(t)
	d.entries(n, path, func(key, value *yaml.Node, below string) {
		k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		d.scalar(key, k, below)
		d.value(value, e, below)
		out.SetMapIndex(k, e)
	})
	v.Set(out)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, path, "it is a list", "write each entry on a line of its own that begins with '- '")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

// fieldsOf finds the settable fields of a struct by their keys; inlined structs give theirs.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case slices.Contains(strings.Split(options, ","), "inline"):
			for k, f := range fieldsOf(v.Field(i)) {
				out[k] = f
			}
		case name != "" && name != "-":
			out[name] = v.Field(i)
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
