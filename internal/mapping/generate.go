package mapping

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// generator makes up documents of a type: the shortest and the longest that fit, and what lies between.
type generator struct {
	r     *rand.Rand
	plain bool // everything is there once, and a text is the name of its field

	tame  bool                // nearly everything is there, short, and often one of words: what a mapping takes
	words []string            // that the mapping asks for
	asked map[string][]string // and those that it asks for of one field, by its name
	units []string            // codes of units that it may be asked for
	names map[string]string   // what the other side calls an object of a kind
	free  map[string]bool     // the texts that were made up where nothing says what they look like; nil where nobody asks
}

// tameChars and tameDigits are the most of a text, and of a number before the point, in a tame document; behind the point are three.
const tameChars, tameDigits = 4, 6

// forMapping makes up what a mapping may take: the words are those of its expressions and tables, the names those of its examples.
func forMapping(seed uint64, m *mapping, examples []Example) *generator {
	g := newGenerator(seed)
	for _, w := range quotedWord.FindAllStringSubmatch(string(m.text), -1) {
		g.words = append(g.words, w[1])
	}
	g.asked = map[string][]string{}
	for _, q := range askedOf.FindAllStringSubmatch(string(m.text), -1) {
		for _, w := range quotedWord.FindAllStringSubmatch(q[2], -1) {
			g.asked[q[1]] = append(g.asked[q[1]], w[1])
		}
	}
	for _, name := range sortedKeys(m.tables) {
		g.words = append(g.words, sortedKeys(m.tables[name].rows)...)
	}
	g.names = map[string]string{}
	for _, e := range examples {
		for object, name := range e.Refs {
			kind, _, _ := strings.Cut(object, "/")
			g.names[kind] = max(g.names[kind], name)
		}
	}
	return g
}

// codes are those of units, by every scheme: of the dimensions of the units that words name, or of all where they name none.
func (u *units) codes(words []string) (out []string) {
	named := map[string]bool{}
	for _, w := range words {
		if one, err := u.find(w); err == nil {
			named[one.dimension] = true
		}
	}
	for _, one := range u.all {
		if len(named) == 0 || named[one.dimension] {
			out = slices.AppendSeq(out, maps.Values(one.codes))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unitName is what fields are called that hold a unit and do not say so: SAP's ProductionUnit and MEINS, and others' uom.
var unitName = regexp.MustCompile(`(?i)(unit|uom|unitofmeasure|unitcode|mein[sh]?)$`)

// unit is the code of a unit for a field that holds one, mostly; else nothing.
func (g *generator) unit(t *schema.Type, name string) (string, bool) {
	is := t.Format == schema.IsUnit || t.Format == "" && t.Pattern == "" && len(t.Enum) == 0 && unitName.MatchString(name)
	if !is || len(g.units) == 0 || g.tame && g.r.IntN(8) == 0 || !g.tame && g.r.IntN(2) == 0 {
		return "", false
	}
	if w, ok := g.word(t); ok { // a mapping that looks its unit up knows no other
		return w, true
	}
	code := g.units[g.r.IntN(len(g.units))]
	n := utf8.RuneCountInString(code)
	return code, n >= t.MinLength && (t.MaxLength == 0 || n <= t.MaxLength)
}

// quotedWord is a text in an expression.
var quotedWord = regexp.MustCompile(`"([A-Za-z0-9_.-]{1,20})"`)

// askedOf is a field that an expression compares with texts.
var askedOf = regexp.MustCompile(`\.\??(\w+)(?:\.orValue\("[^"]*"\))?\s*(?:==|in)\s*(\[[^\]]*\]|"[^"]*")`)

// answer is a text that the mapping asks for of this field, mostly; else nothing.
func (g *generator) answer(t *schema.Type, name string) (string, bool) {
	if words := g.asked[name]; g.tame && len(words) > 0 && g.r.IntN(4) > 0 {
		w := words[g.r.IntN(len(words))]
		return w, len(w) >= t.MinLength && (t.MaxLength == 0 || len(w) <= t.MaxLength) && (t.Enum == nil || slices.Contains(t.Enum, w)) && (t.Pattern == "" || matchesPattern(t.Pattern, w)) && t.Format == ""
	}
	return "", false
}

// word is one that the mapping asks for, and that there is room for; often none.
func (g *generator) word(t *schema.Type) (string, bool) {
	if !g.tame || len(g.words) == 0 || g.r.IntN(2) == 0 {
		return "", false
	}
	w := g.words[g.r.IntN(len(g.words))]
	return w, len(w) >= t.MinLength && (t.MaxLength == 0 || len(w) <= t.MaxLength)
}

func newGenerator(seed uint64) *generator {
	return &generator{r: rand.New(rand.NewPCG(seed, 0))}
}

// refs knows a number for everything.
func (g *generator) refs(_ context.Context, object string) (string, bool, error) {
	kind, _, _ := strings.Cut(object, "/")
	return cmp.Or(g.names[kind], usualNames()[kind], "000001000001"), true, nil
}

// usualNames are what an ERP may call objects of some kinds.
func usualNames() map[string]string {
	return map[string]string{"order": "000001000001", "lot": "0000000001", "confirmation": "0000000001", "movement": "0000000001"}
}

func (g *generator) document(t *schema.Type) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(g.value(t, "", 0)); err != nil {
		return nil
	}
	return b.Bytes()
}

func (g *generator) value(t *schema.Type, name string, depth int) any {
	switch t.Kind {
	case schema.Object:
		out := map[string]any{}
		for _, f := range t.Fields {
			if f.Required || depth < 6 && (g.plain || g.tame && g.r.IntN(32) > 0 || g.r.IntN(2) == 0) {
				out[f.Name] = g.value(f.Type, f.Name, depth+1)
			}
		}
		return out
	case schema.List:
		out := []any{}
		for range g.elements(t, depth) {
			if v := g.value(t.Item, name, depth+1); t.Item.Kind != schema.Text || !slices.Contains(out, v) {
				out = append(out, v) // serial numbers and the like are not there twice
			}
		}
		return out
	case schema.Decimal:
		return json.Number(g.decimal(t))
	case schema.Integer:
		return json.Number(g.whole(t))
	case schema.Bool:
		return g.r.IntN(2) == 0
	}
	if w, ok := g.answer(t, name); ok {
		return w
	}
	return g.text(t, name)
}

// allDigits is the pattern of a key that has so many digits.
var allDigits = regexp.MustCompile(`^\^\[0-9\]\{(\d+)\}\$$`)

// plainChars is how many letters of a field's name stand for its value: ERPs have short fields.
const plainChars = 8

// alphabet has what texts are made of: letters of one and more bytes, and what JSON and XML escape.
const alphabet = `ABCabc019 -./äßé"<&>\`

func (g *generator) text(t *schema.Type, name string) string {
	switch {
	case strings.HasSuffix(strings.ToLower(name), "zone"):
		return "Europe/Berlin"
	case name == "erpNumber":
		return "000001000001"
	case allDigits.MatchString(t.Pattern):
		n, _ := strconv.Atoi(allDigits.FindStringSubmatch(t.Pattern)[1])
		return fmt.Sprintf("%0*d", n, 10*(1+g.r.IntN(900)))
	case t.Pattern != "" && len(t.Enum) == 0 && t.Format == "":
		if s, ok := g.word(t); ok && matchesPattern(t.Pattern, s) { // a mapping that looks its code up knows no other
			return s
		}
		if s, ok := g.like(t); ok {
			return s
		}
	}
	switch {
	case g.plain && t.Format == schema.IsDecimal:
		return "12.500"
	case g.plain && strings.EqualFold(name, "unit"):
		return "PCE"
	case g.plain && len(t.Enum) == 0 && t.Format == "":
		s := strings.ToUpper(name)
		if most := cmp.Or(t.MaxLength, len(s)); len(s) > min(most, plainChars) {
			s = s[:min(most, plainChars)]
		}
		return s
	case len(t.Enum) > 0:
		return t.Enum[g.r.IntN(len(t.Enum))]
	case t.Format == schema.IsDecimal:
		return g.decimal(t)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g.r.IntN(366*24*60)) * time.Minute)
	switch t.Format {
	case "date":
		return at.Format(time.DateOnly)
	case schema.IsCivil: // of no zone
		return at.Format("2006-01-02T15:04:05")
	case "time":
		return at.Format(time.TimeOnly)
	case "date-time":
		return at.Format(time.RFC3339)
	case "uuid":
		return fmt.Sprintf("%08x-0000-4000-8000-%012x", g.r.Uint32(), g.r.Uint32())
	}
	if code, ok := g.unit(t, name); ok {
		return code
	}
	out, ok := g.word(t)
	if !ok || t.Format != "" {
		out = g.anything(t)
	}
	if g.free != nil && t.Pattern == "" {
		g.free[out] = true
	}
	return out
}

// anything is a text of the fewest characters, of the most, or of some.
func (g *generator) anything(t *schema.Type) string {
	least, most := max(t.MinLength, 1), cmp.Or(t.MaxLength, max(20, t.MinLength))
	if g.tame {
		most = max(min(most, tameChars), least)
	}
	if !g.tame && t.MaxLength == 0 && g.r.IntN(4) == 0 {
		most = longText
	}
	least = min(least, mostMade)
	most = min(max(most, least), mostMade)
	n := []int{least, most, least + g.r.IntN(most-least+1)}[g.r.IntN(3)]
	letters := []rune(alphabet)
	out := make([]rune, n)
	for i := range out {
		out[i] = letters[g.r.IntN(len(letters))]
	}
	for _, end := range []int{0, n - 1} { // a text that is trimmed keeps its length
		if out[end] == ' ' {
			out[end] = 'A'
		}
	}
	return string(out)
}

// mostMade is how long a text is made at most, whatever its contract asks for: what must be longer is found to be too short.
const mostMade = 100_000

// longText is how long a text is at most that has no limit, and longList how long a list.
const longText, longList = 300, 20

// elements is how many elements a list has: none, the fewest, the most, or some.
func (g *generator) elements(t *schema.Type, depth int) int {
	most := max(t.MinItems, 3)
	if t.MaxItems > 0 {
		most = max(t.MinItems, min(most, t.MaxItems))
	}
	switch {
	case g.plain:
		return max(t.MinItems, 1)
	case !g.tame && depth < 3 && t.MaxItems <= longList && g.r.IntN(4) == 0:
		return max(t.MinItems, t.MaxItems)
	}
	return t.MinItems + g.r.IntN(most-t.MinItems+1)
}

// whole is a whole number: a small one, or the least, the most, or a long one that the type has.
func (g *generator) whole(t *schema.Type) string {
	n := big.NewInt(int64(g.r.IntN(10)))
	if !g.plain && !g.tame {
		n = []*big.Int{big.NewInt(0), big.NewInt(-1), big.NewInt(math.MaxInt64), big.NewInt(math.MinInt64), big.NewInt(g.r.Int64() >> g.r.IntN(63))}[g.r.IntN(5)]
	}
	return g.within(t, n.String())
}

// within is a number or, if it is beyond a limit of the type, one at that limit.
func (g *generator) within(t *schema.Type, s string) string {
	d := decimal.MustParse(s)
	step := decimal.FromInt(1)
	if t.Kind != schema.Integer && t.Scale > 0 {
		step = decimal.MustParse("0." + strings.Repeat("0", t.Scale-1) + "1")
	}
	switch least, most := bound(t.Least), bound(t.Most); {
	case least != nil && beyond(least.Cmp(d), t.Least.Open):
		if d = *least; t.Least.Open {
			d = d.Add(step)
		}
	case most != nil && beyond(d.Cmp(*most), t.Most.Open):
		if d = *most; t.Most.Open {
			d = d.Sub(step)
		}
	default:
		return s
	}
	return d.String()
}

// decimal is a number with some digits on both sides of the point; of a type that is not tame all of them at times, and below zero where it may be.
func (g *generator) decimal(t *schema.Type) string {
	whole, scale := cmp.Or(t.Digits, 12), t.Scale
	if scale == schema.AnyScale {
		scale = 6
	}
	if g.tame {
		whole, scale = min(whole, tameDigits), min(scale, 3)
	}
	before, behind := 1+g.r.IntN(whole), g.r.IntN(min(scale, decimal.MaxDigits-1)+1)
	if longest := !g.tame && !g.plain && g.r.IntN(4) == 0; longest {
		before, behind = whole, scale
	}
	s := strings.TrimLeft(g.digits(before), "0")
	if s == "" {
		s = "0"
	}
	if n := min(behind, decimal.MaxDigits-len(s)); n > 0 {
		s += "." + g.digits(n)
	}
	if !g.tame && !g.plain && g.r.IntN(3) == 0 && strings.Trim(s, "0.") != "" {
		s = "-" + s
	}
	return g.within(t, s)
}

func (g *generator) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.r.IntN(10)) //nolint:gosec // a digit
	}
	return string(b)
}
