package main

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/schema"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
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

// learning is a link that learns its contract anew.
type learning struct {
	countedLink
	times int64
}

// Learnt tells how often it has.
func (l *learning) Learnt() int64 { return l.times }

// TestADocumentIsReadByTheContractThatWasLearntLast: a type is asked for once, and again when there is another.
func TestADocumentIsReadByTheContractThatWasLearntLast(t *testing.T) {
	first, second := &schema.Type{Kind: schema.Text}, &schema.Type{Kind: schema.Decimal}
	of := documentType{first}
	l := &learning{countedLink: countedLink{Contract: &of}}
	types := documentsOf(map[string]link{"erp": l})
	for range 2 {
		if got := types("erp", "m", "A"); got != first {
			t.Errorf("got %v, want the first", got)
		}
	}
	if of.Type = second; types("erp", "m", "A") != first || len(l.asked) != 1 {
		t.Errorf("asked for %q, want once for all messages", l.asked)
	}
	if l.times++; types("erp", "m", "A") != second {
		t.Error("a contract that was learnt anew is not gone by")
	}
	if types("other", "m", "A") != nil {
		t.Error("a link that there is none of has a type")
	}
}

// documentType is a contract of one document.
type documentType struct{ *schema.Type }

// TargetType implements mapping.Contract.
func (documentType) TargetType(string) (*schema.Operation, bool) { return nil, false }

// DocumentType implements mapping.Contract.
func (d *documentType) DocumentType(string) (*schema.Type, bool) { return d.Type, true }

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

// TestWhatTheSecondPersonComparesWith: before the first edition each node maps by the shipped mappings under four eyes, whatever files somebody
// has put into the folder; so all of what is proposed from there is new to whoever approves it.
func TestWhatTheSecondPersonComparesWith(t *testing.T) {
	m := &manyNodes{t: t, db: storetest.SQLite(t), cfg: Config{Mappings: t.TempDir(), MappingsPolicy: fourEyes}}
	m.write(mapsTo("a"))
	err := m.act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, true, edition.By{Actor: "user:anna"})
	})
	if err != nil {
		t.Fatal(err)
	}
	changes := func(cfg Config) (out []string) {
		t.Helper()
		r := &records{cfg: cfg, db: m.db}
		before, err := r.named(t.Context(), "used")
		if err != nil {
			t.Fatal(err)
		}
		after, err := r.named(t.Context(), "proposed")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range before.Changes(after) {
			out = append(out, c.Name)
		}
		return out
	}
	base, err := mappingPage{&floors{cfg: m.cfg, db: m.db}}.Base(t.Context())
	if err != nil || !base.Empty() {
		t.Errorf("the page compares with %s, %v; it is the folder that nobody has approved", edition.Short(base.Hash), err)
	}
	if _, err := base.FS(); err != nil {
		t.Errorf("nothing can be laid over it: %v", err)
	}
	if got := changes(m.cfg); !slices.Equal(got, []string{"m"}) {
		t.Errorf("the command says that %q change, want m", got)
	}
	rules, err := usedMappings(t.Context(), m.cfg, m.db)
	if err != nil || rules.Covers("m", "test.happened") {
		t.Errorf("a command maps by what nobody has approved: %v", err)
	}
	open := m.cfg
	open.MappingsPolicy = "open"
	if got := changes(open); len(got) != 0 { // each node uses the folder
		t.Errorf("without the policy the command says that %q change", got)
	}
}
