package message

import "strings"

// What an ERP has, as it was read back from it: to be held against what the plant has booked. Quantities are exact decimals in text; units
// are the ERP's own codes, and beside them ISO's where the ERP gives it.

// Reads tells what can be read back over a link.
type Reads struct {
	Orders        bool // by their numbers
	InWork        bool // those that are in work in the ERP
	Confirmations bool // of an order
	Movements     bool // of goods, for an order
}

// Missing names what cannot be read back, "" if nothing.
func (r Reads) Missing() string {
	if !r.Orders {
		return "this link reads no orders back: no orders, quantities and documents are compared"
	}
	var none []string
	for _, p := range []struct {
		has  bool
		what string
	}{{r.InWork, "orders in work"}, {r.Confirmations, "confirmations"}, {r.Movements, "goods movements"}} {
		if !p.has {
			none = append(none, p.what)
		}
	}
	if len(none) == 0 {
		return ""
	}
	return "this link reads no " + strings.Join(none, ", no ") + " back: these are not compared"
}

// OrderRead is a production order as the ERP has it.
type OrderRead struct {
	Number      string `json:"number"`                // the ERP's
	PlantNumber string `json:"plantNumber,omitempty"` // the plant's own, where the plant has made the order
	Material    string `json:"material"`
	Quantity    string `json:"quantity"`           // planned
	Yield       string `json:"yield,omitempty"`    // confirmed good; empty if the ERP does not say
	Received    string `json:"received,omitempty"` // received into stock; empty if the ERP does not say
	Unit        string `json:"unit"`
	UnitISO     string `json:"unitISO,omitempty"`
	Released    bool   `json:"released"`
	Completed   bool   `json:"completed"` // technically completed, or closed
	Deleted     bool   `json:"deleted"`   // marked for deletion

	Components []ComponentRead `json:"components,omitempty"`
}

// ComponentRead is what the ERP foresees of a component, and what it has booked of it.
type ComponentRead struct {
	Item      string `json:"item"`
	Material  string `json:"material"`
	Required  string `json:"required"`
	Withdrawn string `json:"withdrawn"`
	Unit      string `json:"unit"`
}

// StockRead is what the ERP has of one lot of a material in one place, whoever has put it there.
type StockRead struct {
	Material        string `json:"material"`
	StorageLocation string `json:"storageLocation,omitempty"`
	Batch           string `json:"batch,omitempty"` // the ERP's number of the lot
	Type            string `json:"type,omitempty"`  // the ERP's code of the kind of stock, such as 01, unrestricted
	Quantity        string `json:"quantity"`
	Unit            string `json:"unit"` // the material's base unit
}

// DocumentRead is a document that the ERP has booked for an order.
type DocumentRead struct {
	Number    string `json:"number"` // as the receipt of a delivered message has it
	Kind      string `json:"kind"`   // as the receipt has it
	Order     string `json:"order"`  // the ERP's number of the order
	Operation string `json:"operation,omitempty"`
	Mark      string `json:"mark,omitempty"`   // the ID of a message, or what stands for it, where the ERP keeps it
	Posted    string `json:"posted,omitempty"` // the day of posting, YYYY-MM-DD, of no zone
	Reversed  bool   `json:"reversed,omitempty"`
	Reverses  string `json:"reverses,omitempty"` // the document that this one takes back, as Number has it
	Yield     string `json:"yield,omitempty"`    // of a confirmation
	Scrap     string `json:"scrap,omitempty"`
	Rework    string `json:"rework,omitempty"`
	Unit      string `json:"unit,omitempty"`

	Items []ItemRead `json:"items,omitempty"` // of a goods movement
}

// ItemRead is one line of a goods movement.
type ItemRead struct {
	Movement string `json:"movement"` // the ERP's type, such as 261
	Material string `json:"material"`
	Batch    string `json:"batch,omitempty"`
	Quantity string `json:"quantity"`
	Unit     string `json:"unit"`
}
