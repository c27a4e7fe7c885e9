package dataset_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

func TestTheBuiltinPlantIsRealistic(t *testing.T) {
	s, err := dataset.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(s.Materials); got < 50 {
		t.Errorf("%d materials, want at least 50", got)
	}
	types, batches, alternative := map[string]int{}, 0, 0
	for _, m := range s.Materials {
		types[m.Type]++
		if m.BatchManaged {
			batches++
		}
		if len(m.Units) > 0 {
			alternative++
		}
	}
	for _, want := range []string{"finished", "semifinished", "raw", "packaging"} {
		if types[want] == 0 {
			t.Errorf("no material of type %s", want)
		}
	}
	if batches < 20 || alternative < 20 {
		t.Errorf("%d batch-managed materials and %d with other units, want 20 of each", batches, alternative)
	}
	for _, o := range s.Orders {
		if m := s.Material(o.Material); len(m.Routing) < 3 {
			t.Errorf("%s is made in %d operations, want several", m.Number, len(m.Routing))
		}
	}
}

func TestRequirementIsExactAndCoversScrap(t *testing.T) {
	bom := dataset.BOM{Base: decimal.MustParse("1000")}
	tests := []struct{ name, quantity, scrap, order, want string }{
		{"the base itself", "12.500", "0", "1000", "12.500"},
		{"a part of it", "1000", "0", "480", "480"},
		{"scrap is added", "1000", "1.5", "480", "487.2"},
		{"what does not end in grams is rounded up", "11.4", "2", "33", "0.384"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			item := dataset.Item{Quantity: decimal.MustParse(tt.quantity), ScrapPercent: decimal.MustParse(tt.scrap)}
			got, err := bom.Requirement(item, decimal.MustParse(tt.order))
			if err != nil || !got.Equal(decimal.MustParse(tt.want)) {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// TestMistakesAreToldWithFileAndLine breaks one cell of the built-in set at a time.
func TestMistakesAreToldWithFileAndLine(t *testing.T) {
	tests := []struct {
		name, file, old, new string
		want                 []string
	}{
		{"a component that is no material", "boms.csv", "0010,SF-2001,1000,LTR,0010", "0010,SF-2999,1000,LTR,0010", []string{"boms.csv:2: component", `"SF-2999"`}},
		{"a unit without a ratio", "boms.csv", "0010,SF-2001,1000,LTR", "0010,SF-2001,1000,GLL", []string{"boms.csv:2: unit", "GLL", "units.csv"}},
		{"an operation that is in no routing", "boms.csv", "1000,LTR,0010,0200", "1000,LTR,0015,0200", []string{"boms.csv:2: operation", "0015"}},
		{"a lost leading zero", "routings.csv", "FG-1001,0010", "FG-1001,10", []string{"routings.csv:2: operation", "leading zeros"}},
		{"a comma in a number", "materials.csv", ",1.080,KGM", ",\"1,080\",KGM", []string{"materials.csv:2: net_weight", "12.500"}},
		{"a quantity of nothing", "orders.csv", "FG-1001,40,BX", "FG-1001,0,BX", []string{"orders.csv:2: quantity", "not above zero"}},
		{"a cell too many", "units.csv", "FG-1001,BX,12,1", "FG-1001,BX,12,1,7", []string{"units.csv:2", "wrong number of fields"}},
		{"another first row", "units.csv", "material,unit", "material,einheit", []string{"units.csv:1", "name the columns"}},
		{"a material twice", "materials.csv", "FG-1002,Apple", "FG-1001,Apple", []string{"materials.csv:3: number", "already"}},
		{"a zone that is none", "plant.csv", "Europe/Berlin", "Europe/Krefeld", []string{"plant.csv:2: zone"}},
		{"an order of what is bought", "orders.csv", "FG-1001,40,BX", "PK-4001,40,PCE", []string{"orders.csv:2: material", "no routing"}},
		{"limits the wrong way round", "inspections.csv", "990,1015", "1015,990", []string{"inspections.csv:2: lower"}},
		{"a base that leaves no exact parts", "boms.csv", "FG-1001,1000,PCE,0010", "FG-1001,7,PCE,0010", []string{"boms.csv:2: base_quantity", "does not end"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := copyOf(t)
			text := string(files[tt.file].Data)
			if !strings.Contains(text, tt.old) {
				t.Fatalf("%s has no %q", tt.file, tt.old)
			}
			files[tt.file].Data = []byte(strings.Replace(text, tt.old, tt.new, 1))
			_, err := dataset.Load(files, "set")
			if err == nil {
				t.Fatal("the set was taken")
			}
			for _, want := range tt.want {
				if got := words(err); !strings.Contains(got, want) {
					t.Errorf("got %s, want it to name %q", got, want)
				}
			}
		})
	}
}

func TestAFileThatIsNotThereIsNamed(t *testing.T) {
	files := copyOf(t)
	delete(files, "lots.csv")
	if _, err := dataset.Load(files, "set"); err == nil || !strings.Contains(err.Error(), "set/lots.csv") {
		t.Errorf("got %v, want it to name lots.csv", err)
	}
}

// words is all that a person reads of an error, hints included.
func words(err error) string {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var b strings.Builder
		for _, e := range all.Unwrap() {
			b.WriteString(words(e))
		}
		return b.String()
	}
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Error() + " (" + p.Hint + ")\n"
	}
	return err.Error()
}

func copyOf(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("beverage"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(os.DirFS("beverage"), path)
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
