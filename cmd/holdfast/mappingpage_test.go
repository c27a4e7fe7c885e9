package main

import (
	"log/slog"
	"slices"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
)

// countedLink notes what of its contract is asked for.
type countedLink struct {
	link
	mapping.Contract

	asked []string
}

// TargetType implements mapping.Contract.
func (c *countedLink) TargetType(name string) (*schema.Operation, bool) {
	c.asked = append(c.asked, name)
	return c.Contract.TargetType(name)
}

// DocumentType implements mapping.Contract.
func (c *countedLink) DocumentType(name string) (*schema.Type, bool) {
	c.asked = append(c.asked, name)
	return c.Contract.DocumentType(name)
}

// TestAPreviewHoldsOneMappingAlone: what is typed into the page costs the check of the mapping in hand, however many others the plant has.
func TestAPreviewHoldsOneMappingAlone(t *testing.T) {
	cfg := sapConfig(t)
	rules, links, err := cfg.compile(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer links["erp"].Close()
	counted := &countedLink{link: links["erp"], Contract: links["erp"].(mapping.Contract)}
	p := mappingPage{&floors{cfg: cfg, links: map[string]link{"erp": counted}}}
	if n := len(p.Words(rules, "sap-in/production-order")); n < 100 || n > 2000 {
		t.Errorf("%d words for an order of SAP", n)
	}
	for name, want := range map[string]string{"sap-out/operation.confirmed": "confirmations/ProdnOrdConf2", "sap-in/material": "A_Product"} {
		counted.asked = nil
		found := p.Fit(rules, name)
		slices.Sort(counted.asked)
		if got := slices.Compact(counted.asked); len(found["erp"]) > 0 || !slices.Equal(got, []string{want}) {
			t.Errorf("%s: asked for %q, found %v; want %s alone and nothing found", name, got, found, want)
		}
	}
}
