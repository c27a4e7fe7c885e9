package idoc

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/problem"
)

// some is a document of a type with every field of every segment, drawn at random.
func some(r *rand.Rand, t *Type) (Document, map[string]any) {
	d := Document{Control: head{
		client: "100", from: Partner{"HF", "PLANT1"}, to: Partner{"SAP", "S4H"}, number: fmt.Sprintf("%016d", 1+r.Int64N(1e15)), key: "k", basic: t.Name,
		messaging: t.Message, inbound: true,
	}.control()}
	object := map[string]any{}
	for _, c := range t.Root.Children {
		object[c.Name] = someOf(r, c)
	}
	return d, object
}

func someOf(r *rand.Rand, t *SegmentType) any {
	n := 1
	if t.Max > 1 {
		n = 1 + r.IntN(3)
	}
	var list []any
	for range n {
		o := map[string]any{}
		for _, f := range t.Fields {
			if v := someValue(r, f); v != "" {
				o[f.Name] = v
			}
		}
		for _, c := range t.Children {
			o[c.Name] = someOf(r, c)
		}
		list = append(list, o)
	}
	if t.Max == 1 {
		return list[0]
	}
	return list
}

// someValue is a plain value that fills its field as far as may be; "" is none.
func someValue(r *rand.Rand, f *Field) string {
	letters := []rune("ABCxyz019 <&>\"'äöß€-.")
	switch f.Type {
	case dats:
		return fmt.Sprintf("%04d-%02d-%02d", 1900+r.IntN(200), 1+r.IntN(12), 1+r.IntN(28))
	case tims:
		return fmt.Sprintf("%02d:%02d:%02d", r.IntN(24), r.IntN(60), r.IntN(60))
	case numc:
		return fmt.Sprintf("%0*d", f.Length, r.Int64N(1_000_000)%pow10(min(f.Length, 6)))
	case alpha:
		if r.IntN(2) == 0 {
			return fmt.Sprint(1 + r.Int64N(pow10(min(f.Length, 9))-1))
		}
		return "FG-" + strings.Repeat("9", f.Length-3)
	case dec:
		whole := max(1, f.Length-f.Scale-2)
		out := strings.Repeat("9", whole)
		if f.Scale > 0 {
			out += "." + fmt.Sprintf("%0*d", f.Scale, r.Int64N(pow10(f.Scale)))
		}
		if r.IntN(2) == 0 && f.Length > 1 {
			return "-" + out
		}
		return out
	}
	out := make([]rune, 1+r.IntN(f.Length))
	for i := range out {
		out[i] = letters[r.IntN(len(letters))]
	}
	return strings.TrimRight("Z"+string(out[1:]), " ")
}

func pow10(n int) int64 {
	out := int64(1)
	for range n {
		out *= 10
	}
	return out
}

// TestWhatIsWrittenIsReadAgainToTheLastDigit fills every field of every type that is described, as XML and as flat files.
func TestWhatIsWrittenIsReadAgainToTheLastDigit(t *testing.T) {
	types := Shipped()
	r := rand.New(rand.NewPCG(1, 2))
	for name, kind := range types {
		for range 3 {
			d, want := some(r, kind)
			body, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var bad []problem.Field
			if d.Segments, bad = kind.compose(body); len(bad) > 0 {
				t.Fatalf("%s: %v", name, bad)
			}
			text, err := WriteXML([]Document{d})
			if err != nil {
				t.Fatal(err)
			}
			fromXML, err := ReadXML(text, types, Usual())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same(t, name+" as XML", fromXML, types, want)
			for _, page := range []string{"", "windows-1252"} {
				flat, err := WriteFlat([]Document{d}, page, types)
				if err != nil {
					t.Fatal(err)
				}
				fromFlat, err := ReadFlat(flat, page, types, Usual())
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				same(t, name+" as a flat file in "+page, fromFlat, types, want)
			}
		}
	}
}

func same(t *testing.T, what string, got []Document, types Types, want map[string]any) {
	t.Helper()
	if len(got) != 1 || len(got[0].Unknown) > 0 {
		t.Fatalf("%s: got %d documents, unknown %v", what, len(got), got[0].Unknown)
	}
	body, err := got[0].JSON(types, "UTC")
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var back map[string]any
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	delete(back, controlName)
	delete(back, zoneMember)
	delete(back, allMember)
	if diff := cmp.Diff(want, back); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestValuesOfSAP(t *testing.T) {
	tests := []struct {
		name       string
		field      Field
		sap, plain string // "" is no value
		bad        bool
	}{
		{"a number", Field{Type: dec, Length: 15, Scale: 3}, "         12.500", "12.500", false},
		{"a sign at the end", Field{Type: dec, Length: 15, Scale: 3}, "12.500-", "-12.500", false},
		{"a sign at the beginning", Field{Type: dec, Length: 15, Scale: 3}, "-12.500", "-12.500", false},
		{"blanks before a sign", Field{Type: dec, Length: 15, Scale: 3}, "12.500 -", "-12.500", false},
		{"two signs", Field{Type: dec, Length: 15, Scale: 3}, "-12.500-", "", true},
		{"a point of thousands", Field{Type: dec, Length: 15, Scale: 3}, "1.234,500", "", true},
		{"a floating number", Field{Type: dec, Length: 24, Scale: 3}, "1.2345E+03", "1234.5", false},
		{"no number", Field{Type: dec, Length: 15, Scale: 3}, "   ", "", false},
		{"more digits than a float has", Field{Type: dec, Length: 30, Scale: 3}, "12345678901234567890.123", "12345678901234567890.123", false},
		{"a day", Field{Type: dats, Length: 8}, "20260329", "2026-03-29", false},
		{"no day", Field{Type: dats, Length: 8}, "00000000", "", false},
		{"a day that there is not", Field{Type: dats, Length: 8}, "20260230", "", true},
		{"a time", Field{Type: tims, Length: 6}, "063000", "06:30:00", false},
		{"midnight", Field{Type: tims, Length: 6}, "000000", "00:00:00", false},
		{"the end of a day", Field{Type: tims, Length: 6}, "240000", "23:59:59", false},
		{"leading zeros", Field{Type: alpha, Length: 12}, "000001000042", "1000042", false},
		{"a number that is none", Field{Type: alpha, Length: 18}, "00FG-1", "00FG-1", false},
		{"zeros alone", Field{Type: alpha, Length: 12}, "000000000000", "", false},
		{"digits", Field{Type: numc, Length: 4}, "0010", "0010", false},
		{"a blank before a text", Field{Type: char, Length: 9}, " text  ", " text", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, has, err := tt.field.plain(tt.sap)
			if got != tt.plain || has != (tt.plain != "") || (err != nil) != tt.bad {
				t.Errorf("got %q, %t, %v, want %q", got, has, err, tt.plain)
			}
		})
	}
}

func TestValuesOfMappings(t *testing.T) {
	quantity := Field{Type: dec, Length: 15, Scale: 3}
	tests := []struct {
		name  string
		field Field
		value any
		want  string
		bad   bool
	}{
		{"a decimal", quantity, "12.5", "12.500", false},
		{"a number of JSON", quantity, json.Number("12.5"), "12.500", false},
		{"below zero", quantity, "-12.5", "12.500-", false},
		{"too exact", quantity, "12.5001", "", true},
		{"too large", quantity, "123456789012", "", true},
		{"the largest", quantity, "-9999999999.999", "9999999999.999-", false},
		{"an order", Field{Type: alpha, Length: 12}, "1000042", "000001000042", false},
		{"a material with a long field", Field{Type: alpha, Length: 40}, "4711", "000000000000004711", false},
		{"a day", Field{Type: dats, Length: 8}, "2026-11-24", "20261124", false},
		{"a day as SAP has it", Field{Type: dats, Length: 8}, "20261124", "20261124", false},
		{"no day", Field{Type: dats, Length: 8}, "24.11.2026", "", true},
		{"a time", Field{Type: tims, Length: 6}, "06:30:00", "063000", false},
		{"an item", Field{Type: numc, Length: 4}, json.Number("10"), "0010", false},
		{"true", Field{Type: char, Length: 1}, true, "X", false},
		{"false", Field{Type: char, Length: 1}, false, "", false},
		{"a text that is too long", Field{Type: char, Length: 3}, "abcd", "", true},
		{"as many characters as there is room, though more bytes", Field{Type: char, Length: 3}, "äöü", "äöü", false},
		{"a line break", Field{Type: char, Length: 3}, "a\nb", "", true},
		{"a list", Field{Type: char, Length: 3}, []any{}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.field.sap(tt.value)
			if got != tt.want || (err != nil) != tt.bad {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

const order = `<?xml version="1.0" encoding="iso-8859-1"?>
<ZLOIPRO02><IDOC BEGIN="1"><EDI_DC40 SEGMENT="1"><MANDT>100</MANDT><DOCNUM>4711</DOCNUM><IDOCTYP>LOIPRO02</IDOCTYP><CIMTYP>ZLOIPRO02</CIMTYP><MESTYP>LOIPRO</MESTYP><SNDPRN>S4H</SNDPRN></EDI_DC40>
<E1AFKOL SEGMENT="1"><AUFNR>000001000042</AUFNR><ZZCOLOUR>gr` + "\xfc" + `n</ZZCOLOUR>
 <E1AFPOL SEGMENT="1"><POSNR>0001</POSNR><PSMNG>12.500 </PSMNG></E1AFPOL>
 <Z1NOTE SEGMENT="1"><TEXT>mind the heat</TEXT><Z1MORE SEGMENT="1"/></Z1NOTE>
</E1AFKOL></IDOC></ZLOIPRO02>`

func TestWhatIsNotKnownIsKeptAndReported(t *testing.T) {
	types := Shipped()
	got, err := ReadXML([]byte(order), types, Usual())
	if err != nil || len(got) != 1 {
		t.Fatal(len(got), err)
	}
	want := []string{
		"line 3 E1AFKOL: no description has field ZZCOLOUR", "line 5 Z1NOTE: no description has this segment here",
	}
	if diff := cmp.Diff(want, got[0].Unknown); diff != "" {
		t.Error(diff)
	}
	body, err := got[0].JSON(types, "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"ZZCOLOUR":"grün"`, `"Z1NOTE":[{"TEXT":"mind the heat","Z1MORE":[{}]}]`, `"AUFNR":"000001000042"`, `"PSMNG":"12.500"`, `"DOCNUM":"0000000000004711"`, `"Zone":"Europe/Berlin"`, `"All":{"E1AFPOL":[{"Above":{"AUFNR":"000001000042","ZZCOLOUR":"grün"},"POSNR":"0001","PSMNG":"12.500"}]`} {
		if !strings.Contains(string(body), part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
	text, err := WriteXML(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadXML(text, types, Usual())
	if err != nil || len(again) != 1 || len(again[0].Segments) != 1 || len(again[0].Segments[0].Children) != 2 {
		t.Errorf("written and read again: %v, %v", again, err)
	}
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	control := `<EDI_DC40 SEGMENT="1"><DOCNUM>1</DOCNUM><IDOCTYP>LOIPRO02</IDOCTYP><SNDPRN>S</SNDPRN></EDI_DC40>`
	tests := []struct{ name, text, want string }{
		{"no XML", "hello", "there is no element IDOC"},
		{"nothing", "", "there is no element IDOC"},
		{"not closed", "<X><IDOC>" + control + "<E1AFKOL SEGMENT=\"1\">\n<AUFNR>1", "line 2"},
		{"a document type", "<!DOCTYPE x [<!ENTITY a 'b'>]><X/>", "document type"},
		{"no control record", "<X><IDOC><E1AFKOL SEGMENT=\"1\"/></IDOC></X>", "EDI_DC40"},
		{"no number", "<X><IDOC>" + strings.Replace(control, "<DOCNUM>1</DOCNUM>", "", 1) + "</IDOC></X>", "DOCNUM"},
		{"no sender", "<X><IDOC>" + strings.Replace(control, "<SNDPRN>S</SNDPRN>", "", 1) + "</IDOC></X>", "SNDPRN"},
		{"a field in no segment", "<X><IDOC>" + control + "<AUFNR>1</AUFNR></IDOC></X>", "AUFNR"},
		{"a field twice", "<X><IDOC>" + control + "\n\n<E1AFKOL SEGMENT=\"1\"><AUFNR>1</AUFNR><AUFNR>2</AUFNR></E1AFKOL></IDOC></X>", "line 3, segment E1AFKOL"},
		{"text beside fields", "<X><IDOC>" + control + "<E1AFKOL SEGMENT=\"1\">text<AUFNR>1</AUFNR></E1AFKOL></IDOC></X>", "E1AFKOL"},
		{"an encoding that is none", `<?xml version="1.0" encoding="klingon"?><X/>`, "klingon"},
		{"too deep", "<X><IDOC>" + strings.Repeat("<A>", 100_000), "too deep"},
		{"deep before the IDoc", strings.Repeat("<A>", 100_000), "too deep"},
		{"too many segments", "<X><IDOC>" + control + strings.Repeat("<E1AFKOL SEGMENT=\"1\"/>", 20) + "</IDOC></X>", "more than 10 segments"},
		{"too many IDocs", "<X>" + strings.Repeat("<IDOC>"+control+"</IDOC>", 4) + "</X>", "more than 3 IDocs"},
		{"too long", "<X>" + strings.Repeat(" ", 1<<20), "bytes, more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadXML([]byte(tt.text), Shipped(), Limits{Bytes: 1 << 20, Segments: 10, IDocs: 3})
			if err == nil || !strings.Contains(err.Error(), tt.want) || problem.KindOf(err) != problem.Invalid {
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestMistakesOfFlatFiles(t *testing.T) {
	control := fmt.Sprintf("%-10s%3s%016d%-10s%-30s%-30s%-30s%-33s%-10s", "EDI_DC40", "100", 7, "", "LOIPRO02", "", "LOIPRO", "", "S4H")
	control = strings.Replace(control, strings.Repeat(" ", 33)+"S4H", strings.Repeat(" ", 33)+"S4H", 1)
	tests := []struct{ name, text, want string }{
		{"nothing", "\n\n", "there is no record"},
		{"a segment first", "E2AFKOL   100\n", "line 1"},
		{"a sender that is missing", fmt.Sprintf("%-10s%3s%016d%-10s%-30s\n", "EDI_DC40", "100", 7, "", "LOIPRO02"), "SNDPRN"},
		{"a long control record", control + strings.Repeat("x", 600), "more than 524"},
		{"bytes of another code page", "EDI_DC40\xff\n", "code page"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadFlat([]byte(tt.text), "", Shipped(), Usual())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestADescriptionOfWE60ReplacesOurs: what a system exports says where fields stand; what kind of values they have is known here.
func TestADescriptionOfWE60ReplacesOurs(t *testing.T) {
	types := Shipped()
	err := types.readWE60("LOIPRO02.txt", `BEGIN_RECORD_SECTION
 BEGIN_CONTROL_RECORD
  BEGIN_FIELDS
   NAME                 TABNAM
   LENGTH               000010
   CHARACTER_LAST       000010
  END_FIELDS
 END_CONTROL_RECORD
END_RECORD_SECTION
BEGIN_SEGMENT_SECTION
 BEGIN_IDOC             LOIPRO02
 BEGIN_SEGMENT          E2AFKOL004
  SEGMENTTYPE           E1AFKOL
  LEVEL                 01
  STATUS                MANDATORY
  LOOP_MIN              0000000001
  LOOP_MAX              0000000001
  BEGIN_FIELDS
   NAME                 ZZFIRST
   TEXT                 A field of our own
   TYPE                 CHARACTER
   LENGTH               000005
   FIELD_POS            0001
   CHARACTER_FIRST      000064
   CHARACTER_LAST       000068
   NAME                 BMENGE
   TEXT                 Quantity
   TYPE                 CHARACTER
   LENGTH               000015
   FIELD_POS            0002
   CHARACTER_FIRST      000069
   CHARACTER_LAST       000083
  END_FIELDS
 END_SEGMENT
 END_IDOC
END_SEGMENT_SECTION
`)
	if err != nil {
		t.Fatal(err)
	}
	s := types["LOIPRO02"].Segment("E1AFKOL")
	if f := s.Field("BMENGE"); f == nil || f.Offset != 5 || f.Type != dec || f.Scale != 3 || s.Definition != "E2AFKOL004" || types["LOIPRO02"].Message != "LOIPRO" {
		t.Errorf("got %+v of %+v", f, s)
	}
	if types["LOIPRO01"].Segment("E1AFKOL").Field("AUFNR") == nil {
		t.Error("another type was replaced")
	}
}

func TestDescriptionsThatAreWrong(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no type", "segment\t1\tA\tA\t1\t1\tx", "names no IDoc type"},
		{"a field first", "field\tA\t0\t1\tCHAR\tx", "before the first segment"},
		{"a level left out", "segment\t2\tA\tA\t1\t1\tx", "below none"},
		{"fields over each other", "segment\t1\tA\tA\t1\t1\tx\nfield\tB\t0\t5\tCHAR\tx\nfield\tC\t4\t5\tCHAR\tx", "x:3"},
		{"no type of field", "segment\t1\tA\tA\t1\t1\tx\nfield\tB\t0\t5\tINT\tx", "INT is no type"},
		{"no number", "segment\tone\tA\tA\t1\t1\tx", "one"},
		{"a column too few", "field\tA\t0\t1\tCHAR", "no line of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := (Types{}).read("x", tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzReadXML(f *testing.F) {
	f.Add([]byte(order))
	f.Add([]byte("<X><IDOC><EDI_DC40/></IDOC></X>"))
	types := Shipped()
	f.Fuzz(func(t *testing.T, text []byte) {
		ds, err := ReadXML(text, types, Limits{Bytes: 1 << 16, Segments: 100, IDocs: 5})
		survive(t, types, ds, err)
	})
}

func FuzzReadFlat(f *testing.F) {
	types := Shipped()
	ds, err := ReadXML([]byte(strings.ReplaceAll(strings.ReplaceAll(order, "ZZCOLOUR", "WERKS"), "Z1NOTE", "E1JSTKL")), types, Usual())
	if err != nil {
		f.Fatal(err)
	}
	d := ds[0]
	d.Segments[0].Children = d.Segments[0].Children[:1]
	text, err := WriteFlat([]Document{d}, "", types)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		ds, err := ReadFlat(text, "", types, Limits{Bytes: 1 << 16, Segments: 100, IDocs: 5})
		survive(t, types, ds, err)
	})
}

// survive wants an error that a person can read, or documents of which each is known again when it is written.
func survive(t *testing.T, types Types, ds []Document, err error) {
	t.Helper()
	if err != nil {
		if problem.KindOf(err) != problem.Invalid {
			t.Errorf("got %v, want it refused as invalid", err)
		}
		return
	}
	for i := range ds {
		if _, err := ds[i].JSON(types, "UTC"); err != nil && problem.KindOf(err) != problem.Invalid {
			t.Errorf("JSON: got %v, want it refused as invalid", err)
		}
		text, err := WriteXML(ds[i : i+1])
		if err != nil {
			continue // a name or a character that XML cannot carry
		}
		again, err := ReadXML(text, types, Limits{Bytes: 1 << 20, Segments: 100, IDocs: 5})
		if err != nil || len(again) != 1 || again[0].Control["DOCNUM"] != ds[i].Control["DOCNUM"] {
			t.Errorf("written and read again: %v", err)
		}
	}
}

// TestFieldsStandWhereTheyArePublished: EDI_DC40 by the lengths that two integration products have of it, the time ticket by the positions that an
// MES maker's manual has (1 is the first).
func TestFieldsStandWhereTheyArePublished(t *testing.T) {
	lengths := map[string]int{
		"TABNAM": 10, "MANDT": 3, "DOCNUM": 16, "DOCREL": 4, "STATUS": 2, "DIRECT": 1, "OUTMOD": 1, "EXPRSS": 1, "TEST": 1, "IDOCTYP": 30, "CIMTYP": 30,
		"MESTYP": 30, "MESCOD": 3, "MESFCT": 3, "STD": 1, "STDVRS": 6, "STDMES": 6, "SNDPOR": 10, "SNDPRT": 2, "SNDPFC": 2, "SNDPRN": 10, "SNDSAD": 21,
		"SNDLAD": 70, "RCVPOR": 10, "RCVPRT": 2, "RCVPFC": 2, "RCVPRN": 10, "RCVSAD": 21, "RCVLAD": 70, "CREDAT": 8, "CRETIM": 6, "REFINT": 14, "REFGRP": 14,
		"REFMES": 14, "ARCKEY": 70, "SERIAL": 20,
	}
	at := 0
	for _, f := range controlFields() {
		if f.offset != at || f.length != lengths[f.name] {
			t.Errorf("%s stands at %d with %d characters, want %d with %d", f.name, f.offset, f.length, at, lengths[f.name])
		}
		at += f.length
	}
	if at != controlLength || len(controlFields()) != len(lengths) {
		t.Errorf("the control record has %d fields of %d characters", len(controlFields()), at)
	}
	ticket := Shipped()["PPCC2PRETTICKET01"].Segment("E1BP_PP_TIMETICKET")
	for name, place := range map[string][2]int{
		"CONF_NO": {1, 10}, "ORDERID": {11, 22}, "OPERATION": {29, 32}, "FIN_CONF": {43, 43}, "POSTG_DATE": {45, 52}, "CONF_TEXT": {57, 96}, "WORK_CNTR": {101, 108},
		"RECORDTYPE": {109, 111}, "YIELD": {118, 132}, "REWORK": {148, 162}, "CONF_ACTIVITY3": {213, 227}, "CONF_BUS_PROC1": {301, 315}, "EXEC_START_DATE": {317, 324},
		"EXEC_FIN_TIME": {395, 400}, "FORCAST_STD_VAL6": {506, 516}, "PERS_NO": {538, 545}, "BREAK_TIME": {576, 586}, "EX_CREATED_BY": {587, 598}, "EX_IDENT": {620, 651},
		"LOGDATE": {652, 659}, "LOGTIME": {660, 665},
	} {
		f := ticket.Field(name)
		if f == nil || f.Offset+1 != place[0] || f.Offset+f.Length != place[1] {
			t.Errorf("%s: got %+v, want it from %d to %d", name, f, place[0], place[1])
		}
	}
}
