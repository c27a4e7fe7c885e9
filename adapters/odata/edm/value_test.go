package edm_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/odata/edm"
	"holdfast/internal/decimal"
)

func field(typ string) *edm.Field { return &edm.Field{Name: "F", Type: typ, Scale: edm.AnyScale} }

func TestValuesAreReadInEveryFormThatIsMet(t *testing.T) {
	tests := []struct {
		name, typ string
		in        any
		want      any // an error if it is a error text "!"
	}{
		{"a decimal as text", "Edm.Decimal", "100.500", "100.500"},
		{"a decimal as number", "Edm.Decimal", json.Number("100.5"), "100.5"},
		{"a decimal with an exponent", "Edm.Decimal", json.Number("1.005E2"), "100.5"},
		{"above what a float holds", "Edm.Int64", "9007199254740993", "9007199254740993"},
		{"Int64 as a number", "Edm.Int64", json.Number("-5"), "-5"},
		{"out of range", "Edm.Byte", json.Number("256"), "!"},
		{"at the edge", "Edm.SByte", json.Number("-128"), json.Number("-128")},
		{"a date of V2", "Edm.DateTime", "/Date(1774747800000)/", "2026-03-29T01:30:00"},
		{"a date of V2 with an offset that it must not have", "Edm.DateTime", "/Date(1774747800000+0060)/", "2026-03-29T01:30:00"},
		{"a date as ISO", "Edm.DateTime", "2026-03-29T01:30:00", "2026-03-29T01:30:00"},
		{"only a date", "Edm.DateTime", "2026-03-29", "2026-03-29T00:00:00"},
		{"before the epoch", "Edm.DateTime", "/Date(-62135596800001)/", "!"},
		{"ABAP's empty date", "Edm.DateTime", "/Date(-62135596800000)/", nil},
		{"an empty text for a date", "Edm.DateTime", "", nil},
		{"ABAP's empty date of V4", "Edm.Date", "0001-01-01", nil},
		{"a moment", "Edm.DateTimeOffset", "/Date(1774747800000)/", "2026-03-29T01:30:00Z"},
		{"a moment in UTC", "Edm.DateTimeOffset", "/Date(1774747800000+0000)/", "2026-03-29T01:30:00Z"},
		{"a moment east", "Edm.DateTimeOffset", "/Date(1774747800000+0060)/", "2026-03-29T02:30:00+01:00"},
		{"a moment west", "Edm.DateTimeOffset", "/Date(1774747800000-0330)/", "2026-03-28T20:00:00-05:30"},
		{"a moment of V4 to seven digits", "Edm.DateTimeOffset", "2026-03-29T01:30:00.1234567+02:00", "2026-03-29T01:30:00.1234567+02:00"},
		{"a moment without a zone", "Edm.DateTimeOffset", "2026-03-29T01:30:00", "!"},
		{"an offset of a week", "Edm.DateTimeOffset", "/Date(0+9999)/", "!"},
		{"a time padded", "Edm.Time", "PT13H05M07S", "13:05:07"},
		{"a time not padded", "Edm.Time", "PT2H38M22S", "02:38:22"},
		{"a time of hours", "Edm.Time", "PT2H", "02:00:00"},
		{"a time with a fraction", "Edm.Time", "P0DT1H2M3.5S", "01:02:03.5"},
		{"a time of V4", "Edm.TimeOfDay", "13:05:07", "13:05:07"},
		{"the end of a day", "Edm.Time", "PT24H00M00S", "24:00:00"},
		{"the end of a day, short", "Edm.Time", "PT24H", "24:00:00"},
		{"more than a day", "Edm.Time", "PT24H00M01S", "!"},
		{"a GUID in capitals", "Edm.Guid", "01234567-89AB-CDEF-0123-456789ABCDEF", "01234567-89ab-cdef-0123-456789abcdef"},
		{"no GUID", "Edm.Guid", "0123", "!"},
		{"base64 of V4", "Edm.Binary", "-_8", "+/8="},
		{"a duration", "Edm.Duration", "-P1DT2H3M4.5S", "-P1DT2H3M4.5S"},
		{"an empty duration", "Edm.Duration", "PT", "!"},
		{"a double as text", "Edm.Double", "1.5E-3", json.Number("1.5E-3")},
		{"infinity", "Edm.Double", "INF", "INF"},
		{"a double beyond all doubles", "Edm.Double", json.Number("1e999"), "!"},
		{"a double that would become zero", "Edm.Double", json.Number("-1e-999"), "!"},
		{"a zero with an exponent", "Edm.Double", json.Number("0e-999"), json.Number("0e-999")},
		{"the largest double", "Edm.Double", json.Number("1.7976931348623157e308"), json.Number("1.7976931348623157e308")},
		{"a double beyond all singles", "Edm.Single", json.Number("1e39"), "!"},
		{"a decimal beyond all decimals", "Edm.Decimal", json.Number("1e999"), "!"},
		{"a decimal whose exponent is no number of this world", "Edm.Decimal", json.Number("1e99999999999999999999"), "!"},
		{"a whole number with an exponent", "Edm.Int64", json.Number("1e999"), "!"},
		{"an empty text", "Edm.String", "", ""},
		{"null", "Edm.String", nil, nil},
		{"a type that nobody knows", "Edm.GeographyPoint", map[string]any{"x": "y"}, map[string]any{"x": "y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := field(tt.typ).Plain(tt.in)
			if tt.want == "!" {
				if err == nil {
					t.Errorf("got %v, want a refusal", got)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v, %s", err, diff)
			}
		})
	}
}

func TestValuesAreWrittenAsEachVersionTakesThem(t *testing.T) {
	tests := []struct {
		typ, plain         string
		v2, v4, literal2   string
		literal4, ieee754s string
	}{
		{"Edm.Decimal", "100.500", `"100.500"`, `100.500`, "100.500m", "100.500", `"100.500"`},
		{"Edm.Int64", "9007199254740993", `"9007199254740993"`, `9007199254740993`, "9007199254740993L", "9007199254740993", `"9007199254740993"`},
		{"Edm.DateTime", "2026-03-29T01:30:00", `"/Date(1774747800000)/"`, `"2026-03-29T01:30:00"`, "datetime'2026-03-29T01:30:00'", "2026-03-29T01:30:00", ""},
		{"Edm.DateTimeOffset", "2026-03-29T02:30:00+01:00", `"/Date(1774747800000+0000)/"`, `"2026-03-29T02:30:00+01:00"`, "datetimeoffset'2026-03-29T02:30:00+01:00'", "2026-03-29T02:30:00+01:00", ""},
		{"Edm.Time", "01:30:00", `"PT01H30M00S"`, `"PT01H30M00S"`, "time'PT01H30M00S'", "01:30:00", ""},
		{"Edm.TimeOfDay", "01:30:00", `"01:30:00"`, `"01:30:00"`, "time'PT01H30M00S'", "01:30:00", ""},
		{"Edm.Guid", "01234567-89ab-cdef-0123-456789abcdef", `"01234567-89ab-cdef-0123-456789abcdef"`, `"01234567-89ab-cdef-0123-456789abcdef"`, "guid'01234567-89ab-cdef-0123-456789abcdef'", "01234567-89ab-cdef-0123-456789abcdef", ""},
		{"Edm.String", "it's", `"it's"`, `"it's"`, "'it''s'", "'it''s'", ""},
		{"Edm.Binary", "+/8=", `"+/8="`, `"-_8="`, "X'fbff'", "binary'-_8='", ""},
		{"Edm.Duration", "PT1H", `"PT1H"`, `"PT1H"`, "duration'PT1H'", "duration'PT1H'", ""},
	}
	for _, tt := range tests {
		t.Run(tt.typ, func(t *testing.T) {
			f := field(tt.typ)
			for _, w := range []struct {
				wire edm.Wire
				want string
			}{{edm.Wire{Version: edm.V2}, tt.v2}, {edm.Wire{Version: edm.V4}, tt.v4}, {edm.Wire{Version: edm.V4, IEEE754: true}, tt.ieee754s}} {
				v, err := f.Wire(tt.plain, w.wire)
				got, _ := json.Marshal(v)
				if err != nil || w.want != "" && string(got) != w.want {
					t.Errorf("%+v: got %s, %v, want %s", w.wire, got, err, w.want)
				}
			}
			l2, err2 := f.Literal(tt.plain, edm.V2)
			l4, err4 := f.Literal(tt.plain, edm.V4)
			if l2 != tt.literal2 || l4 != tt.literal4 || err2 != nil || err4 != nil {
				t.Errorf("literals %s (%v) and %s (%v), want %s and %s", l2, err2, l4, err4, tt.literal2, tt.literal4)
			}
		})
	}
}

// TestACivilTimeStaysTheSameInEveryZone: the night in which Europe's clocks change is the same wall clock wherever Holdfast runs.
func TestACivilTimeStaysTheSameInEveryZone(t *testing.T) {
	was := time.Local
	t.Cleanup(func() { time.Local = was })
	for _, zone := range []string{"Pacific/Auckland", "America/St_Johns", "Europe/Berlin", "UTC"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Skipf("no zones on this machine: %v", err)
		}
		time.Local = loc
		for _, typ := range []string{"Edm.DateTime", "Edm.DateTimeOffset"} {
			f := field(typ)
			plain, err := f.Plain("/Date(1774747800000)/")
			if err != nil {
				t.Fatal(err)
			}
			wire, err := f.Wire(plain, edm.Wire{Version: edm.V2})
			if err != nil || !strings.HasPrefix(wire.(string), "/Date(1774747800000") {
				t.Errorf("%s in %s: %v became %v, %v", typ, zone, plain, wire, err)
			}
		}
	}
}

func TestWhatDoesNotFitIsRefusedBeforeItIsSent(t *testing.T) {
	set := load(t, "confirmation-v2.xml").Sets["ProdnOrdConf2"]
	tests := []struct {
		name, doc string
		want      []string // pointer and a part of why
	}{
		{"all well, and deep", `{"OrderID":"000001000001","ConfirmationYieldQuantity":"12.500","PostingDate":"2026-11-24","to_ProdnOrdConfMatlDocItm":[{"Material":"M1","QuantityInEntryUnit":"1"}]}`, nil},
		{"trailing zeros are no digits", `{"ConfirmationYieldQuantity":"1.0000"}`, nil},
		{"a digit too many behind the point", `{"ConfirmationYieldQuantity":"1.0001"}`, []string{"/ConfirmationYieldQuantity", "behind the point"}},
		{"too large", `{"ConfirmationYieldQuantity":"12345678901"}`, []string{"/ConfirmationYieldQuantity", "more digits"}},
		{"too long", `{"OrderID":"0000010000012"}`, []string{"/OrderID", "13 characters"}},
		{"unknown, with a hint", `{"orderid":"1"}`, []string{"/orderid", "OrderID"}},
		{"deep inside", `{"to_ProdnOrdConfMatlDocItm":[{},{"Plant":"10000"}]}`, []string{"/to_ProdnOrdConfMatlDocItm/1/Plant", "5 characters"}},
		{"an object where a list is due", `{"to_ProdnOrdConfMatlDocItm":{}}`, []string{"/to_ProdnOrdConfMatlDocItm", "list"}},
		{"null where a value must be", `{"ConfirmationGroup":null}`, []string{"/ConfirmationGroup", "null"}},
		{"a time of day in a date", `{"PostingDate":"2026-11-24T06:00:00"}`, []string{"/PostingDate", "without a time"}},
		{"text for a flag", `{"IsFinalConfirmation":"X"}`, []string{"/IsFinalConfirmation", "true nor false"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var doc map[string]any
			d := json.NewDecoder(strings.NewReader(tt.doc))
			d.UseNumber()
			if err := d.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			_, wrong := set.Of.Wire(doc, edm.Wire{Version: edm.V2}, edm.Create)
			if tt.want == nil {
				if len(wrong) > 0 {
					t.Errorf("got %v, want none", wrong)
				}
				return
			}
			if len(wrong) != 1 || wrong[0].Pointer != tt.want[0] || !strings.Contains(wrong[0].Why, tt.want[1]) {
				t.Errorf("got %v, want %q", wrong, tt.want)
			}
		})
	}
}

func TestKeysAreQuotedByTheirTypes(t *testing.T) {
	m := load(t, "confirmation-v2.xml")
	two := m.Sets["ProdnOrdConf2"].Of
	one := load(t, "order-v2.xml").Sets["A_ProductionOrder_2"].Of
	tests := []struct {
		name string
		of   *edm.Struct
		key  map[string]any
		want string // "" means refused
	}{
		{"one field", one, map[string]any{"ManufacturingOrder": "1000001"}, "('1000001')"},
		{"everything that hurts", one, map[string]any{"ManufacturingOrder": "a'%/ e+?#&"}, "('a''%25%2F%20e%2B%3F%23%26')"},
		{"two fields", two, map[string]any{"ConfirmationGroup": "1", "ConfirmationCount": "2"}, "(ConfirmationGroup='1',ConfirmationCount='2')"},
		{"an empty one is one", two, map[string]any{"ConfirmationGroup": "", "ConfirmationCount": "2"}, "(ConfirmationGroup='',ConfirmationCount='2')"},
		{"one is missing", two, map[string]any{"ConfirmationGroup": "1"}, ""},
		{"one too many", one, map[string]any{"ManufacturingOrder": "1", "Material": "M"}, ""},
		{"too long", one, map[string]any{"ManufacturingOrder": "1234567890123"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.of.KeyPath(tt.key, edm.V2)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %s, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestEntitiesAreReadFromBothVersions(t *testing.T) {
	tests := []struct{ name, file, set, raw, want, etag string }{
		{
			"V2", "confirmation-v2.xml", "ProdnOrdConf2",
			`{"__metadata":{"uri":"https://x/S('1')","etag":"W/\"7\""},"OrderID":"1","PostingDate":"\/Date(1774742400000)\/","ConfirmationYieldQuantity":"1.500",
			"to_ProdnOrdConfMatlDocItm":{"results":[{"Material":"M","QuantityInEntryUnit":"2"}]},"Newer":"x"}`,
			`{"ConfirmationYieldQuantity":"1.500","Newer":"x","OrderID":"1","PostingDate":"2026-03-29T00:00:00","to_ProdnOrdConfMatlDocItm":[{"Material":"M","QuantityInEntryUnit":"2"}]}`, `W/"7"`,
		},
		{
			"V2 not expanded", "confirmation-v2.xml", "ProdnOrdConf2",
			`{"OrderID":"1","to_ProdnOrdConfMatlDocItm":{"__deferred":{"uri":"x"}}}`, `{"OrderID":"1"}`, "",
		},
		{
			"V4", "confirmation-v4.xml", "Confirmation",
			`{"@odata.etag":"W/\"8\"","OrderID":"1","PostingDate":"2026-03-29","ConfirmationYieldQuantity":1.500,"_Items":[{"Material":"M","QuantityInEntryUnit":2}],"OrderID@odata.type":"x"}`,
			`{"ConfirmationYieldQuantity":"1.500","OrderID":"1","PostingDate":"2026-03-29","_Items":[{"Material":"M","QuantityInEntryUnit":"2"}]}`, `W/"8"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := json.NewDecoder(strings.NewReader(tt.raw))
			d.UseNumber()
			var raw map[string]any
			if err := d.Decode(&raw); err != nil {
				t.Fatal(err)
			}
			e, err := load(t, tt.file).Sets[tt.set].Of.Plain(raw)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.JSON()
			if err != nil || string(got) != tt.want || e.ETag != tt.etag {
				t.Errorf("got %s, ETag %s, %v\nwant %s, %s", got, e.ETag, err, tt.want, tt.etag)
			}
		})
	}
}

func FuzzDecimalsLoseNothing(f *testing.F) {
	f.Add("12.500")
	f.Add("-0.001")
	f.Add("9999999999.999")
	f.Add("0E1")
	field := &edm.Field{Name: "Q", Type: "Edm.Decimal", Precision: 13, Scale: 3}
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range []edm.Wire{{Version: edm.V2}, {Version: edm.V4}, {Version: edm.V4, IEEE754: true}} {
			wire, err := field.Wire(s, w)
			if err != nil {
				continue
			}
			b, err := json.Marshal(wire)
			if err != nil {
				t.Fatal(err)
			}
			var back any
			d := json.NewDecoder(strings.NewReader(string(b)))
			d.UseNumber()
			if err := d.Decode(&back); err != nil {
				t.Fatal(err)
			}
			plain, err := field.Plain(back)
			want := decimal.MustParse(s)
			if err != nil || !decimal.MustParse(fmt.Sprint(plain)).Equal(want) {
				t.Errorf("%q went out as %s and came back as %v, %v", s, b, plain, err)
			}
		}
	})
}

// FuzzLiteralsStayInTheirPlace: whatever a text holds, its literal ends where it should.
func FuzzLiteralsStayInTheirPlace(f *testing.F) {
	f.Add("it's")
	f.Add("' or 1 eq 1 or ''")
	f.Add("%27)/X('")
	field := field("Edm.String")
	f.Fuzz(func(t *testing.T, s string) {
		lit, err := field.Literal(s, edm.V4)
		if err != nil {
			t.Fatal(err)
		}
		inner, quoted := strings.CutPrefix(lit, "'")
		inner, ended := strings.CutSuffix(inner, "'")
		if !quoted || !ended || strings.ReplaceAll(inner, "''", "'") != s || strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
			t.Errorf("%q became %s", s, lit)
		}
		if esc := edm.Escape(lit); strings.ContainsAny(esc, "/?#& +") {
			t.Errorf("%q leaves its place in an address: %s", s, esc)
		}
	})
}

// TestValuesAreTheSameInEveryZone in which the process can run.
func TestValuesAreTheSameInEveryZone(t *testing.T) {
	adaptertest.InZones(t, "TestValuesAreReadInEveryFormThatIsMet", "TestValuesAreWrittenAsEachVersionTakesThem", "TestEntitiesAreReadFromBothVersions")
}
