// Package dataset is a plant's master data and orders as files that a person can edit in a spreadsheet.
//
// # Guarantees
//
//   - A set that loads is whole: every material, work centre, operation and unit that a row names is there, and every unit that is
//     used for a material converts into the material's base unit.
//   - Each mistake is told with file and line, all at once.
//   - Quantities are exact decimals.
//
// # Files
//
// A set is a folder of CSV files (RFC 4180, UTF-8, the first row names the columns): plant, materials, units, work_centres,
// routings, boms, orders, lots and inspections. The built-in one, a bottling plant, is in beverage/ and shows each column.
package dataset

import (
	"embed"
	"io/fs"
	"os"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

//go:embed beverage/*.csv
var beverage embed.FS

// Set is a plant's master data with what it makes.
type Set struct {
	Plant       Plant
	Materials   []Material
	WorkCentres []WorkCentre
	Orders      []Order // what is made, again and again
}

// Plant is where it all happens.
type Plant struct{ Number, Name, Zone string }

// Material is one material with everything that belongs to it. BOM and Routing are empty for what is bought.
type Material struct {
	Number, Description, Type, BaseUnit string
	BatchManaged                        bool
	ShelfLifeDays                       int
	NetWeight                           decimal.Decimal // of one BaseUnit; 0 if unknown
	WeightUnit                          string
	Units                               []Unit
	BOM                                 BOM
	Routing                             []Operation
	Lots                                []Lot // in stock
	Inspections                         []Inspection
}

// Unit says that Denominator of it are Numerator of the material's base unit.
type Unit struct {
	Code                   string
	Numerator, Denominator decimal.Decimal
}

// BOM is what Base of the material, in its base unit, takes.
type BOM struct {
	Base  decimal.Decimal
	Items []Item
}

// Item is one component of a BOM.
type Item struct {
	Item, Component, Unit, Operation, Location string
	Quantity                                   decimal.Decimal
	ScrapPercent                               decimal.Decimal // added to Quantity
}

// Operation is one step of a routing.
type Operation struct {
	Number, Description, WorkCentre, Control, TimeUnit string
	Base, Setup, Machine, Labour                       decimal.Decimal // times are for Base of the material's base unit
}

// WorkCentre is a place where operations are done.
type WorkCentre struct {
	Number, Description, Category, CostCentre string
	Capacity                                  decimal.Decimal // hours a day
}

// Lot is a batch in stock.
type Lot struct{ Batch, SupplierBatch string }

// Inspection is a characteristic that is measured at an operation.
type Inspection struct {
	Operation, Characteristic, Unit string
	Lower, Upper                    decimal.Decimal
}

// Order is a quantity of a material to make.
type Order struct {
	Material, Unit, Location string
	Quantity                 decimal.Decimal
	Priority                 int // 0 to 9
}

// Builtin is the bottling plant that comes with the program.
func Builtin() (*Set, error) {
	sub, err := fs.Sub(beverage, "beverage")
	if err != nil {
		return nil, err
	}
	return Load(sub, "builtin:beverage")
}

// LoadDir reads the set in a folder.
func LoadDir(dir string) (*Set, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "read the data set " + dir, Why: "there is no such folder",
			Hint: "copy cmd/holdfast/dataset/beverage and change its files",
		}
	}
	return Load(os.DirFS(dir), dir)
}

// Material finds a material by its number; nil if there is none.
func (s *Set) Material(number string) *Material {
	for i := range s.Materials {
		if s.Materials[i].Number == number {
			return &s.Materials[i]
		}
	}
	return nil
}

// ToBase is q of a unit in the material's base unit; false if the material does not know the unit or the result is not exact.
func (m *Material) ToBase(q decimal.Decimal, unit string) (decimal.Decimal, bool) {
	if unit == m.BaseUnit {
		return q, true
	}
	for _, u := range m.Units {
		if u.Code == unit {
			out, err := q.Ratio(u.Numerator, u.Denominator)
			return out, err == nil
		}
	}
	return decimal.Decimal{}, false
}

// FromBase is q of the material's base unit in another unit, as ToBase.
func (m *Material) FromBase(q decimal.Decimal, unit string) (decimal.Decimal, bool) {
	if unit == m.BaseUnit {
		return q, true
	}
	for _, u := range m.Units {
		if u.Code == unit {
			out, err := q.Ratio(u.Denominator, u.Numerator)
			return out, err == nil
		}
	}
	return decimal.Decimal{}, false
}

// Requirement is what an order of quantity (in the base unit) takes of an item, scrap included, rounded up to grams and
// millilitres as an ERP plans it.
func (b BOM) Requirement(i Item, quantity decimal.Decimal) (decimal.Decimal, error) {
	hundred := decimal.FromInt(100)
	total, err := i.Quantity.Mul(quantity)
	if err != nil {
		return decimal.Decimal{}, err
	}
	if total, err = total.Mul(hundred.Add(i.ScrapPercent)); err != nil {
		return decimal.Decimal{}, err
	}
	base, err := b.Base.Mul(hundred)
	if err != nil {
		return decimal.Decimal{}, err
	}
	out, err := total.Ratio(decimal.FromInt(1), base)
	if err != nil || out.Scale() <= 3 {
		return out, err
	}
	return out.Round(3, decimal.Up)
}
