// Package shopfloor is a shop floor that talks to a plant's API over HTTP, as terminals and an MES would.
//
// # Guarantees
//
//   - It knows nothing but the public API: what it works on, it has read there.
//   - Each act is sent under one ID and one Idempotency-Key until the plant has answered.
//   - The same seed and the same orders make the same acts.
package shopfloor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/mes"
)

// Client calls one plant's API.
type Client struct {
	base string
	http *http.Client
}

// NewClient is a client of the API at base, such as http://127.0.0.1:8420.
func NewClient(base string) *Client {
	return &Client{base, &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second},
	}}
}

// Close gives up the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// told is what every act's answer says of the ERP.
type told struct {
	ERP struct {
		Messages []struct {
			ID string `json:"id"`
		} `json:"messages"`
	} `json:"erp"`
}

// patience is how often an act is repeated while the plant does not answer.
const patience = 40

// post does one act and gives the IDs of the messages that the plant has promised to send.
func (c *Client) post(ctx context.Context, path string, body, answer any) (promised []string, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write the request to %s: %w", path, err)
	}
	key := uuid.NewString()
	var got []byte
	for try := 1; ; try++ {
		status, b, err := c.send(ctx, http.MethodPost, path, key, text)
		if err == nil && status/100 == 2 {
			got = b
			break
		}
		if err == nil {
			err = fmt.Errorf("%s is answered with %d: %s", path, status, b)
		}
		if status/100 == 4 || try == patience || ctx.Err() != nil {
			return nil, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	var t told
	if err := json.Unmarshal(got, &t); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	for _, m := range t.ERP.Messages {
		promised = append(promised, m.ID)
	}
	if answer == nil {
		return promised, nil
	}
	return promised, json.Unmarshal(got, answer)
}

func (c *Client) send(ctx context.Context, method, path, key string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("call %s: %w", path, err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		req.Header.Set("If-Match", "*") // for acts that ask for a version: nobody else acts on what the floor has made
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("call %s: %w", path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return res.StatusCode, b, nil
}

func (c *Client) get(ctx context.Context, path string, answer any) error {
	status, b, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("read %s: status %d: %s", path, status, b)
	}
	return json.Unmarshal(b, answer)
}

// Orders reads all orders in some states.
func (c *Client) Orders(ctx context.Context, states string) ([]mes.Order, error) {
	var all []mes.Order
	for cursor := ""; ; {
		var page struct {
			Items      []mes.Order `json:"items"`
			NextCursor string      `json:"nextCursor"`
		}
		q := url.Values{"status": {states}, "limit": {"200"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if err := c.get(ctx, "/v1/orders?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

// Has tells whether the plant has a copy of a material's routing and bill of material: then it can make orders of its own.
func (c *Client) Has(ctx context.Context, material string) bool {
	var any json.RawMessage
	return c.get(ctx, "/v1/boms/"+url.PathEscape(material), &any) == nil && c.get(ctx, "/v1/routings/"+url.PathEscape(material), &any) == nil &&
		c.get(ctx, "/v1/materials/"+url.PathEscape(material), &any) == nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
