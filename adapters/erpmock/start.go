package erpmock

import (
	"context"

	"holdfast/internal/port"
	"holdfast/openapi"
)

// TB is what Start needs of a test or benchmark.
type TB interface {
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Start serves a document on a loopback address of its own until the test ends, and gives the
// mock and its base URL. A nil document means openapi/erp.yaml. Outages close the listener, as
// they do in the program; nobody's connection comes to have the port meanwhile.
func Start(t TB, doc []byte, cfg Config) (mock *Mock, url string) {
	if doc == nil {
		doc, cfg.Name = openapi.ERP(), "openapi/erp.yaml"
	}
	m, err := New(doc, cfg)
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	ln, err := port.Listen()
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, m) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve ERP mock: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("close ERP mock: %v", err)
		}
	})
	return m, "http://" + ln.Addr().String()
}
