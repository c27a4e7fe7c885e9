package shopfloor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/decimal"
	"holdfast/internal/mes"
)

// Counts are what the floor has done so far.
type Counts struct {
	Orders        int // worked on, those of the plant's own among them
	Own           int // made by the plant itself
	Confirmations int
	Movements     int
	Lots          int
	Inspections   int
	Reversals     int
}

// Floor works on a plant's orders.
type Floor struct {
	set  *dataset.Set
	api  *Client
	pace time.Duration // between two acts of one worker

	mu       sync.Mutex
	counts   Counts   // guarded by mu
	promised []string // guarded by mu
}

// New is a floor that works with the batches of set. It pauses for pace after each act.
func New(set *dataset.Set, api *Client, pace time.Duration) *Floor {
	return &Floor{set: set, api: api, pace: pace}
}

// Counts are what the floor has done so far.
func (f *Floor) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

// Promised are the IDs of the messages that the plant has said it will send.
func (f *Floor) Promised() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.promised...)
}

// job is one order in work by one worker.
type job struct {
	*Floor
	rng      *rand.Rand
	order    mes.Order
	material *dataset.Material
	lot      mes.Lot
	left     decimal.Decimal // good so far, in the order's unit
	bad      bool            // a result was out of its limits, and has blocked the lot
}

// act posts one act and counts it.
func (f *Floor) act(ctx context.Context, path string, body, answer any, count func(*Counts)) error {
	promised, err := f.api.post(ctx, path, body, answer)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.promised = append(f.promised, promised...)
	count(&f.counts)
	f.mu.Unlock()
	return pause(ctx, f.pace)
}

// Own makes an order of the plant's own, as a shift does that cannot reach the ERP.
func (f *Floor) Own(ctx context.Context, o dataset.Order) (mes.Order, error) {
	var made struct {
		Order mes.Order `json:"order"`
	}
	in := mes.NewOrder{
		ID: uuid.NewString(), Material: o.Material, Quantity: o.Quantity, Unit: o.Unit, StorageLocation: o.Location, Priority: o.Priority, By: "shift lead",
	}
	err := f.act(ctx, "/v1/orders", in, &made, func(c *Counts) { c.Own++ })
	return made.Order, err
}

// Work brings one order from release to completion. Everything that is left to chance comes from seed and the order's number.
func (f *Floor) Work(ctx context.Context, o mes.Order, seed uint64) error {
	j := &job{Floor: f, rng: rand.New(rand.NewPCG(seed, hash(o.Material+o.Quantity.String()))), order: o, material: f.set.Material(o.Material), left: o.Quantity}
	if j.material == nil {
		return fmt.Errorf("order %s makes %s, which the data set does not have", o.Number, o.Material)
	}
	steps := []func(context.Context) error{j.start, j.openLot, j.operations, j.receive, j.decide, j.complete}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("work on order %s: %w", o.Number, err)
		}
	}
	f.mu.Lock()
	f.counts.Orders++
	f.mu.Unlock()
	return nil
}

// Begin starts an order and confirms so much of its first operation.
func (f *Floor) Begin(ctx context.Context, o mes.Order, yield decimal.Decimal) error {
	if err := f.act(ctx, "/v1/orders/"+o.ID+"/start", by{"operator 12"}, nil, func(*Counts) {}); err != nil {
		return fmt.Errorf("start order %s: %w", o.Number, err)
	}
	c := mes.NewConfirmation{ID: uuid.NewString(), Order: o.ID, Operation: o.Operations[0].Number, Yield: yield, Unit: o.Unit, Personnel: "operator 12"}
	return f.act(ctx, "/v1/confirmations", c, nil, func(c *Counts) { c.Confirmations++ })
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

func (j *job) chance(percent int) bool { return j.rng.IntN(100) < percent }

// by is the API's ActCreate, as far as the floor fills it in.
type by struct {
	By string `json:"by"`
}

func (j *job) start(ctx context.Context) error {
	return j.act(ctx, "/v1/orders/"+j.order.ID+"/start", by{"operator 12"}, nil, func(*Counts) {})
}

func (j *job) openLot(ctx context.Context) error {
	if !j.material.BatchManaged {
		return nil
	}
	var made struct {
		Lot mes.Lot `json:"lot"`
	}
	in := mes.NewLot{ID: uuid.NewString(), Material: j.order.Material, Order: j.order.ID}
	if len(j.material.Inspections) > 0 {
		in.Status = mes.InInspection
	}
	err := j.act(ctx, "/v1/lots", in, &made, func(c *Counts) { c.Lots++ })
	j.lot = made.Lot
	return err
}

func (j *job) operations(ctx context.Context) error {
	for _, op := range j.order.Operations {
		if err := j.issue(ctx, op.Number); err != nil {
			return err
		}
		if op.Control == mes.ControlNone {
			continue
		}
		if err := j.confirm(ctx, op); err != nil {
			return err
		}
		if err := j.inspect(ctx, op.Number); err != nil {
			return err
		}
	}
	return nil
}

// receive puts what was made into stock, sometimes in two movements.
func (j *job) receive(ctx context.Context) error {
	first, rest := j.split(j.left)
	for _, q := range []decimal.Decimal{first, rest} {
		if q.IsZero() {
			continue
		}
		in := movement{Type: "receipt", ID: uuid.NewString(), Order: j.order.ID, Items: []mes.NewItem{{Quantity: q, Unit: j.order.Unit, Batch: j.lot.Number}}, By: "forklift 3"}
		if err := j.act(ctx, "/v1/movements", in, nil, func(c *Counts) { c.Movements++ }); err != nil {
			return err
		}
	}
	return nil
}

// decide gives the lot free whose results are all good. One that a bad result has blocked stays so.
func (j *job) decide(ctx context.Context) error {
	if j.lot.Status != mes.InInspection || j.bad {
		return nil
	}
	in := map[string]any{"id": uuid.NewString(), "status": mes.Unrestricted, "reason": "all results are good", "by": "laboratory"}
	return j.act(ctx, "/v1/lots/"+j.lot.ID+"/decide", in, nil, func(*Counts) {})
}

// movement is the API's MovementCreate.
type movement struct {
	Type   string        `json:"type"`
	ID     string        `json:"id"`
	Order  string        `json:"order,omitempty"`
	Items  []mes.NewItem `json:"items"`
	Reason string        `json:"reason,omitempty"`
	By     string        `json:"by,omitempty"`
}

func (j *job) complete(ctx context.Context) error {
	return j.act(ctx, "/v1/orders/"+j.order.ID+"/complete", by{"shift lead"}, nil, func(*Counts) {})
}
