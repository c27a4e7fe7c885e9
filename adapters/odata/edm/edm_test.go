package edm_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"holdfast/adapters/odata/edm"
)

func load(t testing.TB, file string) *edm.Model {
	t.Helper()
	text, err := os.ReadFile("../testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := edm.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return m
}

func TestV2IsReadWithSAPsAnnotations(t *testing.T) {
	m := load(t, "confirmation-v2.xml")
	set := m.Sets["ProdnOrdConf2"]
	if m.Version != edm.V2 || set == nil || len(m.Warnings) > 0 {
		t.Fatalf("version %d, set %v, warnings %q", m.Version, set, m.Warnings)
	}
	if got, want := set.Of.Key, []string{"ConfirmationGroup", "ConfirmationCount"}; !slices.Equal(got, want) {
		t.Errorf("key %q, want %q", got, want)
	}
	yield, _ := set.Of.Field("ConfirmationYieldQuantity")
	if yield.Type != "Edm.Decimal" || yield.Precision != 13 || yield.Scale != 3 || yield.Unit != "ConfirmationUnit" || yield.Label == "" {
		t.Errorf("got %+v", yield)
	}
	text, _ := set.Of.Field("ConfirmationText")
	if text.MaxLength != 40 || !text.Nullable {
		t.Errorf("got %+v", text)
	}
	items, ok := set.Of.Link("to_ProdnOrdConfMatlDocItm")
	if !ok || !items.Many || items.Target != m.Sets["ProdnOrdConfMatlDocItm"].Of {
		t.Errorf("got %+v", items)
	}
	op := m.Operations["CancelProdnOrdConf"]
	if op == nil || op.Method != "POST" || len(op.Params) != 5 || op.Returns.Struct != set.Of {
		t.Errorf("got %+v", op)
	}
	if orders := load(t, "order-v2.xml").Sets["A_ProductionOrder_2"]; !orders.Versioned || !orders.NoCreate {
		t.Errorf("got %+v, want one with an ETag that cannot be created", orders)
	}
}

func TestV4IsReadWithItsVocabularies(t *testing.T) {
	m := load(t, "confirmation-v4.xml")
	set := m.Sets["Confirmation"]
	if m.Version != edm.V4 || set == nil || !set.Versioned || len(m.Warnings) > 0 {
		t.Fatalf("version %d, set %+v, warnings %q", m.Version, set, m.Warnings)
	}
	order, _ := set.Of.Field("OrderID")
	changed, _ := set.Of.Field("ChangedAt")
	if !order.Required || !changed.ReadOnly || order.Label != "Order ID" {
		t.Errorf("got %+v and %+v", order, changed)
	}
	if l, ok := set.Of.Link("_Items"); !ok || !l.Many || l.Target != m.Sets["ConfirmationItem"].Of {
		t.Errorf("got %+v", l)
	}
	if !m.Sets["ConfirmationItem"].NoCreate {
		t.Error("the restriction that stands apart was not seen")
	}
	cancel, open := m.Operations["com.example.plant.Cancel"], m.Operations["OpenQuantity"]
	if cancel == nil || cancel.Method != "POST" || cancel.Bound != set.Of || len(cancel.Params) != 2 || len(cancel.Params[1].Members) != 2 {
		t.Errorf("got %+v", cancel)
	}
	if open == nil || open.Method != "GET" || open.Returns.Type != "Edm.Decimal" || open.Returns.Scale != 3 {
		t.Errorf("got %+v", open)
	}
}

const v2Head = `<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices>
<Schema Namespace="N" Alias="A" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">
`

const v2Tail = "\n" + `<EntityContainer Name="C"><EntitySet Name="S" EntityType="N.T"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`

func TestOddDocuments(t *testing.T) {
	tests := []struct {
		name, text string
		line       int    // 0 means accepted
		why        string // of the refusal, or a part of a warning
	}{
		{"a prefix bound to two namespaces", `<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices>` +
			`<Schema Namespace="N" xmlns="http://schemas.microsoft.com/ado/2008/09/edm" xmlns:edmx="urn:other" edmx:odd="1"><EntityType Name="T"><Key><PropertyRef Name="I"/></Key>` +
			`<Property Name="I" Type="Edm.String"/></EntityType>` + v2Tail, 0, ""},
		{"an alias, a base type and a second schema", v2Head + `<EntityType Name="B"><Key><PropertyRef Name="I"/></Key><Property Name="I" Type="Edm.String"/></EntityType>
<EntityType Name="T" BaseType="A.B"><Property Name="X" Type="O.X"/></EntityType></Schema>
<Schema Namespace="O" xmlns="http://schemas.microsoft.com/ado/2009/11/edm"><ComplexType Name="X"><Property Name="Y" Type="Edm.Int32"/></ComplexType>` +
			`<EntityContainer Name="C"><EntitySet Name="S" EntityType="N.T"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`, 0, ""},
		{"a type that nobody knows", v2Head + `<EntityType Name="T"><Key><PropertyRef Name="I"/></Key><Property Name="I" Type="Edm.String"/><Property Name="G" Type="Edm.Strange"/></EntityType>` + v2Tail, 0, "Edm.Strange"},
		{"a link that leads nowhere", v2Head + `<EntityType Name="T"><Key><PropertyRef Name="I"/></Key><Property Name="I" Type="Edm.String"/><NavigationProperty Name="L" Relationship="N.R" ToRole="R"/></EntityType>` + v2Tail, 0, "leads to nothing"},
		{"a byte order mark", "\xef\xbb\xbf" + v2Head + `<EntityType Name="T"><Key><PropertyRef Name="I"/></Key><Property Name="I" Type="Edm.String"/></EntityType>` + v2Tail, 0, ""},
		{"nothing", "", 1, "no element"},
		{"a logon page", "<html><body>Log on</body></html>", 1, "no Edmx"},
		{"cut off", v2Head + "<EntityType Name=\"T\">\n<Property", 4, "EOF"},
		{"an unbound prefix", v2Head + "<EntityType Name=\"T\">\n" + `<Property Name="I" Type="Edm.String" sap:label="x"/></EntityType>` + v2Tail, 4, `"sap"`},
		{"a key that is no property", v2Head + `<EntityType Name="T"><Key><PropertyRef Name="J"/></Key><Property Name="I" Type="Edm.String"/></EntityType>` + v2Tail, 3, "none of its properties"},
		{"an undeclared type", v2Head + `<EntityType Name="T">` + "\n" + `<Property Name="I" Type="N.Missing"/></EntityType>` + v2Tail, 4, "not declared"},
		{"a property twice", v2Head + `<EntityType Name="T"><Property Name="I" Type="Edm.String"/>` + "\n" + `<Property Name="I" Type="Edm.String"/></EntityType>` + v2Tail, 4, "declared twice"},
		{"base types in a circle", v2Head + `<EntityType Name="T" BaseType="N.U"/><EntityType Name="U" BaseType="N.T"/>` + v2Tail, 3, "circle"},
		{"a length that is no number", v2Head + `<EntityType Name="T"><Property Name="I" Type="Edm.String" MaxLength="ten"/></EntityType>` + v2Tail, 3, "MaxLength"},
		{"a set of no type", v2Head + v2Tail, 4, "N.T"},
		{"a version from elsewhere", `<edmx:Edmx Version="9" xmlns:edmx="urn:x:y"/>`, 1, `"9"`},
		{"no end of depth", strings.Repeat("<a>", 100), 1, "deeper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := edm.Parse([]byte(tt.text))
			if tt.line == 0 {
				if err != nil || tt.why != "" && !strings.Contains(strings.Join(m.Warnings, "\n"), tt.why) {
					t.Errorf("got %v, warnings %v, want one with %q", err, m, tt.why)
				}
				return
			}
			var e *edm.Error
			if !errors.As(err, &e) || e.Line != tt.line || !strings.Contains(e.Why, tt.why) {
				t.Errorf("got %v, want line %d: …%s…", err, tt.line, tt.why)
			}
		})
	}
}

// large is a $metadata of at least size bytes, of as many types as it takes.
func large(t testing.TB, file string, size int) []byte {
	t.Helper()
	text, err := os.ReadFile("../testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := bytes.Index(text, []byte("<EntityType")), bytes.LastIndex(text, []byte("</EntityType>"))+len("</EntityType>")
	types := string(text[begin:end])
	var b bytes.Buffer
	b.Write(text[:end])
	for i := 0; b.Len() < size; i++ {
		mark := fmt.Sprintf(`<EntityType Name="X%d`, i)
		b.WriteString("\n" + strings.ReplaceAll(types, `<EntityType Name="`, mark))
	}
	b.Write(text[end:])
	return b.Bytes()
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml", "order-v2.xml"} {
		text, err := os.ReadFile("../testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(v2Head + v2Tail))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := edm.Parse(text)
		if err != nil {
			var e *edm.Error
			if !errors.As(err, &e) || e.Line < 1 || e.Why == "" {
				t.Errorf("a refusal without line or reason: %v", err)
			}
			return
		}
		for name, s := range m.Sets {
			if s.Of == nil || name == "" {
				t.Errorf("a set %q without a type", name)
			}
			for _, k := range s.Of.Key {
				if _, ok := s.Of.Field(k); !ok {
					t.Errorf("a key %q that is no field of %s", k, s.Of.Name)
				}
			}
		}
	})
}
