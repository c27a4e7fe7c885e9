package mapping_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/internal/problem"
)

func TestUnitsDatesAndTables(t *testing.T) {
	const files = "codes.csv"
	tests := []struct{ name, fields, body, want string }{
		{"a unit of the same dimension", `fields: {a: 'convert(decimal(src.a), "KGM", "GRM")'}`, `{"a":"1.2345"}`, `{"a":"1234.5"}`},
		{"a pound is exact", `fields: {a: 'convert(decimal(src.a), "LBR", "KGM")'}`, `{"a":"3"}`, `{"a":"1.36077711"}`},
		{"SAP's codes of units", `fields: {a: 'unitCode(src.a, "unece", "sap")', b: 'unitCode("ST", "sap", "unece")'}`, `{"a":"KGM"}`, `{"a":"KG","b":"H87"}`},
		{"the plant's own unit", `fields: {a: 'convert(decimal(src.a), "tray", "H87")', b: 'unitCode("TRY", "unece", "plant")'}`, `{"a":"2"}`, `{"a":"48","b":"tray"}`},
		{"a day as IDocs have it", `fields: {a: compactDate(src.a), b: compactTime(src.b), c: 'fromCompactDate("20261124")', d: 'fromCompactTime("063000")'}`, `{"a":"2026-11-24","b":"06:30:00"}`, `{"a":"20261124","b":"063000","c":"2026-11-24","d":"06:30:00"}`},
		{"what stands for no day", `fields: {a: 'fromCompactDate("00000000")', b: 'fromCompactDate(src.b).orValue("none")'}`, `{"b":"0000-00-00"}`, `{"b":"none"}`},
		{"times as OData V2 has them", `fields: {a: 'edmDate(src.a, "UTC")', e: 'edmDate(src.a, "Europe/Berlin")', f: 'edmDate("2026-11-24")', b: 'fromEdmDate("/Date(1795500000000+0060)/")', c: 'edmTime("06:30:00")', d: 'fromEdmTime("PT6H30M")'}`, `{"a":"2026-11-24T06:00:00+01:00"}`, `{"a":"/Date(1795496400000)/","e":"/Date(1795500000000)/","f":"/Date(1795478400000)/","b":"2026-11-24T06:00:00Z","c":"PT06H30M00S","d":"06:30:00"}`},
		{"texts are filled on the right", `fields: {a: 'padRight(src.a, 5, ".")'}`, `{"a":"ab"}`, `{"a":"ab..."}`},
		{"a table in a CSV file", "tables: {r: {file: codes.csv}}\nfields: {a: 'lookup(\"r\", src.a)', b: 'reverse(\"r\", \"0002\")'}", `{"a":"scratch"}`, `{"a":"0001","b":"dent"}`},
		{"two columns of a CSV file", "tables: {r: {file: codes.csv, from: sap, to: text}}\nfields: {a: 'lookup(\"r\", src.a)'}", `{"a":"0002"}`, `{"a":"a dent, deep"}`},
		{"a table in a YAML file", "tables: {r: {file: table-codes.yaml}}\nfields: {a: 'lookup(\"r\", src.a)'}", `{"a":"x"}`, `{"a":"1"}`},
		{"a code that is missing stays", "tables: {r: {rows: {a: b}, missing: keep}}\nfields: {a: 'lookup(\"r\", src.a)'}", `{"a":"z"}`, `{"a":"z"}`},
		{"a code that is missing is left out", "tables: {r: {rows: {a: b}, missing: leave-out}}\nfields: {a: 'lookup(\"r\", src.a)', c: {const: x}}", `{"a":"z"}`, `{"c":"x"}`},
		{"fragments, and a field of one's own", "use: [envelope]\nfields: {id: event.key, a: src.a}", `{"a":1}`, `{"id":"o-1","lane":"o-1","number":7,"a":1}`},
		{"a fragment below a field", "fields: {head: {use: envelope}}", `{}`, `{"head":{"id":"m-1","lane":"o-1","number":7}}`},
		{"at most so many places", `fields: {a: {value: decimal(src.a), maxScale: 3, round: half-up}, b: {value: decimal(src.b), maxScale: 3}}`, `{"a":"1.23456","b":"1.5"}`, `{"a":"1.235","b":"1.5"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, map[string]string{
				"m.yaml": header + tt.fields, files: "plant,sap,text\nscratch,0001,a scratch\ndent,0002,\"a dent, deep\"\n",
				"table-codes.yaml": "x: '1'\ny: '2'\n", "units.csv": "unece,plant,dimension,numerator,denominator\nTRY,tray,count,24,1\n",
				"common.fragments.yaml": "fragments:\n  lane: {fields: {lane: event.lane, number: event.number}}\n  envelope: {use: lane, fields: {id: event.id}}\n",
			})
			if err != nil {
				t.Fatal(err)
			}
			doc, err := s.Apply(t.Context(), "m", verified(t, confirmed(tt.body)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := differences(tt.want, string(doc.Body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestATableGoesThereAndBack: of any table in which each value stands for one code, forward and reverse give the code again; where two codes have
// one value, reading back is refused before a message runs.
func TestATableGoesThereAndBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		codes, values := r.Perm(40), r.Perm(40)
		var rows []string
		for i := range 1 + r.IntN(20) {
			rows = append(rows, fmt.Sprintf(`"%04d": "v%d"`, codes[i], values[i]))
		}
		table := "tables: {t: {rows: {" + strings.Join(rows, ", ") + "}}}\n"
		fields := table + "fields: {a: {each: src.l, value: 'reverse(\"t\", lookup(\"t\", item))'}}"
		var all []string
		for i := range rows {
			all = append(all, fmt.Sprintf("%q", fmt.Sprintf("%04d", codes[i])))
		}
		list := "[" + strings.Join(all, ",") + "]"
		if got, err := apply(t, fields, `{"l":`+list+`}`, nil); err != nil || got != `{"a":`+list+`}` {
			t.Fatalf("%s of %s became %s, %v", list, table, got, err)
		}
		twice := strings.Replace(fields, "{rows: {", fmt.Sprintf(`{rows: {x: "v%d", `, values[0]), 1)
		if _, err := load(t, map[string]string{"m.yaml": header + twice}); err == nil || !contains(err.Error(), "stands for both") {
			t.Fatalf("%s was taken: %v", twice, err)
		}
	}
}

func TestWhatCannotBeConvertedStopsTheMessage(t *testing.T) {
	for _, fields := range []string{
		`fields: {a: 'convert(decimal(src.a), src.u, "GRM")'}`, `fields: {a: 'convert(decimal(src.a), "SEC", src.h)'}`, `fields: {a: 'unitCode(src.u, "unece", "sap")'}`,
		`fields: {a: compactDate(src.u)}`, `fields: {a: fromEdmDate(src.u)}`, `fields: {a: edmDate(src.t)}`, `fields: {a: 'edmDate(src.t, src.u)'}`, `fields: {a: 'edmDate(src.u, "UTC")'}`, `fields: {a: fromEdmTime(src.u)}`, `fields: {a: {value: decimal(src.a), maxDigits: 1}}`,
		`fields: {a: {value: decimal("1.23456"), maxScale: 3}}`,
	} {
		if got, err := apply(t, fields, `{"a":"10","u":"XYZ","h":"HUR","t":"2026-11-24T06:00:00+01:00"}`, nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s made %s, %v", fields, got, err)
		}
	}
}

// TestACodeIsOfOneUnit: a row of the plant does not take another unit's code, and PAL, pascal here and pallet there, is converted where it is said whose it is.
func TestACodeIsOfOneUnit(t *testing.T) {
	for _, tt := range []struct{ name, units, field, want string }{
		{"a code that another has", "unece,sap,dimension,numerator,denominator\nNMP,ST,count,100,1\n", `decimal("5")`, `"ST" is a code of sap for both`},
		{"one's own code anew", "unece,sap,dimension,numerator,denominator\nH87,ST,count,1,1\n", `convert(decimal("5"), "DZN", "ST")`, ""},
		{"a code of two schemes", "", `convert(decimal("5"), "PAL", "PCE")`, "is a unit of unece and another of sap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"m.yaml": header + "fields: {a: '" + tt.field + "'}"}
			if tt.units != "" {
				files["units.csv"] = tt.units
			}
			s, err := load(t, files)
			if err == nil {
				_, err = s.Apply(t.Context(), "m", verified(t, confirmed(`{}`)), nil)
			}
			if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNoPartOfASecondIsLostUnsaid: where the other side has whole seconds, a time of day with a part of one stops, and one of zeros does not.
// clock alone takes the second that has begun, since a plant's clock shows more than an ERP asks for.
func TestNoPartOfASecondIsLostUnsaid(t *testing.T) {
	for _, tt := range []struct{ expression, clock, want, err string }{
		{"compactTime(src.a)", "06:30:00.5", "", "has a part of a second, which would be lost"},
		{"compactTime(src.a)", "06:30:00.000", "063000", ""},
		{"edmTime(src.a)", "06:30:00.001", "", "has a part of a second, which would be lost"},
		{"edmTime(src.a)", "06:30:00", "PT06H30M00S", ""},
		{"fromCompactTime(src.a)", "063000.25", "", "has a part of a second, which would be lost"},
		{"fromEdmTime(src.a)", "PT06H30M00.5S", "", "is no time of day"},
		{"fromEdmTime(src.a)", "PT06H30M00.000S", "06:30:00", ""},
		{`clock(src.a, "Europe/Berlin")`, "2026-11-24T06:30:00.999Z", "07:30:00", ""},
		{`dateTime(src.a, "Europe/Berlin")`, "2026-11-24T06:30:00.999Z", "2026-11-24T07:30:00.999+01:00", ""},
	} {
		s, err := load(t, map[string]string{"m.yaml": "from: {kind: test.happened}\nto: {operation: post}\nfields: {a: '" + tt.expression + "'}\n"})
		if err != nil {
			t.Fatal(err)
		}
		e := mapping.Example{Kind: "test.happened", Body: `{"a":"` + tt.clock + `"}`}
		m, err := s.Try(t.Context(), "m", e.Message(), e.Resolve)
		if tt.err == "" && (err != nil || string(m.Body) != `{"a":"`+tt.want+`"}`) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s of %s: %s, %v, want %q, %q", tt.expression, tt.clock, m.Body, err, tt.want, tt.err)
		}
	}
	for _, literal := range []string{`compactTime("06:30:00.5")`, `edmTime("06:30:00.5")`, `fromCompactTime("063000.5")`} {
		if _, err := load(t, map[string]string{"m.yaml": "from: {kind: order.created}\nto: {operation: post}\nfields: {a: '" + literal + "'}\n"}); err == nil {
			t.Errorf("%s passes the check", literal)
		}
	}
}
