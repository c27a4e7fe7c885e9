// Package erpmocktest starts an ERP mock for one test, on a loopback address of its own.
package erpmocktest

import (
	"context"
	"net"
	"testing"

	"holdfast/adapters/erpmock"
	"holdfast/openapi"
)

// Start serves a document until the test ends and gives the mock and its base URL. A nil document
// means openapi/erp.yaml. Outages close the listener, as in the real program.
func Start(t testing.TB, doc []byte, cfg erpmock.Config) (mock *erpmock.Mock, url string) {
	t.Helper()
	if doc == nil {
		doc, cfg.Name = openapi.ERP(), "openapi/erp.yaml"
	}
	m, err := erpmock.New(doc, cfg)
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start ERP mock: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- erpmock.Serve(ctx, ln, m) }()
	t.Cleanup(func() {
		cancel()
		if err := m.Close(); err != nil {
			t.Errorf("close ERP mock: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve ERP mock: %v", err)
		}
	})
	return m, "http://" + ln.Addr().String()
}
