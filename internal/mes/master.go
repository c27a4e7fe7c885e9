package mes

import (
	"holdfast/internal/decimal"
)

// Material is the plant's copy of a material master (ISA-95 part 2: material definition). It is the body of material.changed.
type Material struct {
	Number        string          `json:"number"`
	Description   string          `json:"description"`
	Type          string          `json:"type,omitempty"` // finished, semifinished, raw, packaging, operating
	BaseUnit      string          `json:"baseUnit"`
	Units         []UnitRatio     `json:"units,omitempty"`
	BatchManaged  bool            `json:"batchManaged"`
	Serialised    bool            `json:"serialised"`
	ShelfLifeDays int             `json:"shelfLifeDays,omitempty"`
	NetWeight     decimal.Decimal `json:"netWeight,omitzero"`
	WeightUnit    string          `json:"weightUnit,omitempty"`
	ERPVersion    string          `json:"erpVersion,omitempty"` // version or change time in the ERP
}

// UnitRatio says that Denominator of Unit are Numerator of the material's base unit: for a box of 12 pieces 12 and 1.
type UnitRatio struct {
	Unit        string          `json:"unit"`
	Numerator   decimal.Decimal `json:"numerator"`
	Denominator decimal.Decimal `json:"denominator"`
}

// Unit is a unit of measure (UN/CEFACT Recommendation 20, or the ERP's own code). Denominator of it are Numerator of the
// dimension's reference unit. It is the body of unit.changed.
type Unit struct {
	Code        string          `json:"code"`
	Description string          `json:"description,omitempty"`
	Dimension   string          `json:"dimension"` // mass, volume, length, area, time, count …
	Numerator   decimal.Decimal `json:"numerator"`
	Denominator decimal.Decimal `json:"denominator"`
}

// WorkCentre is a place where operations are done (ISA-95 part 1: work centre). It is the body of workcentre.changed.
type WorkCentre struct {
	Number              string          `json:"number"`
	Plant               string          `json:"plant"`
	Description         string          `json:"description"`
	Category            string          `json:"category,omitempty"` // machine, line, manual, inspection
	CostCentre          string          `json:"costCentre,omitempty"`
	CapacityHoursPerDay decimal.Decimal `json:"capacityHoursPerDay,omitzero"`
	ERPVersion          string          `json:"erpVersion,omitempty"`
}

// BOM is a bill of material: what BaseQuantity of Material takes. It is the body of bom.changed.
type BOM struct {
	Number       string          `json:"number,omitempty"`
	Material     string          `json:"material"`
	Plant        string          `json:"plant"`
	BaseQuantity decimal.Decimal `json:"baseQuantity"`
	Unit         string          `json:"unit"`
	ValidFrom    string          `json:"validFrom,omitempty"` // a day, "2026-01-01"; empty is from ever
	Items        []BOMItem       `json:"items"`
	ERPVersion   string          `json:"erpVersion,omitempty"`
}

// BOMItem is one material that a BOM takes.
type BOMItem struct {
	Item            string          `json:"item"`
	Material        string          `json:"material"`
	Quantity        decimal.Decimal `json:"quantity"` // for BaseQuantity of the BOM
	Unit            string          `json:"unit"`
	Operation       string          `json:"operation,omitempty"`
	StorageLocation string          `json:"storageLocation,omitempty"`
	BatchManaged    bool            `json:"batchManaged"`
	Backflush       bool            `json:"backflush"`
	ScrapPercent    decimal.Decimal `json:"scrapPercent,omitzero"` // added to Quantity
}

// Routing is how a material is made. It is the body of routing.changed.
type Routing struct {
	Number      string             `json:"number,omitempty"`
	Material    string             `json:"material"`
	Plant       string             `json:"plant"`
	Description string             `json:"description,omitempty"`
	ValidFrom   string             `json:"validFrom,omitempty"` // as that of a BOM
	Operations  []PlannedOperation `json:"operations"`
	ERPVersion  string             `json:"erpVersion,omitempty"`
}

// PlannedOperation is an Operation before anything is confirmed.
type PlannedOperation struct {
	Number       string          `json:"number"`
	Description  string          `json:"description,omitempty"`
	WorkCentre   string          `json:"workCentre"`
	Control      ControlKey      `json:"controlKey,omitempty"` // default: confirm
	BaseQuantity decimal.Decimal `json:"baseQuantity,omitzero"`
	SetupTime    decimal.Decimal `json:"setupTime,omitzero"`
	MachineTime  decimal.Decimal `json:"machineTime,omitzero"`
	LabourTime   decimal.Decimal `json:"labourTime,omitzero"`
	TimeUnit     string          `json:"timeUnit,omitempty"`
}
