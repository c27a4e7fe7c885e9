// Package mes is the plant: its orders, what is done for them, and its own copy of the ERP's master data, so that an outage
// finds everything here.
//
// # Guarantees
//
//   - An operation changes the plant and owes the ERP the news in one transaction: both or neither.
//   - Quantities are exact decimals; a conversion that would lose a digit is refused.
//   - Whatever sequence of operations runs, no operation confirms more than its predecessor yielded or the order allows, no more
//     is received than was confirmed, and stock is the sum of the movements.
//   - An operation with an ID that was seen before takes no second effect; the same ID for something else is refused.
//   - Each refusal is a *problem.Error that says what, why and what to do.
//
// # Words
//
// Production order, operation, component, confirmation, work centre and movement types are those of production planning in an
// ERP; the types name their counterparts in ISA-95 (IEC 62264) parts 2 and 4.
//
// The package owns the tables plant_*; nothing else reads or writes them.
package mes

import (
	"context"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// Config is the tunable part of a Plant; zero fields mean the default.
type Config struct {
	Number       string          // the plant's number; default "1000"
	Zone         *time.Location  // where its days begin and end; default UTC
	OverDelivery decimal.Decimal // percent that an order may exceed its quantity, where the ERP says nothing; default 0
	OverIssue    decimal.Decimal // percent that an issue may exceed what the component requires; default 0
	OverReceipt  decimal.Decimal // percent that a receipt may exceed the confirmed yield; default 0
	Ahead        time.Duration   // how far a reported time may lie in the future, since clocks differ; default 5 min
	OrderPrefix  string          // of plant-made orders' numbers; default "PL" + Number + "-"
	LotPrefix    string          // of plant-made lots' numbers; default "L"
}

// Outbox takes what the plant owes the ERP. Append stores m in tx, so that it is owed if and only if tx commits.
type Outbox interface {
	Append(ctx context.Context, tx *store.Tx, m message.Message) error
}

// References learns the ERP's numbers of orders that came from a link, so that messages to it find them.
type References interface {
	SetReference(ctx context.Context, tx *store.Tx, link, object, number string) error
}
