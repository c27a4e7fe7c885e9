package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast/adapters/odata"
)

// TestWhatALinkForgetsIsKeptInTheDatabase: links of both kinds that ask by the message's ID are given it, and another process finds it.
func TestWhatALinkForgetsIsKeptInTheDatabase(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(away.Close)
	o := newOwnFolder(t)
	const links = "links:\n  v4: {kind: odata, base_url: URL, services: {orders: {path: /orders}}}\n  sap: {kind: sap, base_url: URL, plant: \"1000\", zone: UTC}\n"
	f, err := o.start(strings.ReplaceAll(links, "URL", away.URL))
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range f.links {
		if _, ok := l.(interface{ RememberForgetful(k odata.Forgetful) }); !ok {
			t.Errorf("link %s remembers nothing", name)
		}
	}
	if err := (forgetful{f, "v4"}).SetForgets(t.Context(), "orders/Orders", true); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openRecords(t.Context(), o.config(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.db.Close() })
	next := forgetful{&floors{db: again.db, outbox: again.out, log: slog.New(slog.DiscardHandler)}, "v4"}
	if is, err := next.Forgets(t.Context(), "orders/Orders"); err != nil || !is {
		t.Errorf("the next process: %t, %v; want that it forgets", is, err)
	}
}
