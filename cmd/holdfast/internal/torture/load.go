package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/decimal"
)

// promise is one message that the plant's API has said it owes the ERP.
type promise struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Link   string `json:"link"`
	Lane   string `json:"lane"`
	Number int64  `json:"number"`
}

// ledger is what the workers were promised: the plant's own database has no part in it.
type ledger struct {
	mu       sync.Mutex
	promises []promise // guarded by mu
	acts     int       // guarded by mu
	orders   int       // guarded by mu
}

func (l *ledger) add(ps []promise) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promises = append(l.promises, ps...)
	l.acts++
}

// worker is one shop-floor client. It sends each act under one ID and one Idempotency-Key until the plant answers, as an MES would;
// where a node does not, the same is sent to the next one, as through a load balancer.
type worker struct {
	apis      []string // of the nodes
	at        int      // whom it calls now
	materials []string
	release   func(material string) (number string, err error) // the ERP releases an order
	rng       *rand.Rand
	client    *http.Client
	book      *ledger
	enough    <-chan struct{} // closed when no new act should begin
}

// errEnough ends a worker between two acts.
var errEnough = errors.New("the run is over")

// order is what a worker needs of the plant's answer.
type order struct {
	ID         string          `json:"id"`
	Status     string          `json:"status"`
	Quantity   decimal.Decimal `json:"quantity"`
	Unit       string          `json:"unit"`
	Operations []struct {
		Number     string `json:"number"`
		ControlKey string `json:"controlKey"`
	} `json:"operations"`
	Components []struct {
		Item         string          `json:"item"`
		Quantity     decimal.Decimal `json:"quantity"`
		Unit         string          `json:"unit"`
		BatchManaged bool            `json:"batchManaged"`
		Backflush    bool            `json:"backflush"`
	} `json:"components"`
}

// errRefused is an answer that no repetition will change: under torture, a defect.
var errRefused = errors.New("the plant refused an act that is right")

// run produces order after order until enough is closed. The act in hand is answered first: nobody else could tell what became
// of it.
func (w *worker) run(ctx context.Context) error {
	for {
		if err := w.produce(ctx); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (w *worker) over() bool {
	select {
	case <-w.enough:
		return true
	default:
		return false
	}
}

func (w *worker) produce(ctx context.Context) error {
	o, err := w.open(ctx)
	if err != nil {
		return err
	}
	w.book.mu.Lock()
	w.book.orders++
	w.book.mu.Unlock()
	if err := w.act(ctx, "/v1/orders/"+o.ID+"/start", map[string]any{}, nil); err != nil {
		return err
	}
	for _, c := range o.Components {
		if c.Backflush || c.BatchManaged {
			continue
		}
		item := map[string]any{"component": c.Item, "quantity": c.Quantity, "unit": c.Unit}
		if err := w.act(ctx, "/v1/movements", map[string]any{"type": "issue", "order": o.ID, "items": []any{item}}, nil); err != nil {
			return err
		}
	}
	return w.confirmAll(ctx, o)
}

// confirmAll reports each operation in two parts, the second final.
func (w *worker) confirmAll(ctx context.Context, o order) error {
	first, err := o.Quantity.Ratio(decimal.FromInt(int64(1+w.rng.IntN(3))), decimal.FromInt(4))
	if err != nil {
		return fmt.Errorf("a part of %s: %w", o.Quantity, err)
	}
	for _, op := range o.Operations {
		if op.ControlKey == "none" {
			continue
		}
		for _, part := range []struct {
			yield decimal.Decimal
			final bool
		}{{first, false}, {o.Quantity.Sub(first), true}} {
			body := map[string]any{"order": o.ID, "operation": op.Number, "yield": part.yield, "unit": o.Unit, "final": part.final}
			if err := w.act(ctx, "/v1/confirmations", body, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// open makes an order of the plant's own, or waits for one that the ERP releases.
func (w *worker) open(ctx context.Context) (order, error) {
	material := w.materials[w.rng.IntN(len(w.materials))]
	if w.rng.IntN(2) == 0 {
		var made struct {
			Order order `json:"order"`
		}
		err := w.act(ctx, "/v1/orders", map[string]any{"material": material, "quantity": "40"}, &made)
		return made.Order, err
	}
	number, err := w.release(material)
	if err != nil {
		return order{}, fmt.Errorf("release an order in the ERP: %w", err)
	}
	for {
		var page struct{ Items []order }
		err := w.call(ctx, http.MethodGet, "/v1/orders?number="+url.QueryEscape(number), "", nil, &page)
		switch {
		case err != nil:
			return order{}, err
		case len(page.Items) > 1:
			return order{}, fmt.Errorf("order %s of the ERP stands %d times in the plant", number, len(page.Items))
		case len(page.Items) == 1:
			return page.Items[0], nil
		}
		if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return order{}, context.Cause(ctx)
		}
		if w.over() {
			return order{}, errEnough
		}
	}
}

// act does one act until it is answered and books what the plant promised for it.
func (w *worker) act(ctx context.Context, path string, body map[string]any, out any) error {
	if w.over() {
		return errEnough
	}
	body["id"] = uuid.NewString()
	var answer json.RawMessage
	if err := w.call(ctx, http.MethodPost, path, uuid.NewString(), body, &answer); err != nil {
		return err
	}
	var promised struct {
		ERP struct{ Messages []promise } `json:"erp"`
	}
	if err := json.Unmarshal(answer, &promised); err != nil {
		return fmt.Errorf("read the plant's answer to %s: %w", path, err)
	}
	w.book.add(promised.ERP.Messages)
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// call sends one request again and again, under the same key, until it is answered for good. A lost answer, a refused
// connection, 429 and 5xx mean "again"; 507 means that the disk is full just now.
func (w *worker) call(ctx context.Context, method, path, key string, body, out any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	for {
		status, answer, err := w.once(ctx, method, path, key, payload)
		switch {
		case err == nil && status < 300:
			return json.Unmarshal(answer, out)
		case err == nil && status < 500 && status != http.StatusTooManyRequests:
			return fmt.Errorf("%w: %s %s answered %d: %s", errRefused, method, path, status, answer)
		}
		w.at = (w.at + 1) % len(w.apis)
		if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (w *worker) once(ctx context.Context, method, path, key string, payload []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.apis[w.at]+path, bytes.NewReader(payload))
	if err != nil {
		return 0, nil, err
	}
	if method == http.MethodGet {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return res.StatusCode, answer, err
}
