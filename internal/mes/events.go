package mes

import (
	"time"

	"holdfast/internal/decimal"
)

// What the plant tells the ERP. The key of each message is the plant's ID of the order, so that everything about an order is one
// lane; what belongs to no order has the lot's ID or "material/NUMBER" as its key.
const (
	OrderCreatedKind         = "order.created"         // OrderCreated; creates "order/ID"
	OrderStartedKind         = "order.started"         // OrderStarted
	OrderCompletedKind       = "order.completed"       // OrderCompleted: technically
	OperationConfirmedKind   = "operation.confirmed"   // OperationConfirmed; creates "confirmation/ID"
	ConfirmationReversedKind = "confirmation.reversed" // OperationConfirmed, whose Confirmation.Reverses is what it takes back
	GoodsIssuedKind          = "goods.issued"          // GoodsMoved; creates "movement/ID"
	GoodsReceivedKind        = "goods.received"        // GoodsMoved; creates "movement/ID"
	GoodsScrappedKind        = "goods.scrapped"        // GoodsMoved; creates "movement/ID"
	GoodsReversedKind        = "goods.reversed"        // GoodsMoved, whose Movement.Reverses is what it takes back
	LotCreatedKind           = "lot.created"           // LotCreated; creates "lot/ID"
	LotChangedKind           = "lot.changed"           // LotChanged: free for use, or restricted
	InspectionRecordedKind   = "inspection.recorded"   // InspectionRecorded
)

// What the ERP tells the plant, after mapping.
const (
	OrderReleasedKind     = "order.released"     // ERPOrder
	OrderChangedKind      = "order.changed"      // ERPOrder
	OrderCancelledKind    = "order.cancelled"    // ERPOrder; the number is enough
	OrderClosedKind       = "order.closed"       // ERPOrder: technically completed in the ERP; the number is enough
	MaterialChangedKind   = "material.changed"   // Material
	UnitChangedKind       = "unit.changed"       // Unit
	WorkCentreChangedKind = "workcentre.changed" // WorkCentre
	BOMChangedKind        = "bom.changed"        // BOM
	RoutingChangedKind    = "routing.changed"    // Routing
)

// OrderRef names an order in a message. The ERP's number of a plant-made order may be missing: then it is a late reference,
// "order/" and ID.
type OrderRef struct {
	ID          string `json:"id"`
	Number      string `json:"number"`
	PlantNumber string `json:"plantNumber,omitempty"`
	ERPNumber   string `json:"erpNumber,omitempty"`
	Material    string `json:"material"`
	Unit        string `json:"unit"`
}

// Place says where it happened.
type Place struct {
	Plant string `json:"plant"` // the plant's number
	Zone  string `json:"zone"`  // its time zone (IANA)
}

// OrderCreated is the body of order.created.
type OrderCreated struct {
	Place
	Order Order  `json:"order"`
	By    string `json:"by,omitempty"`
}

// OrderStarted is the body of order.started.
type OrderStarted struct {
	Place
	Order     OrderRef  `json:"order"`
	StartedAt time.Time `json:"startedAt"`
	By        string    `json:"by,omitempty"`
}

// OrderCompleted is the body of order.completed.
type OrderCompleted struct {
	Place
	Order       OrderRef        `json:"order"`
	CompletedAt time.Time       `json:"completedAt"`
	Yield       decimal.Decimal `json:"yield"`
	Scrap       decimal.Decimal `json:"scrap"`
	Rework      decimal.Decimal `json:"rework"`
	Received    decimal.Decimal `json:"received"`
	Reason      string          `json:"reason,omitempty"`
	By          string          `json:"by,omitempty"`
}

// OperationConfirmed is the body of operation.confirmed and confirmation.reversed.
type OperationConfirmed struct {
	Place
	Order        OrderRef     `json:"order"`
	Confirmation Confirmation `json:"confirmation"`
}

// GoodsMoved is the body of goods.issued, goods.received, goods.scrapped and goods.reversed. Order is nil for free stock.
type GoodsMoved struct {
	Place
	Order    *OrderRef `json:"order,omitempty"`
	Movement Movement  `json:"movement"`
}

// LotCreated is the body of lot.created. Order is nil for a lot that no order makes.
type LotCreated struct {
	Place
	Order *OrderRef `json:"order,omitempty"`
	Lot   Lot       `json:"lot"`
}

// LotChanged is the body of lot.changed. Order is nil for a lot that no order makes.
type LotChanged struct {
	Place
	Order  *OrderRef `json:"order,omitempty"`
	Lot    Lot       `json:"lot"`  // as it is now
	From   LotStatus `json:"from"` // what it was before
	At     time.Time `json:"at"`   // when it was decided
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
}

// InspectionRecorded is the body of inspection.recorded.
type InspectionRecorded struct {
	Place
	Order      *OrderRef  `json:"order,omitempty"`
	Inspection Inspection `json:"inspection"`
}

// ERPOrder is what the ERP says of an order: the body of order.released, order.changed, order.cancelled and order.closed. Fields
// left out stay as the plant has them; lists left out too, lists given replace the plant's.
type ERPOrder struct {
	ERPNumber           string             `json:"erpNumber"`
	ExternalID          string             `json:"externalId,omitempty"` // the plant's ID or number, for an order that the plant made
	ERPVersion          string             `json:"erpVersion,omitempty"` // grows with each change: a whole number, or text of equal length
	Type                string             `json:"type,omitempty"`
	Material            string             `json:"material,omitempty"`
	MaterialDescription string             `json:"materialDescription,omitempty"`
	Plant               string             `json:"plant,omitempty"`
	StorageLocation     string             `json:"storageLocation,omitempty"`
	Batch               string             `json:"batch,omitempty"`
	Quantity            *decimal.Decimal   `json:"quantity,omitempty"`
	Unit                string             `json:"unit,omitempty"`
	OverDelivery        *decimal.Decimal   `json:"overDeliveryPercent,omitempty"` // default: the plant's setting
	Start               time.Time          `json:"start,omitzero"`
	End                 time.Time          `json:"end,omitzero"`
	Priority            *int               `json:"priority,omitempty"`
	Operations          []PlannedOperation `json:"operations,omitempty"`
	Components          []PlannedComponent `json:"components,omitempty"`
	Reason              string             `json:"reason,omitempty"`
}

// PlannedComponent is a Component before anything is withdrawn.
type PlannedComponent struct {
	Item            string          `json:"item"`
	Material        string          `json:"material"`
	Quantity        decimal.Decimal `json:"quantity"` // for the whole order
	Unit            string          `json:"unit"`
	Operation       string          `json:"operation,omitempty"`
	StorageLocation string          `json:"storageLocation,omitempty"`
	BatchManaged    bool            `json:"batchManaged"`
	Backflush       bool            `json:"backflush"`
}
