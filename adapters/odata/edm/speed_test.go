package edm_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"runtime"
	"testing"

	"holdfast/adapters/odata/edm"
)

// TestFiveMegabytesAreReadWithLittleWork counts what reading costs, and not the time, which a busy machine decides: at most half of the
// allocations that encoding/xml needs to walk through the same tokens and keep none, ten bytes for each of the text, and twice as much for twice
// the size. The time is printed by make bench ROWS=metadata, against 300 ms and against the bare tokens.
func TestFiveMegabytesAreReadWithLittleWork(t *testing.T) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml"} {
		half, whole := large(t, file, 5<<19), large(t, file, 5<<20)
		few, _ := cost(t, half)
		all, weight := cost(t, whole)
		walk := testing.AllocsPerRun(1, func() {
			for d := xml.NewDecoder(bytes.NewReader(whole)); ; {
				if _, err := d.Token(); err != nil {
					return
				}
			}
		})
		t.Logf("%s: %d bytes in %d allocations of %d bytes; %d of half the size, %.0f of encoding/xml", file, len(whole), all, weight, few, walk)
		if float64(all) > walk/2 || weight > uint64(10*len(whole)) || float64(all) > 2.1*float64(few) {
			t.Errorf("%s: reading %d bytes costs more than it may", file, len(whole))
		}
	}
}

// TestSixtyLevelsOfBaseTypesAreReadWithLittleWork: a type takes over what it inherits, and does not index it anew, which took 58 bytes for each of the
// text.
func TestSixtyLevelsOfBaseTypesAreReadWithLittleWork(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices><Schema Namespace="N" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="T0"><Key><PropertyRef Name="K"/></Key><Property Name="K" Type="Edm.String" Nullable="false"/></EntityType>`)
	for level := 1; level <= 60; level++ {
		fmt.Fprintf(&b, `<EntityType Name="T%d" BaseType="N.T%d">`, level, level-1)
		for i := range 700 {
			fmt.Fprintf(&b, `<Property Name="Level%dProperty%d" Type="Edm.Decimal" Precision="13" Scale="3" Nullable="true"/>`, level, i)
		}
		b.WriteString("</EntityType>\n")
	}
	b.WriteString(`<EntityContainer Name="C"><EntitySet Name="S" EntityType="N.T60"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`)
	text := b.Bytes()
	allocations, weight := cost(t, text)
	t.Logf("%d bytes in %d allocations of %d bytes", len(text), allocations, weight)
	if weight > uint64(22*len(text)) { // the race detector adds a little
		t.Errorf("reading %d bytes costs %d", len(text), weight)
	}
	m, err := edm.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	of := m.Sets["S"].Of
	for _, name := range []string{"K", "Level1Property0", "Level60Property699"} {
		if _, ok := of.Field(name); !ok {
			t.Errorf("%s is not there", name)
		}
	}
	if len(of.Fields) != 60*700+1 || of.Fields[0].Name != "K" || of.Fields[1].Name != "Level1Property0" {
		t.Errorf("%d fields, the first %s", len(of.Fields), of.Fields[0].Name)
	}
}

// cost is what reading a document allocates: how often, and how many bytes.
func cost(t *testing.T, text []byte) (allocations, weight uint64) {
	t.Helper()
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	if _, err := edm.Parse(text); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&to)
	return to.Mallocs - from.Mallocs, to.TotalAlloc - from.TotalAlloc
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml"} {
		b.Run(file, func(b *testing.B) {
			text := large(b, file, 5<<20)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := edm.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
