package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// dying is a source whose process is there for so many readings that brought something, and is told of after the last.
type dying struct {
	inbox.Source
	mu   sync.Mutex
	left int
	dead func()
}

func (d *dying) Poll(ctx context.Context, cursor string) ([]message.Incoming, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 { // what was read last has been kept
		d.dead()
		return nil, cursor, errors.New("the process was killed")
	}
	batch, next, err := d.Source.Poll(ctx, cursor)
	if len(batch) > 0 {
		d.left--
	}
	return batch, next, err
}

// TestAChangeThatIsCommittedLateIsReadAfterAnInterruption: a reading of many changes ends in its middle, since its process is killed, and another
// node goes on ten minutes later. Meanwhile an order was committed in the ERP whose change time lies where the reading has been.
func TestAChangeThatIsCommittedLateIsReadAfterAnInterruption(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "adapters", "odata", "testdata", "order-v2.xml"))
	if err != nil {
		t.Fatal(err)
	}
	const set, many = "A_ProductionOrder_2", 800
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var mu sync.Mutex
		begin := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
		now := begin
		at := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = begin.Add(d) }
		m, s := edmx.Start(t, text, edmx.Config{Root: "/orders", Page: 200, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
		commit := func(d time.Duration, order string) {
			at(d)
			if err := m.Seed(set, map[string]any{"ManufacturingOrder": order, "Material": order}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range many {
			commit(time.Duration(i)*time.Second/10, fmt.Sprint(i))
		}
		p := &thereAndBack{t: t, db: db, erp: changing{open: func(t *testing.T) inbox.Source {
			l, err := odata.Open(odata.Config{BaseURL: s.URL, Services: map[string]odata.Service{"orders": {Path: "/orders"}}, Polls: []odata.PollConfig{{
				Name: "objects", Set: "orders/" + set, Watermark: "LastChangeDateTime", Source: "urn:erp", Kind: "erp.order", Mapping: "in", Key: "ManufacturingOrder", Zone: "Europe/Berlin",
			}}}, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			return l.Polls()[0]
		}}}
		p.exec(`CREATE TABLE told (n BIGINT NOT NULL, state TEXT NOT NULL)`)
		killed := make(chan struct{})
		in := inbox.New(db, asTold{}, p.apply, inbox.Config{Node: "node-1", Poll: 10 * time.Millisecond, Feeds: []inbox.Feed{
			{Name: "erp/objects", Link: "erp", Every: 10 * time.Millisecond, Source: &dying{Source: p.erp.open(t), left: 1, dead: sync.OnceFunc(func() { close(killed) })}},
		}}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		<-killed
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		commit(50*time.Second, "late")
		at(10 * time.Minute)
		m.Change(set, "ManufacturingOrder", "7", map[string]any{"Material": "newer"})
		defer p.node("node-2", 1)()
		var counts map[string]int
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			counts = map[string]int{}
			for _, state := range p.told() {
				counts[state]++
			}
			if len(counts) == many+2 {
				break
			}
		}
		if counts["late"] != 1 || counts["newer"] != 1 || len(counts) != many+2 {
			t.Errorf("of %d orders and two more the plant was told of %d: %d times of the one that was committed late, %d of the newer one", many, len(counts), counts["late"], counts["newer"])
		}
		for state, n := range counts {
			if n != 1 {
				t.Errorf("the plant was told %d times of %s", n, state)
			}
		}
	})
}
