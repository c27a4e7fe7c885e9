// Package sap speaks with SAP S/4HANA: its OData services, of which it knows the names, and in which fields each keeps the ID of a
// message. What a document is made of stands in mapping files (sap-out, sap-in); what an answer means, in package odata.
//
// # Guarantees
//
//   - All that package odata promises. In particular: one document for one message, though SAP has no idempotency. An unknown outcome is
//     settled by asking for the message's ID, or for what only this message can have brought about, before anything is sent again.
//   - What a configuration says of a service, a write or a poll replaces what this package knows of it. Nothing is called that a
//     mapping, a route or a poll does not name.
//   - A confirmation that SAP took without all of its goods movements, those that it carried or those that SAP makes itself (backflush), is
//     reported: in its receipt, and in the log. SAP keeps such movements for a person (COGI), and says so in no answer.
//   - A receipt of an order for which SAP books receipts itself (Config.AutomaticReceipt) is not sent: it is delivered with SAP's own document.
//   - Dates and times of a document that comes in have the plant's zone beside them: SAP's have none.
//
// What S/4HANA's services are called, and what they hold, was learned from published facts; docs/sap-guide.md names what no system has
// shown yet.
package sap

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/adapters/odata"
	"holdfast/internal/problem"
)

//go:embed metadata/*.xml
var metadata embed.FS

// Metadata are $metadata documents of our own writing, one for each service: what tests, the demo and a first mapping go by until there is
// a system.
func Metadata() fs.FS {
	sub, err := fs.Sub(metadata, "metadata")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}

// Config is one link of kind sap. Its keys are those of a link of kind odata, of which services, writes and polls are filled in.
type Config struct {
	odata.Config `yaml:",inline"`
	// Plant is the plant's number in SAP, and Zone the time zone of its dates; both are those of the configuration's plant.
	Plant string `yaml:"plant,omitempty"`
	Zone  string `yaml:"zone,omitempty"`
	// MovementID is the field of a material document that carries the message's ID: ReferenceDocument (16 characters, the default) or
	// MaterialDocumentHeaderText (25). It must not be changed while a message is unknown.
	MovementID string `yaml:"movement_id,omitempty"`
	// AutomaticReceipt are the control keys by which SAP books the receipt itself with the confirmation of an operation (transaction OPK4);
	// "*" stands for every order. Receipts of orders that have one are not sent. Empty says that there are none; nil, that nobody has said so.
	AutomaticReceipt []string `yaml:"automatic_receipt,omitempty"`
	// Every is how often changed orders are asked for, 5 s; MasterEvery how often master data are read, 1 h.
	Every       time.Duration `yaml:"every,omitempty"`
	MasterEvery time.Duration `yaml:"master_every,omitempty"`
	// Read are the polls that run: orders, materials, work-centres, bills-of-material, routings. By default orders alone; what polls names
	// runs besides.
	Read []string `yaml:"read,omitempty"`
}

// The services that mappings name.
const (
	Orders        = "orders"
	Confirmations = "confirmations"
	Movements     = "movements"
	Batches       = "batches"
	Products      = "products"
	BOMs          = "boms"
	Routings      = "routings"
	WorkCenters   = "work-centers"
	Stock         = "stock"
	Inspections   = "inspections"
)

// services are where S/4HANA has them.
func services() map[string]odata.Service {
	const root = "/sap/opu/odata/sap/"
	return map[string]odata.Service{
		Orders:        {Path: root + "API_PRODUCTION_ORDER_2_SRV"},
		Confirmations: {Path: root + "API_PROD_ORDER_CONFIRMATION_2_SRV"},
		Movements:     {Path: root + "API_MATERIAL_DOCUMENT_SRV"},
		Batches:       {Path: root + "API_BATCH_SRV"},
		Products:      {Path: root + "API_PRODUCT_SRV"},
		BOMs:          {Path: root + "API_BILL_OF_MATERIAL_SRV;v=0002"},
		Routings:      {Path: root + "API_PRODUCTION_ROUTING"},
		WorkCenters:   {Path: root + "API_WORK_CENTERS"},
		Stock:         {Path: root + "API_MATERIAL_STOCK_SRV", Optional: true}, // reconciliation alone needs it
		Inspections:   {Path: root + "API_INSPECTIONLOT_SRV", Optional: true},  // inspection results alone need it
	}
}

// confirmation is the target whose goods movements are read back.
const confirmation = Confirmations + "/ProdnOrdConf2"

// reversal is the target of which all items must be found.
const reversal = Movements + "/Cancel"

// writes say in which field each document keeps the message's ID, or by what its effect is known.
func writes(movementID string) map[string]odata.Write {
	document := []string{"MaterialDocument", "MaterialDocumentYear"}
	return map[string]odata.Write{
		confirmation:                            {ID: "ExternalSystemConfirmation", Kind: "confirmation"},
		Confirmations + "/CancelProdnOrdConf":   {ID: "ExternalSystemConfirmation", Kind: "reversal"},
		Movements + "/A_MaterialDocumentHeader": {ID: movementID, Number: document, Kind: "material document"},
		// A document can be reversed once; whoever did it, it is done.
		reversal: {
			AskSet: "A_MaterialDocumentItem", Number: document, Kind: "reversal",
			AskFields: map[string]string{"ReversedMaterialDocument": "MaterialDocument", "ReversedMaterialDocumentYear": "MaterialDocumentYear"},
		},
		// The plant's own number of an order or a lot is unique, and people know it.
		Orders + "/A_ProductionOrder_2": {
			Kind: "order", AskFields: map[string]string{"UnloadingPointName": "UnloadingPointName", "ProductionPlant": "ProductionPlant"},
		},
		Batches + "/Batch": {
			Kind: "batch", Number: []string{"Batch"}, AskFields: map[string]string{"BatchBySupplier": "BatchBySupplier", "Material": "Material"},
		},
		// The place for remarks on test equipment: the only free text of a result that is as long as an ID.
		inspection:                {ID: "InspRsltFreeDefinedTestEquip", Kind: "inspection result"},
		Batches + "/Batch/change": {Kind: "batch", Number: []string{"Batch"}, Idempotent: true},
		Orders + "/TechlyCmpltOrder": {
			Kind: "order", AskSet: "A_ProductionOrder_2", AskFields: map[string]string{"ManufacturingOrder": "ManufacturingOrder"},
			AskValues: map[string]string{"OrderIsTechnicallyCompleted": "X"},
		},
	}
}

// polls are what can be asked for, by the name that Config.Read has.
func (c Config) polls() map[string]odata.PollConfig {
	every, slow := cmp.Or(c.Every, 5*time.Second), cmp.Or(c.MasterEvery, time.Hour)
	source := "urn:sap:" + cmp.Or(c.Client, "000")
	return map[string]odata.PollConfig{
		"orders": {
			Set: Orders + "/A_ProductionOrder_2", Watermark: "LastChangeDateTime", Every: every, Equal: map[string]string{"ProductionPlant": c.Plant},
			Expand: []string{"to_ProductionOrderOperation", "to_ProductionOrderComponent"}, Source: source, Kind: "sap.production-order",
			Mapping: "sap-in/production-order", Key: "ManufacturingOrder",
		},
		"materials": {
			Set: Products + "/A_Product", Whole: true, Every: slow, Expand: []string{"to_Description", "to_ProductUnitsOfMeasure"},
			Source: source, Kind: "sap.product", Mapping: "sap-in/material", Key: "Product",
		},
		"work-centres": {
			Set: WorkCenters + "/A_WorkCenters", Whole: true, Every: slow, Equal: map[string]string{"Plant": c.Plant},
			Source: source, Kind: "sap.work-center", Mapping: "sap-in/work-centre", Key: "WorkCenter",
		},
		"bills-of-material": {
			Set: BOMs + "/MaterialBOM", Whole: true, Every: slow, Equal: map[string]string{"Plant": c.Plant}, Expand: []string{"to_BillOfMaterialItem"},
			Source: source, Kind: "sap.bill-of-material", Mapping: "sap-in/bill-of-material", Key: "BillOfMaterial",
		},
		"routings": {
			Set: Routings + "/ProductionRoutingHeader", Whole: true, Every: slow, Equal: map[string]string{"Plant": c.Plant},
			Expand: []string{"to_MatlAssgmt", "to_Sequence/to_Operation"}, Source: source, Kind: "sap.routing", Mapping: "sap-in/routing",
			Key: "ProductionRoutingGroup",
		},
	}
}

// Reads are the names that Config.Read may have, in order.
func Reads() []string { return slices.Sorted(maps.Keys(Config{}.polls())) }

// Complete fills in what the configuration leaves to this package. What it says itself stays.
func (c Config) Complete() (Config, error) {
	c.MovementID = cmp.Or(c.MovementID, "ReferenceDocument")
	if c.Read == nil {
		c.Read = []string{"orders"}
	}
	c.Language = cmp.Or(c.Language, "EN") // texts tell a lock where no code does
	c.SAP = true
	c.Services = over(services(), c.Services)
	c.Writes = over(writes(c.MovementID), c.Writes)
	known, own := c.polls(), slices.Clone(c.Polls)
	for i, name := range c.Read {
		p, ok := known[name]
		if !ok {
			return c, wrong(fmt.Sprintf("read[%d]", i), fmt.Sprintf("%q is nothing that can be read", name), "use some of: "+fmt.Sprint(Reads()))
		}
		if p.Name = name; !slices.ContainsFunc(own, func(o odata.PollConfig) bool { return o.Name == name }) {
			own = append(own, p)
		}
	}
	for i := range own {
		own[i].Zone = cmp.Or(own[i].Zone, c.Zone)
	}
	c.Polls = own
	return c, nil
}

// over lays what a configuration says over what is known.
func over[V any](known, said map[string]V) map[string]V {
	maps.Copy(known, said)
	return known
}

// wrong is a mistake in the configuration.
func wrong(key, why, hint string) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "configuration of a sap link", Why: key + ": " + why, Hint: hint,
		Fields: []problem.Field{{Pointer: key, Why: why}},
	}
}

// Link is one connection to one SAP system. It is safe for concurrent use.
type Link struct {
	*odata.Link
	log        *slog.Logger
	now        func() time.Time
	polls      []*Poll
	plant      string // in SAP
	movementID string // the field of a material document that carries the message's ID
	automatic  []string
	receipts   Receipts
	patience   time.Duration // for how long a message waits for receipts that SAP books itself

	whenUnposted func(why error) // nil: nobody is told

	mu           sync.Mutex              // guards what follows
	reservations map[string]string       // by order
	owns         map[string]ownMovements // by bare order
	ownDenied    error                   // why it may not be read what SAP books itself
	ownAgain     time.Time               // before which it is not tried again
	unpostedTold time.Time               // when somebody was told last
	missing      map[string]time.Time    // since when a message waits for receipts that SAP books itself
}

// Open checks the configuration. It does not call SAP, which may be away.
func Open(cfg Config, resolve odata.Resolve, log *slog.Logger) (*Link, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return nil, err
	}
	if _, err := time.LoadLocation(cfg.Zone); err != nil || cfg.Zone == "" {
		return nil, wrong("zone", "it is no time zone", "write a name of the IANA database, such as Europe/Berlin")
	}
	if err := checkAutomatic(cfg.AutomaticReceipt); err != nil {
		return nil, err
	}
	if id := cfg.Writes[movement].ID; id != "" && id != cfg.MovementID {
		return nil, wrong("writes."+movement+".id", fmt.Sprintf("it is %q, and movement_id is %q: what is sent would not be found again by what reads it back", id, cfg.MovementID), "write the field as movement_id, and leave id out")
	}
	l := &Link{log: log, now: time.Now, plant: cfg.Plant, movementID: cfg.MovementID, automatic: cfg.AutomaticReceipt, reservations: map[string]string{}, owns: map[string]ownMovements{}, receipts: &receiptsInMemory{all: map[string][]Booked{}}, missing: map[string]time.Time{}, patience: bookedWithin}
	if l.Link, err = odata.Open(cfg.Config, resolve, log); err != nil {
		return nil, err
	}
	for _, p := range l.Link.Polls() {
		l.polls = append(l.polls, &Poll{source: p, zone: cfg.Zone})
	}
	return l, nil
}

// Polls are the sources of what comes in.
func (l *Link) Polls() []*Poll { return l.polls }

// String is a line that may be logged.
func (c Config) String() string { return "sap link to " + c.BaseURL }
