package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/edition"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	source "holdfast/internal/schema"
	"holdfast/internal/store"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

const (
	pageMapping = "erp-out/operation.confirmed" // of 21 fields
	pageKeys    = 400                           // letters that are typed, each answered
	pageGoal    = 100.0                         // ms, 95 of 100 answers
)

// desk is a workshop whose mappings are held against the plain ERP's contract.
type desk struct{ contract mapping.Contract }

// Base implements console.Workshop.
func (desk) Base(context.Context) (edition.Edition, error) { return edition.Read(fstest.MapFS{}) }

// Fit implements console.Workshop.
func (d desk) Fit(set *mapping.Set, name string) map[string][]mapping.Finding {
	return map[string][]mapping.Finding{"erp": set.Check(name, "operation.confirmed", d.contract)}
}

// Words implements console.Workshop.
func (d desk) Words(set *mapping.Set, name string) []mapping.Word { return set.Words(name, d.contract) }

// Document implements console.Workshop: what the page shows goes out.
func (desk) Document(*mapping.Set, string) *source.Type { return nil }

// Holds implements console.Workshop. There is no link whose contract would be asked.
func (desk) Holds(*mapping.Set, string, message.Message, mapping.Made) []string { return nil }

// Ready implements console.Workshop.
func (desk) Ready(context.Context, edition.Edition) error { return nil }

func (desk) Usable(context.Context, edition.Edition) error { return nil }

// pageRow types into the rules of a mapping: each answer has them compiled, held against the contract, and mapped on an example.
func pageRow(ctx context.Context, o options) ([]Result, error) {
	srv, text, err := openDesk(ctx)
	if err != nil {
		return nil, err
	}
	defer srv.Close()
	var times []time.Duration
	for i := range o.of(pageKeys) {
		begun := time.Now()
		if err := typed(ctx, srv.URL, fmt.Sprintf("%s# %d\n", text, i)); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	p95 := plain("a letter typed into the rules, answered, p95", "ms", ms(times[len(times)*95/100]))
	p95.Bound, p95.OK = fmt.Sprintf("below %.0f ms", pageGoal), p95.Value < pageGoal
	return []Result{plain("a letter typed into the rules, answered, median", "ms", ms(times[len(times)/2])), p95}, nil
}

// typed sends the rules as the page does, and looks whether the answer has a result.
func typed(ctx context.Context, at, text string) error {
	form := url.Values{"name": {pageMapping}, "text": {text}, "sample": {"example:0"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at+console.Root+"mapping/preview", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	page, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "can be used") {
		return fmt.Errorf("the page answers %d, and no result", resp.StatusCode)
	}
	return nil
}

// openDesk serves a console over an empty plant, and gives the rules to type into. Its folder is temporary.
func openDesk(ctx context.Context) (*httptest.Server, string, error) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		return nil, "", err
	}
	rules, err := mapping.Load(mapping.Library())
	if err != nil {
		return nil, "", err
	}
	look, _ := rules.Look(pageMapping)
	dir, err := os.MkdirTemp("", "bench-page")
	if err != nil {
		return nil, "", err
	}
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "plant.db"), store.Config{})
	if err != nil {
		return nil, "", err
	}
	log := slog.New(slog.DiscardHandler)
	out, plant := newOutbox("erp-out"), mes.New(nil, mes.Config{})
	live := mapping.NewLive(rules)
	c := console.New(console.Parts{
		DB: db, Plant: plant, Outbox: out, Inbox: inbox.New(db, live, plant.Apply, inbox.Config{}, log), Doer: access.New(db), Gate: console.Local{},
		Rules: live, Jobs: job.New(db, out, job.Config{}, log), Workshop: desk{mapping.FromOpenAPI(doc)},
	}, console.Config{Plant: "1000", Links: []console.Link{{Name: "erp", Kind: "rest"}}}, log)
	srv := httptest.NewServer(c.Handler())
	srv.Config.RegisterOnShutdown(func() { _ = db.Close(); _ = os.RemoveAll(dir) })
	return srv, string(look.Text), nil
}
