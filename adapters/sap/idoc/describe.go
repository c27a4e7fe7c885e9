package idoc

import (
	"bufio"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/problem"
)

//go:embed descriptions/*.tsv
var shipped embed.FS

// Field is one field of a segment.
type Field struct {
	Name           string
	Offset, Length int    // in characters, within SDATA
	Type           string // CHAR, ALPHA, NUMC, DATS, TIMS or DEC
	Scale          int    // places of a DEC
	Text           string
}

// SegmentType is what is known of one kind of segment.
type SegmentType struct {
	Name       string // E1AFKOL
	Definition string // E2AFKOL001, as flat files have it
	Min, Max   int
	Text       string
	Fields     []*Field
	Children   []*SegmentType
	Parent     *SegmentType
	Level      int

	byName map[string]*Field
}

// Field finds a field, nil if there is none.
func (s *SegmentType) Field(name string) *Field {
	if s == nil {
		return nil
	}
	return s.byName[name]
}

// child finds a kind of segment below, nil if there is none.
func (s *SegmentType) child(name string) *SegmentType {
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.Children, func(c *SegmentType) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return s.Children[i]
}

// Type is one basic type of IDoc. Its segments stand below a root without a name.
type Type struct {
	Name    string // LOIPRO02
	Message string // LOIPRO
	Text    string
	Root    *SegmentType

	segments map[string]*SegmentType
}

// Segment finds a kind of segment on any level, nil if there is none.
func (t *Type) Segment(name string) *SegmentType {
	if t == nil {
		return nil
	}
	return t.segments[name]
}

// Types are the basic types that are known, by name.
type Types map[string]*Type

// Shipped are the types that are described in this program.
func Shipped() Types {
	all := Types{}
	files, err := fs.Glob(shipped, "descriptions/*.tsv")
	for _, name := range files {
		var text []byte
		if text, err = shipped.ReadFile(name); err == nil {
			err = all.read(name, string(text))
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		panic(err) // the files are part of the program, and a test reads them
	}
	return all
}

// Load adds the descriptions of a folder to those that are shipped; one of the same type replaces ours. A file is either a table as the
// shipped ones are (.tsv), or what SAP's transaction WE60 writes of an IDoc type (Parser, .txt).
func Load(folder string) (Types, error) {
	all := Shipped()
	if folder == "" {
		return all, nil
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, wrong("descriptions", err.Error(), "name a folder with .tsv files, or with .txt files that WE60 has written")
	}
	for _, f := range files {
		path := filepath.Join(folder, f.Name())
		text, err := os.ReadFile(path)
		switch ext := filepath.Ext(f.Name()); {
		case f.IsDir() || ext != ".tsv" && ext != ".txt":
			continue
		case err != nil:
			return nil, wrong("descriptions", err.Error(), "let this user read the file")
		case ext == ".tsv":
			err = all.read(path, string(text))
		default:
			err = all.readWE60(path, string(text))
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Known are the names of the types, in order.
func (t Types) Known() string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// builder puts the types of one description together.
type builder struct {
	file  string
	line  int
	types []*Type
	root  *SegmentType
	open  []*SegmentType // the last segment of each level
	all   map[string]*SegmentType
}

// mistake is one in a description.
func (b *builder) mistake(why string) error {
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("%s:%d: description of an IDoc", b.file, b.line), Why: why,
		Hint: "see adapters/sap/idoc/descriptions, or export the parser description in WE60 again",
	}
}

// read adds the types of a table: lines of idoc, segment and field.
func (t Types) read(file, text string) error {
	b := &builder{file: file, root: &SegmentType{Max: 1}, all: map[string]*SegmentType{}}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		b.line++
		if l := lines.Text(); l == "" || strings.HasPrefix(l, "#") {
			continue
		} else if err := b.add(strings.Split(l, "\t")); err != nil {
			return err
		}
	}
	return b.end(t, lines.Err())
}

// end adds what was built.
func (b *builder) end(t Types, err error) error {
	switch {
	case err != nil:
		return b.mistake(err.Error())
	case len(b.types) == 0 || len(b.root.Children) == 0:
		return b.mistake("it names no IDoc type, or no segment")
	}
	for _, one := range b.types {
		one.Root, one.segments = b.root, b.all
		t[one.Name] = one
	}
	return nil
}

func (b *builder) add(f []string) error {
	switch {
	case f[0] == "idoc" && len(f) == 4:
		for _, name := range strings.Fields(f[1]) {
			b.types = append(b.types, &Type{Name: name, Message: f[2], Text: f[3]})
		}
		return nil
	case f[0] == "segment" && len(f) == 7:
		s := &SegmentType{Name: f[2], Definition: f[3], Text: f[6]}
		if err := b.numbers(map[*int]string{&s.Level: f[1], &s.Min: f[4], &s.Max: f[5]}); err != nil {
			return err
		}
		return b.segment(s)
	case f[0] == "field" && len(f) == 6:
		kind, scale, _ := strings.Cut(f[4], ".")
		x := Field{Name: f[1], Type: kind, Text: f[5]}
		if kind != dec {
			scale = "0"
		}
		if err := b.numbers(map[*int]string{&x.Offset: f[2], &x.Length: f[3], &x.Scale: scale}); err != nil {
			return err
		}
		return b.addField(x)
	}
	return b.mistake("it is no line of idoc (4 columns), segment (7) or field (6)")
}

// numbers reads whole numbers.
func (b *builder) numbers(texts map[*int]string) error {
	for n, text := range texts {
		var err error
		if *n, err = strconv.Atoi(text); err != nil || *n < 0 {
			return b.mistake(fmt.Sprintf("%q is no number; a DEC has its places behind a point, such as DEC.3", text))
		}
	}
	return nil
}

// segment adds a kind of segment below the last one of the level above.
func (b *builder) segment(s *SegmentType) error {
	if s.Level < 1 || s.Level > len(b.open)+1 || s.Level > mostDepth {
		return b.mistake(fmt.Sprintf("segment %s is on level %d, below none", s.Name, s.Level))
	}
	if b.all[s.Name] != nil {
		return b.mistake("segment " + s.Name + " is there twice")
	}
	s.Parent, s.byName = b.root, map[string]*Field{}
	if s.Level > 1 {
		s.Parent = b.open[s.Level-2]
	}
	s.Parent.Children = append(s.Parent.Children, s)
	b.open = append(b.open[:s.Level-1], s)
	b.all[s.Name] = s
	return nil
}

// addField adds a field to the last segment.
func (b *builder) addField(f Field) error {
	if len(b.open) == 0 {
		return b.mistake("a field before the first segment")
	}
	s := b.open[len(b.open)-1]
	end := 0
	if n := len(s.Fields); n > 0 {
		end = s.Fields[n-1].Offset + s.Fields[n-1].Length
	}
	switch {
	case f.Length < 1 || f.Offset < end || f.Offset+f.Length > dataLength:
		return b.mistake(fmt.Sprintf("field %s of %s lies over another, or beyond %d characters", f.Name, s.Name, dataLength))
	case s.byName[f.Name] != nil:
		return b.mistake("field " + f.Name + " is there twice")
	case !slices.Contains([]string{char, alpha, numc, dats, tims, dec}, f.Type):
		return b.mistake(f.Type + " is no type: use CHAR, ALPHA, NUMC, DATS, TIMS or DEC.n")
	}
	s.Fields = append(s.Fields, &f)
	s.byName[f.Name] = &f
	return nil
}
