package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Notice is an alert as people are told of it.
type Notice struct {
	ID       string    `json:"id"` // the same when it is told again, since nobody knows whether it came
	Alert    string    `json:"alert"`
	Severity string    `json:"severity"`
	Object   string    `json:"object"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
	Besides  int64     `json:"besides"` // of the same about the same, since the last one that was told
	Plant    string    `json:"plant"`
	Place    int64     `json:"place"` // of its entry in the record; -1 for a test
}

// Teller tells people of an alert; nil once it was taken.
type Teller interface {
	Tell(ctx context.Context, n Notice) error
}

// Channel is one way by which people are told.
type Channel struct {
	Name   string // of what it remembers, which outlives the configuration
	To     Teller
	Plant  string
	Least  string        // Critical: warnings are not told
	Again  time.Duration // in which the same about the same is told once; default 1h
	Metric prometheus.Registerer
}

// NewChannel returns a Forwarder that tells a channel of each alert of the record, from now on, in order. None is lost while the channel is
// away; of those that wait, the same about the same is told once, with their number. One that the receiver
// refuses for good keeps the others back for few attempts alone, see aside.
func NewChannel(db *store.DB, place func(ctx context.Context) error, node string, c Channel, log *slog.Logger) *Forwarder {
	if c.Again == 0 {
		c.Again = time.Hour
	}
	name := "!" + c.Name
	f := NewForwarder(db, place, node, Collector{Name: name, Address: c.Name}, ForwarderConfig{Metrics: c.Metric}, log)
	f.fresh, f.once = true, true
	apart := newAside(db, name, c, log)
	f.first = apart.again
	f.carry = func(ctx context.Context, entries []placed) error {
		for _, e := range entries {
			if err := c.tell(ctx, db, name, apart, e); err != nil {
				return err
			}
		}
		return nil
	}
	return f
}

// tell tells of one entry, if it is an alert that is to be told, and notes that after it.
func (c Channel) tell(ctx context.Context, db *store.DB, name string, apart *aside, e placed) error {
	sort := alertName(e.Entry)
	if sort == "" || c.Least == Critical && SeverityOf(sort) != Critical {
		return nil
	}
	var before told
	hushed := false
	err := db.InTx(ctx, func(tx *store.Tx) error {
		silences, err := Silences(ctx, tx)
		if hushed = silent(silences, sort, e.Object); err != nil || hushed {
			return err
		}
		before, err = toldOf(ctx, tx, name, sort, e.Object)
		if hushed = before.At > 0 && e.place >= 0 && e.place <= before.Place; err != nil || hushed { // the batch comes again, as one after it was not taken
			return err
		}
		if before.At == 0 || e.At.Sub(store.FromMicros(before.At)) >= c.Again {
			return err
		}
		hushed = true
		return keepTold(ctx, tx, name, sort, e.Object, told{before.At, before.Besides + 1, max(before.Place, e.place)})
	})
	if err != nil || hushed {
		return err
	}
	n := Notice{
		ID: e.id(c.Plant), Alert: sort, Severity: SeverityOf(sort), Object: e.Object, Why: plain(e.Reason), At: e.At.UTC(), Besides: before.Besides,
		Plant: c.Plant, Place: e.place,
	}
	noted := func(tx *store.Tx) error {
		return keepTold(ctx, tx, name, sort, e.Object, told{store.Micros(e.At), 0, max(before.Place, e.place)})
	}
	if err := c.To.Tell(ctx, n); err != nil {
		return apart.put(ctx, n, err, noted)
	}
	return db.InTx(ctx, noted)
}

// id is that of the notice of an entry: by its place, or by its number where it has none.
func (e placed) id(plant string) string {
	if e.place < 0 {
		return fmt.Sprintf("%s-entry-%d", plant, e.Seq)
	}
	return fmt.Sprintf("%s-%d", plant, e.place)
}

// Webhook tells by HTTP: a Notice as JSON, signed as Standard Webhooks has it where there is a secret.
type Webhook struct {
	URL    string
	Secret func(ctx context.Context) (string, error) // nil: it is not signed
	Client *http.Client
}

// Tell implements Teller.
func (w Webhook) Tell(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write an alert: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell of an alert: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if w.Secret != nil {
		secret, err := w.Secret(ctx)
		if err != nil {
			return err
		}
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", n.ID, at, body)
		req.Header.Set("Webhook-Id", n.ID)
		req.Header.Set("Webhook-Timestamp", at)
		req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	res, err := w.Client.Do(req)
	if err != nil {
		return untold("the webhook", "it was not reached", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity: // of this notice, and not of who tells it
		return unwanted{untold("the webhook", "it answered "+res.Status, nil)}
	}
	if res.StatusCode/100 != 2 {
		return untold("the webhook", "it answered "+res.Status, nil)
	}
	return nil
}

func untold(whom, why string, cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "tell " + whom + " of an alert", Why: why, Hint: "correct alerts in holdfast.yaml, or its receiver; what waits is kept and goes first", Cause: cause,
	}
}
