package odata

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata/edm"
	"holdfast/internal/message"
)

// typed makes a value of a type that a field takes, at its limits now and then. digits bounds those of decimals: the database of the CAP server
// keeps these as binary numbers of 53 bits, and whole numbers in all of their 64.
func typed(r *rand.Rand, f *edm.Field, v edm.Version, digits int) any {
	switch {
	case f.Many:
		one, list := *f, []any{}
		one.Many = false
		for range r.IntN(5) {
			list = append(list, typed(r, &one, v, digits))
		}
		return list
	case len(f.Members) > 0:
		return named(r, f)
	}
	switch f.Type {
	case "Edm.String":
		return text(r, max(min(f.MaxLength, 200), 1))
	case "Edm.Boolean":
		return r.IntN(2) == 0
	case "Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32":
		return whole32(r, f.Type)
	case "Edm.Int64":
		return wide(r)
	case "Edm.Decimal":
		return decimalOf(r, min(f.Precision, digits), f.Scale)
	case "Edm.Double", "Edm.Single":
		return json.Number(strconv.FormatFloat(float64(r.IntN(1<<20)-1<<19)/64, 'g', -1, 64))
	case "Edm.Guid":
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(r.Uint64()))).String()
	case "Edm.Binary":
		b := make([]byte, 1+r.IntN(max(min(f.MaxLength, 200), 1)))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return base64.StdEncoding.EncodeToString(b)
	case "Edm.Duration":
		return fmt.Sprintf("P%dDT%dH%dM%d.%dS", r.IntN(100), r.IntN(24), r.IntN(60), r.IntN(60), 1+r.IntN(9))
	}
	return timed(r, f, v == edm.V4 && digits > 15)
}

// timed makes a date, a time or a moment: in milliseconds, as V2 and the CAP server have them, or in as many digits as the field takes.
func timed(r *rand.Rand, f *edm.Field, fine bool) any {
	t := time.Unix(r.Int64N(200_000_000_000)-12_000_000_000, 0).UTC() // 1589 to 8300
	switch r.IntN(8) {
	case 0:
		t = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC) // Europe's clocks change
	case 1:
		t = time.Date(9999, 12, 30, 23, 59, 59, 0, time.UTC)
	case 2:
		t = time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC)
	}
	if f.Precision >= 3 {
		t = t.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
	}
	if fine && f.Precision >= 7 {
		t = t.Add(time.Duration(r.IntN(10_000)) * 100)
	}
	switch f.Type {
	case "Edm.Date":
		return t.Format(time.DateOnly)
	case "Edm.DateTime":
		if f.DateOnly {
			return t.Format("2006-01-02T00:00:00")
		}
		return t.Format("2006-01-02T15:04:05.999999999")
	case "Edm.Time", "Edm.TimeOfDay":
		return t.Format("15:04:05.999999999")
	}
	if r.IntN(2) == 0 {
		t = t.In(time.FixedZone("", (r.IntN(27*4)-12*4)*15*60))
	}
	return t.Format(time.RFC3339Nano)
}

// named is a name of an enumeration, or several of flags.
func named(r *rand.Rand, f *edm.Field) string {
	all := f.Members[r.IntN(len(f.Members))].Name
	if strings.HasPrefix(f.Members[0].Name, "May") { // flags
		all = f.Members[0].Name
		for _, m := range f.Members[1:] {
			if r.IntN(2) == 0 {
				all += "," + m.Name
			}
		}
	}
	return all
}

func text(r *rand.Rand, most int) string {
	const alphabet = "aZ0 '\"\\/%?#&+=<>(){}[];:,.-_~`^\tÄß☃𝄞é日"
	letters := []rune(alphabet)
	var b strings.Builder
	for range 1 + r.IntN(most) {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

func whole32(r *rand.Rand, typ string) any {
	limits := map[string][2]int64{"Edm.Byte": {0, 255}, "Edm.SByte": {-128, 127}, "Edm.Int16": {-32768, 32767}, "Edm.Int32": {-1 << 31, 1<<31 - 1}}
	l := limits[typ]
	n := l[0] + r.Int64N(l[1]-l[0]+1)
	if r.IntN(4) == 0 {
		n = l[r.IntN(2)]
	}
	return json.Number(strconv.FormatInt(n, 10))
}

func wide(r *rand.Rand) string {
	n := r.Int64N(math.MaxInt64)
	if r.IntN(4) == 0 {
		n = math.MaxInt64
	}
	if r.IntN(2) == 0 {
		n = -n
	}
	return strconv.FormatInt(n, 10)
}

// decimalOf makes a number of so many digits, all of its places written out.
func decimalOf(r *rand.Rand, precision, scale int) string {
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(byte('0' + r.IntN(10)))
		}
		return b.String()
	}
	before := 1 + r.IntN(max(precision-scale, 1))
	s := fmt.Sprint(1+r.IntN(9)) + digits(before-1)
	if scale > 0 {
		places := min(scale, max(precision-before, 0))
		s += "." + digits(places) + strings.Repeat("0", scale-places)
	}
	if r.IntN(2) == 0 {
		return "-" + s
	}
	return s
}

// keeps writes entities of random values of every type that a set has, and reads each back by its key: the same texts, digits and moments, and
// with zones the same zones.
func keeps(t *testing.T, l *Link, n, digits int, zones bool) {
	t.Helper()
	c, err := l.Service("conf")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Model(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	set := m.Sets["Values"]
	for range n {
		doc := map[string]any{}
		for _, f := range set.Of.Fields {
			doc[f.Name] = typed(r, f, m.Version, digits)
		}
		body, _ := json.Marshal(doc) // values that have a form
		d := capDelivery(t, uuid.NewString(), "", "")
		d.Doc.Target, d.Doc.Body = "conf/Values", body
		if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
			t.Fatalf("%v\n%s", out, body)
		}
		got, err := c.Get(t.Context(), "Values", map[string]any{"ID": doc["ID"]})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range set.Of.Fields {
			if !same(f, doc[f.Name], got.Values[f.Name], zones) {
				t.Errorf("%s %s: %v became %v", f.Type, f.Name, doc[f.Name], got.Values[f.Name])
			}
		}
	}
}

// same tells whether two plain values are one, letter for letter. Without zones a moment is told in UTC: in V2, where who reads /Date(ms+0120)/ may
// take the number for a local time, the link sends no other, and SAP and CAP keep no other.
func same(f *edm.Field, sent, got any, zones bool) bool {
	if list, ok := sent.([]any); ok {
		one := *f
		one.Many = false
		return slices.EqualFunc(list, got.([]any), func(a, b any) bool { return same(&one, a, b, zones) })
	}
	if f.Type == "Edm.DateTimeOffset" && !zones {
		t, err := time.Parse(time.RFC3339Nano, str(sent))
		return err == nil && got == t.UTC().Format(time.RFC3339Nano)
	}
	if n, ok := sent.(json.Number); ok && f.Type == "Edm.Double" {
		a, _ := n.Float64()
		g, isNumber := got.(json.Number)
		b, err := g.Float64()
		return isNumber && err == nil && a == b
	}
	return sent == got
}

// TestCAPKeepsEveryType: random values of each type that CDS has, in both versions.
func TestCAPKeepsEveryType(t *testing.T) {
	for _, service := range []Service{{Path: "/sap/opu/odata/sap/TYPES"}, {Path: "/odata/v4/types", IEEE754: true}} {
		t.Run(service.Path, func(t *testing.T) {
			w := adaptertest.OpenCAP(t, "104", service.Path)
			keeps(t, open(t, Config{BaseURL: w.URL, Client: w.Client, Services: map[string]Service{"conf": service}, Timeout: patient}), 25, 15, false)
		})
	}
}

// TestTheMockKeepsEveryType, with all digits, and those types that CDS does not have.
func TestTheMockKeepsEveryType(t *testing.T) {
	for _, v := range []edm.Version{edm.V2, edm.V4} {
		for _, ieee := range []bool{false, v == edm.V4} {
			t.Run(fmt.Sprintf("V%d, IEEE754 %t", v, ieee), func(t *testing.T) {
				_, s := edmx.Start(t, typesMetadata(v), edmx.Config{Root: "/srv"})
				keeps(t, open(t, Config{BaseURL: s.URL, Services: map[string]Service{"conf": {Path: "/srv", IEEE754: ieee}}, Timeout: patient}), 100, 34, v == edm.V4)
			})
		}
	}
}

// typesMetadata is a service with a field of each type.
func typesMetadata(v edm.Version) []byte {
	types := []string{
		"String MaxLength='5000'", "Boolean", "Byte", "SByte", "Int16", "Int32", "Int64", "Decimal Precision='13' Scale='3'", "Decimal Precision='31' Scale='14'",
		"Decimal Precision='15' Scale='0'", "Double", "Single", "Guid", "Binary MaxLength='200'", "DateTimeOffset",
	}
	enums := ""
	head := `<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices><Schema Namespace="S" xmlns="http://docs.oasis-open.org/odata/ns/edm">`
	if v == edm.V2 {
		head = `<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" xmlns:sap="http://www.sap.com/Protocols/SAPData" xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">` +
			`<edmx:DataServices m:DataServiceVersion="2.0"><Schema Namespace="S" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">`
		types = append(types, "DateTime", "DateTime Precision='3'", "DateTime sap:display-format='Date'", "Time", "Time Precision='3'", "DateTimeOffset Precision='3'")
	} else {
		types = append(types, "Date", "TimeOfDay", "TimeOfDay Precision='7'", "Duration", "DateTimeOffset Precision='7'", "S.Colour", "S.Rights")
		for _, of := range []string{"Edm.String", "Edm.Int64", "Edm.Decimal", "Edm.Int32", "Edm.Boolean", "Edm.Double", "Edm.DateTimeOffset", "Edm.Date", "S.Colour"} {
			types = append(types, "Collection("+of+") Precision='13' Scale='3'")
		}
		enums = `<EnumType Name="Colour"><Member Name="red"/><Member Name="blue"/></EnumType>` +
			`<EnumType Name="Rights" IsFlags="true"><Member Name="MayRead" Value="1"/><Member Name="MayWrite" Value="2"/><Member Name="MaySell" Value="4"/></EnumType>`
	}
	var b strings.Builder
	b.WriteString(head + enums + `<EntityType Name="Value"><Key><PropertyRef Name="ID"/></Key><Property Name="ID" Type="Edm.Guid" Nullable="false"/>`)
	for i, typ := range types {
		name, facets, _ := strings.Cut(typ, " ")
		if !strings.Contains(name, ".") {
			name = "Edm." + name
		}
		fmt.Fprintf(&b, `<Property Name="F%d" Type="%s" %s/>`, i, name, facets)
	}
	b.WriteString(`</EntityType><EntityContainer Name="C" ><EntitySet Name="Values" EntityType="S.Value"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`)
	return []byte(b.String())
}

// TestFlagsAreSeveralNames: of an enumeration whose members are flags, several together, or their sum, are one value; and nothing else is.
func TestFlagsAreSeveralNames(t *testing.T) {
	m, err := edm.Parse(typesMetadata(edm.V4))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{
		"MayRead": true, "MayRead,MaySell": true, "MayRead, MaySell": true, "5": true, "7": true, "8": false, "MayRead,MayFly": false, "": false, ",": false, "-1": false, "0": false,
	} {
		for _, f := range m.Sets["Values"].Of.Fields {
			if len(f.Members) != 3 {
				continue
			}
			if _, err := f.Wire(value, edm.Wire{Version: edm.V4}); (err == nil) != want {
				t.Errorf("%q: %v, want it taken: %t", value, err, want)
			}
		}
	}
}

// TestEveryTypeIsKeptInEveryZone in which the process can run: a calendar date stays that date, and a moment its instant.
func TestEveryTypeIsKeptInEveryZone(t *testing.T) {
	adaptertest.InZones(t, "TestTheMockKeepsEveryType")
}
