package rest

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/message"
)

// dyingERP is a raw TCP server. It answers the first request that it gets; of each later one it reads all and closes the connection
// without a byte.
type dyingERP struct {
	ln net.Listener

	mu    sync.Mutex // guards what follows
	paths []string   // of every request that arrived
	keys  []string   // and their idempotency keys
}

func newDyingERP(t *testing.T) *dyingERP {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &dyingERP{ln: ln}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		defer wg.Wait()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { e.serve(c) })
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return e
}

func (e *dyingERP) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		e.mu.Lock()
		e.paths = append(e.paths, r.Method+" "+r.URL.Path)
		e.keys = append(e.keys, r.Header.Get("Idempotency-Key"))
		n := len(e.paths)
		e.mu.Unlock()
		if n > 1 {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nLocation: /x/1\r\nContent-Length: 2\r\n\r\n{}")
	}
}

func (e *dyingERP) arrived() ([]string, []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.paths...), append([]string(nil), e.keys...)
}

// TestPlainClientSendsTwice shows the trap: without it the tests below would prove nothing.
func TestPlainClientSendsTwice(t *testing.T) {
	e := newDyingERP(t)
	var client http.Client
	defer client.CloseIdleConnections()
	for range 2 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+e.ln.Addr().String()+"/x", strings.NewReader("{}"))
		req.Header.Set("Idempotency-Key", "k")
		resp, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	if got, _ := e.arrived(); len(got) != 3 {
		t.Errorf("two calls of net/http made %d requests, want 3: if Go has changed, say so in adapters/wire", len(got))
	}
}

func TestAWriteOnADyingConnectionIsSentOnce(t *testing.T) {
	const withBody = `openapi: 3.0.3
info: {title: ERP, version: "1"}
paths:
  /x:
    post:
      operationId: post
      parameters: [{name: Idempotency-Key, in: header, schema: {type: string}}]
      %BODY%
      responses: {"201": {description: posted, content: {application/json: {}}}}
    delete:
      operationId: delete
      parameters: [{name: Idempotency-Key, in: header, schema: {type: string}}]
      responses: {"201": {description: deleted, content: {application/json: {}}}}
`
	tests := []struct {
		name, target, schema, body string
	}{
		{"POST with a body", "post", "requestBody: {content: {application/json: {}}}", `{"a":1}`},
		{"POST without a body", "post", "", ""},
		{"DELETE without a body", "delete", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newDyingERP(t)
			l := open(t, patient("http://"+e.ln.Addr().String(), specFile(t, strings.ReplaceAll(withBody, "%BODY%", tt.schema))))
			d := posting(t, "m1")
			d.Doc = message.Document{Target: tt.target, Body: []byte(tt.body)}
			if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
				t.Fatalf("first: %v", out)
			}
			out := l.Deliver(t.Context(), []message.Delivery{d})[0]
			if out.Verdict != message.Unsure {
				t.Errorf("got %v, want unknown", out)
			}
			paths, keys := e.arrived()
			if len(paths) != 2 {
				t.Errorf("two deliveries made %d requests: %q", len(paths), paths)
			}
			if keys[0] != "m1" {
				t.Errorf("idempotency key %q, want the message's ID", keys[0])
			}
		})
	}
}

// tlsERP answers oldDocument's post over TLS and says which protocol it was asked in.
func tlsERP(t *testing.T) (address, ca string) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/"+strings.ReplaceAll(r.Proto, "/", "-"))
		w.WriteHeader(http.StatusCreated)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is meant
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, ca
}

func TestTLS(t *testing.T) {
	address, ca := tlsERP(t)
	tests := []struct {
		name  string
		ca    string
		http2 bool
		want  message.Verdict
		proto string
	}{
		{"a known authority", ca, false, message.Delivered, "HTTP-1.1"},
		{"HTTP/2 where allowed", ca, true, message.Delivered, "HTTP-2.0"},
		{"an authority that nobody knows", "", false, message.Again, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := oldConfig(t, address)
			c.TLS.CA, c.HTTP2 = tt.ca, tt.http2
			out := open(t, c).Deliver(t.Context(), []message.Delivery{posting(t, "m1")})[0]
			if out.Verdict != tt.want || out.Receipt.Document != tt.proto || out.LinkDown != (tt.want == message.Again) {
				t.Errorf("got %v, link down %t; want %s %s", out, out.LinkDown, tt.want, tt.proto)
			}
		})
	}
}

func TestNothingIsSentAfterTheContextEnded(t *testing.T) {
	e := newOldERP(t)
	l := open(t, oldConfig(t, "http://"+e.address))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := l.Deliver(ctx, []message.Delivery{posting(t, "m1")})[0]; out.Verdict != message.Again {
		t.Errorf("got %v, want again", out)
	}
	if n := e.Attempts("m1"); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// late is a context whose time ends without a word on Done: as where the process was stopped, and its timers have yet to run.
type late struct {
	context.Context
	over atomic.Bool
}

func (l *late) Err() error {
	if l.over.Load() {
		return errLate
	}
	return nil
}

var errLate = errors.New("the lease has ended")

// TestNothingIsWrittenAfterTheTimeOfARequest has the time end between the last look of net/http at the context and the first byte.
func TestNothingIsWrittenAfterTheTimeOfARequest(t *testing.T) {
	e := newOldERP(t)
	l := open(t, oldConfig(t, "http://"+e.address))
	for _, id := range []string{"m1", "m2"} { // on a new connection, and on one that was used before
		ctx := &late{Context: t.Context()}
		got := func(httptrace.GotConnInfo) { ctx.over.Store(true) }
		out := l.Deliver(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: got}), []message.Delivery{posting(t, id)})[0]
		said := errors.Is(out.Err, errLate) || errors.Is(out.Err, net.ErrClosed) // of writer and reader of a connection that is closed, net/http names either
		if out.Verdict != message.Again || !said {
			t.Errorf("%s: got %v, want again, since nothing of it was sent", id, out)
		}
		if n := e.Attempts(id); n != 0 {
			t.Errorf("%s: %d requests arrived", id, n)
		}
		e.mu.Lock()
		e.next = adaptertest.None
		e.mu.Unlock()
		if out := l.Deliver(t.Context(), []message.Delivery{posting(t, id)})[0]; out.Verdict != message.Delivered {
			t.Errorf("%s: got %v, want it delivered by who has it in hand", id, out)
		}
	}
}
