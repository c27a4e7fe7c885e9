package edmx

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"holdfast/internal/port"
)

// Server serves a Mock on an address that can go down and come up again.
type Server struct {
	URL  string
	mock *Mock
	addr string
	http *http.Server
	done chan error
}

// Serve listens on a loopback address of its own, which nobody's connection comes to have while it is down.
func Serve(m *Mock) (*Server, error) {
	ports, err := port.Free(1)
	if err != nil {
		return nil, fmt.Errorf("serve ERP mock: %w", err)
	}
	s := &Server{mock: m, addr: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	err = s.Up()
	s.URL = "http://" + s.addr
	return s, err
}

// Up listens, again at the same address.
func (s *Server) Up() error {
	if s.http != nil {
		return nil
	}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("serve ERP mock: %w", err)
	}
	s.done = make(chan error, 1)
	s.http = &http.Server{Handler: s.mock.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func(h *http.Server) { s.done <- h.Serve(ln) }(s.http)
	return nil
}

// Down refuses connections and closes those that are there.
func (s *Server) Down() error {
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	if e := <-s.done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	s.http = nil
	return err
}

// TB is what Start needs of a test or benchmark.
type TB interface {
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Start serves a $metadata on a loopback address of its own until the test ends.
func Start(t TB, metadata []byte, cfg Config) (*Mock, *Server) {
	m, err := New(metadata, cfg)
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	s, err := Serve(m)
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), s.Down()); err != nil {
			t.Errorf("end ERP mock: %v", err)
		}
	})
	return m, s
}
