package mapping

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"go.yaml.in/yaml/v4"
)

// What becomes of a code that a table has no row for.
const (
	missingRefuse   = "refuse"    // the message cannot be mapped: a person must act
	missingKeep     = "keep"      // the code stays as it is
	missingLeaveOut = "leave-out" // there is no value
)

// maxTable bounds a table's file.
const maxTable = 4 << 20

// table is the rows of a lookup, to be read in both directions.
type table struct {
	rows      map[string]string
	back      map[string]string
	twice     map[string][2]string // values that stand for more than one code, with two of these
	otherwise *string
	says      place // of otherwise
	missing   string
	open      bool             // a code without a row may be asked for
	at        map[string]place // of each code, while the mapping is compiled
	valueAt   map[string]place // of each value's first row, likewise
}

// add takes a row whose code and value stand at these places.
func (t *table) add(code, value string, at, valueAt place) {
	t.rows[code], t.at[code] = value, at
	if _, twice := t.valueAt[value]; !twice {
		t.valueAt[value] = valueAt
	}
	if first, has := t.back[value]; has {
		t.twice[value] = [2]string{first, code}
		return
	}
	t.back[value] = code
}

// places are where each text stands that the table can give, read forwards or back.
func (t *table) places(function string) map[string]place {
	at := t.valueAt
	if function == "reverse" {
		at = t.at
	}
	if t.otherwise == nil {
		return at
	}
	at = maps.Clone(at)
	if _, isRow := at[*t.otherwise]; !isRow {
		at[*t.otherwise] = t.says
	}
	return at
}

// answers are the values of rows, and what stands for the others; where the codes that are asked for are known, those of them alone.
func (t *table) answers(rows map[string]string, asked []string) (all []string) {
	others := asked == nil
	for _, code := range asked {
		v, has := rows[code]
		if others = others || !has; has {
			all = append(all, v)
		}
	}
	if asked == nil || len(all) == 0 && t.otherwise == nil { // that no row is there is told elsewhere
		all = slices.Collect(maps.Values(rows))
	}
	if others && t.otherwise != nil {
		all = append(all, *t.otherwise)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// leavesOut tells whether a code without a row has no value.
func (t *table) leavesOut() bool { return t.missing == missingLeaveOut && t.otherwise == nil }

// goesOn tells whether a message whose code has no row is mapped all the same.
func (t *table) goesOn() bool { return t.otherwise != nil || t.missing != missingRefuse }

// find is a row of a table, read forwards or back.
func (t *table) find(rows map[string]string, name, code string) ref.Val {
	if v, ok := rows[code]; ok {
		return types.String(v)
	}
	switch {
	case t.otherwise != nil:
		return types.String(*t.otherwise)
	case t.missing == missingKeep:
		return types.String(code)
	case t.missing == missingLeaveOut:
		return types.NullValue
	}
	return types.NewErr("table %s has no row %q", name, clip(code))
}

// readTables reads tables: {name: {rows: {code: value}, otherwise: value}}, or with file: in the place of rows:.
func (c *compiler) readTables(n *yaml.Node) {
	for _, e := range c.entries(n, "tables") {
		path := "tables." + e.key.Value
		keys := c.object(e.value, path, "rows", "file", "from", "to", "otherwise", "missing")
		t := &table{rows: map[string]string{}, back: map[string]string{}, twice: map[string][2]string{}, missing: missingRefuse, at: map[string]place{}, valueAt: map[string]place{}}
		c.m.tables[e.key.Value] = t
		if m := keys["missing"]; m != nil {
			t.missing = c.oneOf(m, path+".missing", missingRefuse, missingKeep, missingLeaveOut)
		}
		if o := keys["otherwise"]; o != nil && c.text(o, path+".otherwise") {
			if t.otherwise, t.says = &o.Value, (place{c.src.file, o.Line, o.Column}); keys["missing"] != nil {
				c.wrong(keys["missing"], path+".missing", "it has no effect beside otherwise", "leave one of them out")
			}
		}
		before := len(c.mistakes)
		switch {
		case keys["rows"] != nil && keys["file"] != nil:
			c.wrong(keys["file"], path+".file", "it has rows already", "leave one of them out")
		case keys["rows"] != nil:
			c.inlineRows(t, keys["rows"], path+".rows")
		case keys["file"] != nil:
			c.tableFile(t, keys, path)
		default:
			c.wrong(e.value, path, "it has no rows", "write rows: {code: value, …}, or file: codes.csv")
		}
		if len(t.rows) == 0 && len(c.mistakes) == before {
			c.noRows(t, place{c.src.file, e.key.Line, e.key.Column}, path)
		}
	}
}

// noRows is of a table without a row.
func (c *compiler) noRows(t *table, at place, path string) {
	const hint = "write a row for each code, or leave the table and its lookup out"
	if t.goesOn() {
		c.m.look(at, path, "the table has no row, so that it says the same of every code", hint)
		return
	}
	c.advise(at, path, "the table has no row, so that each message that looks into it would stop", hint)
}

func (c *compiler) inlineRows(t *table, n *yaml.Node, path string) {
	for _, row := range c.entries(n, path) {
		at := path + "." + row.key.Value
		if c.text(row.key, at) && c.text(row.value, at) {
			t.add(row.key.Value, row.value.Value, place{c.src.file, row.key.Line, row.key.Column}, place{c.src.file, row.value.Line, row.value.Column})
		}
	}
}

// tableFile reads the rows of a table from a CSV file with a heading, or a YAML file of codes and values, beside the mapping.
func (c *compiler) tableFile(t *table, keys map[string]*yaml.Node, at string) {
	n := keys["file"]
	if !c.scalar(n, at+".file") {
		return
	}
	file := path.Join(path.Dir(c.src.file), n.Value)
	text, err := fs.ReadFile(c.fsys, file)
	switch {
	case path.Ext(file) != ".csv" && path.Ext(file) != ".yaml":
		c.wrong(n, at+".file", "a table stands in a file that ends in .csv or .yaml, and no other goes with the mappings that are published", "name it table-….yaml, or ….csv")
		return
	case err != nil:
		c.wrong(n, at+".file", fmt.Sprintf("there is no file %s that can be read", file), didYouMean(n.Value, c.filesBeside(), "put it beside the mapping"))
		return
	case len(text) > maxTable:
		c.wrong(n, at+".file", fmt.Sprintf("%s is larger than %d bytes", file, maxTable), "leave out the rows that no message needs, or split it into several tables")
		return
	}
	c.used.files = append(c.used.files, piece(file, text)...)
	if path.Ext(file) == ".csv" {
		c.csvRows(t, file, text, keys, at)
		return
	}
	for _, key := range []string{"from", "to"} {
		if keys[key] != nil {
			c.wrong(keys[key], at+"."+key, "only a CSV file has columns", "leave it out")
		}
	}
	mapping := c.src
	c.src = &source{file: file, lines: strings.Split(string(text), "\n")}
	if root, ok := c.parse(text); ok {
		c.inlineRows(t, root, "the table")
	}
	c.src = mapping
}

func (c *compiler) filesBeside() []string {
	entries, err := fs.ReadDir(c.fsys, path.Dir(c.src.file))
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// csvRows takes two columns of a CSV file: those that from and to name, or the first two.
func (c *compiler) csvRows(t *table, file string, text []byte, keys map[string]*yaml.Node, at string) {
	if !utf8.Valid(text) {
		line := 1 + bytes.Count(text[:firstInvalid(text)], []byte("\n"))
		c.add(place{file, line, 1}, at, "the table is not UTF-8, so that no message can have such a code or value", "save it as UTF-8 (CSV UTF-8 in a spreadsheet)")
		return
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	head, err := r.Read()
	if err != nil || len(head) < 2 {
		hint := "begin it with the names of its columns: plant,erp"
		if len(head) == 1 && strings.ContainsAny(head[0], ";\t") {
			hint = "put commas between the columns: plant,erp (a spreadsheet of some languages writes semicolons)"
		}
		c.add(place{file, 1, 1}, at, "the table has no heading with two columns", hint)
		return
	}
	columns := [2]int{0, 1}
	for i, key := range []string{"from", "to"} {
		if n := keys[key]; n != nil {
			if columns[i] = slices.Index(head, n.Value); columns[i] < 0 {
				c.wrong(n, at+"."+key, fmt.Sprintf("%s has no column %q", file, clip(n.Value)), didYouMean(n.Value, head, "its columns are "+strings.Join(head, ", ")))
				return
			}
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil { // of a quote that does not end there is no field to ask where it is
			line := 1
			if e, ok := errors.AsType[*csv.ParseError](err); ok {
				line = e.StartLine
			}
			c.add(place{file, line, 1}, at, "the table cannot be read: "+err.Error(), "write each row as code,value; put a text with a comma in quotes")
			return
		}
		code := row[columns[0]]
		line, col := r.FieldPos(columns[0])
		if _, twice := t.rows[code]; twice {
			c.add(place{file, line, col}, at, fmt.Sprintf("row %q is there twice", clip(code)), "leave one of them out")
			continue
		}
		for _, column := range columns {
			c.cell(file, row[column], r, column, at)
		}
		valueLine, valueCol := r.FieldPos(columns[1])
		t.add(code, row[columns[1]], place{file, line, col}, place{file, valueLine, valueCol})
	}
}

// cell refuses what a spreadsheet leaves in a row unseen: no message has such a code, and no ERP knows such a value.
func (c *compiler) cell(file, text string, r *csv.Reader, column int, at string) {
	line, col := r.FieldPos(column)
	switch strings.TrimSpace(text) {
	case text:
		if text == "" {
			c.add(place{file, line, col}, at, "a row has an empty cell", "fill it, or leave the row out; a table of YAML can have '' where an empty text is meant")
		}
	default:
		c.add(place{file, line, col}, at, fmt.Sprintf("%q has a blank at its beginning or end", clip(text)), "take it away; a table of YAML can have one in quotes, where it is meant")
	}
}

// firstInvalid is where a text stops to be UTF-8.
func firstInvalid(text []byte) (at int) {
	for at < len(text) {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return at
}

// unused refuses tables that nothing looks into.
func (c *compiler) unused(n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name := n.Content[i].Value; !c.used.tables[name] && c.m.tables[name] != nil {
			c.wrong(n.Content[i], "tables."+name, "nothing looks into this table", `leave it out, or use it: lookup("`+name+`", …)`)
		}
	}
}

// bothWays refuses one word that stands for a missing value and for a missing code, unless it is a row's in both directions.
func (c *compiler) bothWays() {
	for _, name := range sortedKeys(c.m.tables) {
		t := c.m.tables[name]
		if t.otherwise == nil || !c.used.read[[2]string{name, "lookup"}] || !c.used.read[[2]string{name, "reverse"}] {
			continue
		}
		_, isCode := t.rows[*t.otherwise]
		if _, isValue := t.back[*t.otherwise]; !isCode || !isValue {
			c.add(t.says, "tables."+name+".otherwise", fmt.Sprintf("the table is read in both directions, and %q is no code or no value of it", clip(*t.otherwise)),
				"make two tables of the same rows, each with an otherwise: of its own")
		}
	}
}

// asking is which rows of a table a mapping may ask for: those of codes, or any.
type asking struct {
	any     bool
	without bool // a value that is read back and has no row
	codes   map[string]bool
}

// asks notes that a table is looked into with one of these codes; nil means that it may be any.
func (u *uses) asks(table string, codes []string) {
	if u.asked[table] == nil {
		u.asked[table] = &asking{codes: map[string]bool{}}
	}
	a := u.asked[table]
	a.any = a.any || codes == nil
	for _, code := range codes {
		a.codes[code] = true
	}
}

// codesOf are those of the rows with these values; nil of nil.
func (t *table) codesOf(values []string) (codes []string) {
	if values == nil {
		return nil
	}
	codes = []string{}
	for _, v := range values {
		if code, ok := t.back[v]; ok {
			codes = append(codes, code)
		}
	}
	return codes
}

// deadRows finds the rows that no expression can ask for, one finding for each table.
func (c *compiler) deadRows() {
	for _, name := range sortedKeys(c.m.tables) {
		t, a := c.m.tables[name], c.used.asked[name]
		var dead []string
		for code := range t.rows {
			if a != nil && !a.any && !a.codes[code] {
				dead = append(dead, code)
			}
		}
		slices.SortFunc(dead, func(x, y string) int { return cmp.Or(t.at[x].line-t.at[y].line, t.at[x].col-t.at[y].col) })
		t.open = a != nil && (a.any || a.without || slices.ContainsFunc(slices.Collect(maps.Keys(a.codes)), func(code string) bool { _, has := t.rows[code]; return !has }))
		if len(dead) > 0 {
			c.m.look(t.at[dead[0]], "tables."+name, fmt.Sprintf("no message can ask for %s", listed(dead)),
				"leave it out, or correct it; asked for can be "+listed(slices.Sorted(maps.Keys(a.codes))))
		}
		t.at, t.valueAt = nil, nil
	}
}

// listed writes the first of some texts in quotes, and how many more there are.
func listed(all []string) string {
	shown := make([]string, 0, mostCodes)
	for _, s := range all[:min(len(all), mostCodes)] {
		shown = append(shown, fmt.Sprintf("%q", clip(s)))
	}
	out := strings.Join(shown, ", ")
	if n := len(all) - len(shown); n > 0 {
		out += fmt.Sprintf(" and %d more", n)
	}
	return out
}
