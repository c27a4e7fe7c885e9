package mapping

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/schema"
)

// generator makes up documents of a type: the shortest and the longest that fit, and what lies between.
type generator struct {
	r     *rand.Rand
	plain bool // everything is there once, and a text is the name of its field
}

func newGenerator(seed uint64) *generator {
	return &generator{r: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // nothing secret is made
}

// refs knows a number for everything.
func (g *generator) refs(context.Context, string) (string, bool, error) {
	return "000001000001", true, nil
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
			if f.Required || depth < 6 && (g.plain || g.r.IntN(2) == 0) {
				out[f.Name] = g.value(f.Type, f.Name, depth+1)
			}
		}
		return out
	case schema.List:
		out := []any{}
		n := g.r.IntN(4)
		if g.plain {
			n = 1
		}
		for range max(t.MinItems, n) {
			out = append(out, g.value(t.Item, name, depth+1))
		}
		return out
	case schema.Decimal:
		return json.Number(g.decimal(t))
	case schema.Integer:
		return g.r.IntN(10)
	case schema.Bool:
		return g.r.IntN(2) == 0
	default:
		return g.text(t, name)
	}
}

// allDigits is the pattern of a key that has so many digits.
var allDigits = regexp.MustCompile(`^\^\[0-9\]\{(\d+)\}\$$`)

// plainChars is how many letters of a field's name stand for its value: ERPs have short fields.
const plainChars = 8

// alphabet has what texts are made of: letters of one and more bytes, and what JSON and XML escape.
const alphabet = `ABCabc019 -./äßé"<&>\`

func (g *generator) text(t *schema.Type, name string) string {
	switch {
	case strings.HasSuffix(name, "zone"):
		return "Europe/Berlin"
	case name == "erpNumber":
		return "000001000001"
	case allDigits.MatchString(t.Pattern):
		n, _ := strconv.Atoi(allDigits.FindStringSubmatch(t.Pattern)[1])
		return fmt.Sprintf("%0*d", n, 10*(1+g.r.IntN(900)))
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
	case "date-time":
		return at.Format(time.RFC3339)
	case "uuid":
		return fmt.Sprintf("%08x-0000-4000-8000-%012x", g.r.Uint32(), g.r.Uint32())
	}
	most := t.MaxLength
	if most == 0 {
		most = 20
	}
	n := []int{1, most, 1 + g.r.IntN(most)}[g.r.IntN(3)]
	letters := []rune(alphabet)
	out := make([]rune, n)
	for i := range out {
		out[i] = letters[g.r.IntN(len(letters))]
	}
	if s := strings.TrimSpace(string(out)); s != "" {
		return s
	}
	return "A"
}

func (g *generator) decimal(t *schema.Type) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + g.r.IntN(10))
		}
		return string(b)
	}
	whole, scale := t.Digits, t.Scale
	if whole == 0 {
		whole = 12
	}
	if scale == schema.AnyScale {
		scale = 6
	}
	s := strings.TrimLeft(digits(1+g.r.IntN(whole)), "0")
	if s == "" {
		s = "0"
	}
	if n := g.r.IntN(min(scale, 38-len(s)) + 1); n > 0 {
		s += "." + digits(n)
	}
	return s
}
