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
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/decimal"
	"holdfast/internal/message"
	"holdfast/internal/problem"
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
	References   References      // learns the numbers of the ERP's orders; default nobody
	Alarm        Alarm           // is raised of what was altered in the database; default nobody
}

// Outbox takes what the plant owes the ERP. Append stores m in tx, so that it is owed if and only if tx commits.
type Outbox interface {
	Append(ctx context.Context, tx *store.Tx, m message.Message) error
}

// References learns the ERP's numbers of orders that came from a link, so that messages to it find them. SetReference stores that
// object is called number there, in tx.
type References interface {
	SetReference(ctx context.Context, tx *store.Tx, link, object, number string) error
}

// Plant is the plant. It is safe for use by many goroutines.
type Plant struct {
	out    Outbox
	cfg    Config
	limits limits
}

// New is a plant that owes its news to out. It touches nothing.
func New(out Outbox, cfg Config) *Plant {
	cfg.Number = cmp.Or(cfg.Number, "1000")
	cfg.Zone = cmp.Or(cfg.Zone, time.UTC)
	cfg.Ahead = cmp.Or(cfg.Ahead, 5*time.Minute)
	cfg.OrderPrefix = cmp.Or(cfg.OrderPrefix, "PL"+cfg.Number+"-")
	cfg.LotPrefix = cmp.Or(cfg.LotPrefix, "L")
	return &Plant{out: out, cfg: cfg, limits: limits{overIssue: cfg.OverIssue, overReceipt: cfg.OverReceipt}}
}

// place says where messages come from.
func (p *Plant) place() Place { return Place{Plant: p.cfg.Number, Zone: p.cfg.Zone.String()} }

// now is the transaction's time in the plant's zone, to the microsecond that both databases keep.
func (p *Plant) now(tx *store.Tx) time.Time { return tx.Now.Truncate(time.Microsecond).In(p.cfg.Zone) }

// day is the date of t in the plant's zone.
func (p *Plant) day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(p.cfg.Zone).Format(time.DateOnly)
}

// happened is when something reported happened: at, or now if the report does not say. The future is refused.
func (p *Plant) happened(tx *store.Tx, at time.Time, pointer, what string) (time.Time, error) {
	if at.IsZero() {
		return p.now(tx), nil
	}
	if at.After(tx.Now.Add(p.cfg.Ahead)) {
		return time.Time{}, &problem.Error{
			Kind: problem.Invalid, What: what, Why: fmt.Sprintf("%s lies in the future", at.Format(time.RFC3339)),
			Hint:   "check the clock and the time zone of the reporting terminal; the plant's time is " + p.now(tx).Format(time.RFC3339),
			Fields: []problem.Field{field(pointer, "lies in the future")},
		}
	}
	return at, nil
}

// once claims the ID of an act, making one if it is empty. It is true if the same act was done before: then nothing must be done
// again. The same ID for another act is refused with Duplicate.
func (p *Plant) once(ctx context.Context, tx *store.Tx, id *string, kind string, act any) (bool, error) {
	if err := newID(id, kind); err != nil {
		return false, err
	}
	text, err := json.Marshal(act)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", kind, err)
	}
	digest := sha256.Sum256(text)
	fresh, before, err := claimCommand(ctx, tx, command{ID: *id, Kind: kind, Digest: hex.EncodeToString(digest[:])})
	if err != nil || fresh {
		return false, err
	}
	if before.Kind != kind || before.Digest != hex.EncodeToString(digest[:]) {
		return false, &problem.Error{
			Kind: problem.Duplicate, What: kind, Why: "the ID " + *id + " was used before, for something else",
			Hint: "give each act an ID of its own, and repeat one only with the same content", Fields: []problem.Field{field("/id", "was used before")},
		}
	}
	return true, nil
}

// newID makes an ID where none is given, and refuses one that is not a UUID in its usual form (RFC 9562).
func newID(id *string, kind string) error {
	if *id == "" {
		u, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an ID: %w", err)
		}
		*id = u.String()
		return nil
	}
	if u, err := uuid.Parse(*id); err == nil && u.String() == strings.ToLower(*id) {
		*id = u.String()
		return nil
	}
	var ck checks
	ck.that(false, "/id", "is not a UUID such as 018f6b1e-7d7f-7c3a-9a59-0f1e2d3c4b5a")
	return ck.err(kind)
}

// derive is an ID that follows from the plant's number and parts, the same each time (UUID version 5).
func (p *Plant) derive(parts ...string) string {
	name := strings.Join(append([]string{"holdfast", p.cfg.Number}, parts...), "\x00")
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String()
}

// owe appends one message. creates names the object that the ERP gives a number of its own, if any.
func (p *Plant) owe(ctx context.Context, tx *store.Tx, id, kind, key, creates string, body any) error {
	m, err := message.New(id, kind, key, p.now(tx), body)
	if err != nil {
		return err
	}
	m.Creates = creates
	if err := p.out.Append(ctx, tx, m); err != nil {
		return fmt.Errorf("owe %s %s: %w", kind, id, err)
	}
	return nil
}
