package erpmock

import "holdfast/openapi"

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
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close ERP mock: %v", err)
		}
	})
	return m, Listen(t, m)
}
