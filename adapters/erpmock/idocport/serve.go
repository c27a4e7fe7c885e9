package idocport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/sap/idoc"
)

// Path is where SAP's port is.
const Path = "/sap/bc/idoc_xml"

// accepted is what the port says of an IDoc that it has taken.
const accepted = "<html><body>IDoc-XML-inbound ok</body></html>"

const mostBody = 32 << 20

// Handler serves the port, and the control API below /__mock/.
func (p *Port) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/__mock/", p.Control())
	mux.HandleFunc("POST "+Path, p.post)
	mux.HandleFunc("HEAD "+Path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return mux
}

// Control implements erpmock.Controlled.
func (p *Port) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /__mock/journal", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, p.Log()) })
	mux.HandleFunc("POST /__mock/expect", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(io.LimitReader(r.Body, mostBody))
		report := erpmock.Report{}
		if err == nil {
			report, err = p.Log().Check(text)
		}
		if err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"title": err.Error(), "hint": "docs/erp-mock.md shows the form of expectations"})
			return
		}
		reply(w, http.StatusOK, report)
	})
	mux.HandleFunc("DELETE /__mock/faults", func(w http.ResponseWriter, _ *http.Request) {
		p.SetFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /__mock/faults", control(func(f erpmock.Fault) (any, error) {
		if err := f.Check(); err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return map[string]string{"id": p.faults.Add(f)}, nil
	}))
	mux.HandleFunc("POST /__mock/refuse", control(func(r struct {
		Text string `json:"text"`
	},
	) (any, error) {
		p.Refuse(r.Text)
		return map[string]string{"next": "status 51: " + r.Text}, nil
	}))
	mux.HandleFunc("POST /__mock/send", control(func(r struct {
		Type string          `json:"type"`
		To   idoc.Control    `json:"to"` // SNDPRN, SNDPOR, RCVPRN, RCVPOR and MANDT as the partner's own IDocs have them
		Body json.RawMessage `json:"body"`
	},
	) (any, error) {
		return map[string]string{"sent": r.Type}, p.Send(r.To, r.Type, r.Body)
	}))
	return mux
}

// control reads a value strictly and answers what fn makes of it.
func control[T any](fn func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v T
		d := json.NewDecoder(io.LimitReader(r.Body, mostBody))
		d.DisallowUnknownFields()
		err := d.Decode(&v)
		var out any
		if err == nil {
			out, err = fn(v)
		}
		if err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"title": err.Error(), "hint": "see docs/sap-guide.md"})
			return
		}
		reply(w, http.StatusCreated, out)
	}
}

// reply writes an answer of the control API; the client is gone if that fails.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// post takes IDocs by HTTP.
func (p *Port) post(w http.ResponseWriter, r *http.Request) {
	if p.IsDown() {
		cut(w, true)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostBody))
	if err != nil {
		cut(w, false)
		return
	}
	e := &erpmock.Entry{At: p.cfg.Now(), Method: r.Method, Path: r.URL.Path, Bytes: int64(len(body)), Delivered: erpmock.DeliveredFull}
	ds, bad := p.read(body)
	if bad == nil {
		e.Operation, e.MessageID = ds[0].Control["IDOCTYP"], ds[0].Control["ARCKEY"]
	}
	p.mu.Lock()
	p.enter(e)
	delay, hit := p.faults.Pick(e, p.cfg.Now())
	sync := func() error { return nil }
	if bad == nil && (hit == nil || hit.Phase == erpmock.After) {
		sync = p.take(e, ds)
	}
	p.mu.Unlock()
	if delay > 0 {
		p.wait(r, delay)
	}
	switch err := sync(); {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case hit != nil:
		p.spoil(w, r, hit)
	case bad != nil:
		http.Error(w, bad.Error(), http.StatusInternalServerError) // as SAP does
	default:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, accepted) // the client has left if this fails
	}
}

// spoil answers as the fault has it.
func (p *Port) spoil(w http.ResponseWriter, r *http.Request, f *erpmock.Fault) {
	if f.Kind == erpmock.Hang || f.Delay > 0 {
		p.wait(r, time.Duration(f.Delay))
	}
	switch f.Kind {
	case erpmock.Status, erpmock.Quota:
		status := f.Status
		if status == 0 {
			status = http.StatusServiceUnavailable
		}
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(time.Duration(f.RetryAfter).Seconds()))))
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, f.Body)
	case erpmock.Garbage:
		_, _ = io.WriteString(w, "\x00\x01<html><p>not what you think {\"\xff")
	case erpmock.Half:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(accepted), accepted[:20])
			_ = conn.Close() // given up in any case
		}
	default:
		cut(w, f.Kind == erpmock.Reset)
	}
}

func (p *Port) wait(r *http.Request, d time.Duration) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	defer cancel()
	select {
	case <-ctx.Done():
	case <-p.stop:
	}
}

// cut ends the connection without a byte.
func cut(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // then Close sends a reset
	}
	_ = conn.Close() // given up in any case
}

// Run takes files and sends what is owed until ctx ends.
func (p *Port) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := errors.Join(p.pickUp(), p.pay(ctx))
		wait := p.cfg.Every
		if err != nil {
			wait *= 5 // the partner is away; its debts are kept
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// pickUp books the files that were handed over, and takes them away.
func (p *Port) pickUp() error {
	if p.cfg.In == "" || p.IsDown() {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(p.cfg.In, "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := errors.Join(p.Take("FILE", filepath.Base(file), text), os.Remove(file)); err != nil {
			return err
		}
	}
	return nil
}

// Take books what came by another way than HTTP, such as a broker. An error says that it cannot be kept, and is to be given again.
func (p *Port) Take(way, name string, text []byte) error {
	e := &erpmock.Entry{At: p.cfg.Now(), Method: way, Path: name, Bytes: int64(len(text)), Delivered: erpmock.DeliveredFull}
	ds, bad := p.read(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	if bad != nil {
		e.Refusal = bad.Error()
		p.enter(e)
		return nil
	}
	e.Operation, e.MessageID = ds[0].Control["IDOCTYP"], ds[0].Control["ARCKEY"]
	p.enter(e)
	return p.take(e, ds)()
}

// pay sends what is owed, in order, until the partner does not take it.
func (p *Port) pay(ctx context.Context) error {
	for ctx.Err() == nil {
		p.mu.Lock()
		var next debt
		if len(p.owed) > 0 {
			next = p.owed[0]
		}
		p.mu.Unlock()
		if next.Number == "" || p.cfg.Out == "" && p.cfg.Partner == "" && p.cfg.Pay == nil {
			return nil
		}
		if err := p.payOne(ctx, next); err != nil {
			return err
		}
		p.mu.Lock()
		p.owed = p.owed[1:]
		sync := p.write(line{Paid: next.Number})
		p.mu.Unlock()
		if err := sync(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Port) payOne(ctx context.Context, d debt) error {
	if p.cfg.Pay != nil {
		return p.cfg.Pay(ctx, d.Number, d.Text)
	}
	if p.cfg.Out != "" {
		file := filepath.Join(p.cfg.Out, d.Number+".xml")
		if err := os.WriteFile(file+".tmp", []byte(d.Text), 0o600); err != nil {
			return err
		}
		return os.Rename(file+".tmp", file)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.cfg.Partner, strings.NewReader(d.Text))
	if err != nil {
		return err
	}
	req.SetBasicAuth(p.cfg.User, p.cfg.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the partner answered %s", resp.Status)
	}
	return nil
}
