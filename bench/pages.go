package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/store"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

const (
	standing   = 200_000 // messages that stand still, each in a lane of its own
	pageReads  = 20      // of each page
	pagesGoal  = 300.0   // ms, 95 of 100 reads of the slowest page
	groupsGoal = 500.0   // ms, the same of the page that groups what stands still by its reason
	pageRows   = 300     // a page has fewer
	pageCores  = 2
)

// groupsPage is the list that opens first.
const groupsPage = "/console/messages"

// pagesRow reads every list of the console, and one of each thing, while 200,000 messages stand still.
func pagesRow(ctx context.Context, o options) (results []Result, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(min(pageCores, runtime.NumCPU())))
	dialects := []store.Dialect{store.SQLite}
	if os.Getenv(postgresEnv) != "" {
		dialects = append(dialects, store.Postgres)
	}
	for _, d := range dialects {
		some, err := pagesOn(ctx, o, d)
		if results = append(results, some...); err != nil {
			return results, fmt.Errorf("%s: %w", d, err)
		}
	}
	return results, nil
}

func pagesOn(ctx context.Context, o options, d store.Dialect) ([]Result, error) {
	y, err := openYard(ctx, d)
	if err != nil {
		return nil, err
	}
	defer y.close()
	if err := y.stand(ctx, o.of(standing)); err != nil {
		return nil, err
	}
	at, stop, err := y.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	return readPages(ctx, o, d, at)
}

// stand delivers one message, has another one stand still, and multiplies both in the tables themselves.
func (y *yard) stand(ctx context.Context, n int) error {
	if err := y.fill(ctx, 1, 1); err != nil {
		return err
	}
	if _, err := y.drain(ctx); err != nil {
		return err
	}
	y.out = newOutbox("erp-out") // by which a page shows what is sent
	if err := y.fill(ctx, 1, 1); err != nil {
		return err
	}
	series := fmt.Sprintf(`WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) `, n)
	if y.db.Dialect() == store.Postgres {
		series = fmt.Sprintf(`WITH s (n) AS (SELECT generate_series(1, %d)) `, n)
	}
	const (
		rest  = `event, source, kind, version, key, time, body, creates, cause, trace, mapping, prev, role, refers, digest, attempts, redelivery`
		after = `, settled_at, sent_with, document, doc_kind, status, answered, asked`
	)
	for _, q := range []string{
		`UPDATE outbox_lanes SET state = 'parked', reason = 'the ERP refused it (M7 021): no stock of 1' WHERE pending > 0`,
		series + `INSERT INTO outbox_lanes (link, lane, next_number, pending, head_at, state, reason, changed_at)
			SELECT link, 'bulk-' || CAST(n AS TEXT), 2, 1, head_at + n * 1000, CASE WHEN n % 20 = 0 THEN 'unknown' ELSE 'parked' END,
			'the ERP refused it (M7 ' || CAST(n % 30 AS TEXT) || '): unknown material ' || CAST(n AS TEXT), changed_at
			FROM s, (SELECT * FROM outbox_lanes WHERE state = 'parked') AS l`,
		series + `INSERT INTO outbox_messages (link, lane, epoch, number, id, created_at, ` + rest + `)
			SELECT link, 'bulk-' || CAST(n AS TEXT), 1, 1, 'id-' || CAST(n AS TEXT), created_at + n * 1000, ` + rest + ` FROM s, (SELECT * FROM outbox_messages) AS m`,
		series + `INSERT INTO outbox_delivered (link, lane, epoch, number, id, created_at, refused, ` + rest + after + `)
			SELECT link, 'done-' || CAST(n AS TEXT), 1, 1, 'done-' || CAST(n AS TEXT), created_at + n * 1000, CASE WHEN n % 2 = 0 THEN 'locked' ELSE '' END, ` + rest + after + `
			FROM s, (SELECT * FROM outbox_delivered LIMIT 1) AS m WHERE n % 10 = 0`,
		`ANALYZE outbox_lanes`, `ANALYZE outbox_messages`, `ANALYZE outbox_delivered`,
	} {
		err := y.db.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, q); return err })
		if err != nil {
			return fmt.Errorf("%.60s…: %w", q, err)
		}
	}
	return nil
}

// serve has a console over the plant, which counts its figures in the background as the program does.
func (y *yard) serve(ctx context.Context) (at string, stop func(), err error) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		return "", nil, err
	}
	rules, err := mapping.Load(mapping.Library())
	if err != nil {
		return "", nil, err
	}
	log := slog.New(slog.DiscardHandler)
	plant, live := mes.New(nil, mes.Config{}), mapping.NewLive(rules)
	c := console.New(console.Parts{
		DB: y.db, Plant: plant, Outbox: y.out, Inbox: inbox.New(y.db, live, plant.Apply, inbox.Config{}, log), Doer: access.New(y.db), Gate: console.Local{},
		Rules: live, Jobs: job.New(y.db, y.out, job.Config{}, log), Workshop: desk{mapping.FromOpenAPI(doc)},
	}, console.Config{Plant: "1000", Links: []console.Link{{Name: benchLink, Kind: "rest"}}}, log)
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	srv := httptest.NewServer(c.Handler())
	return srv.URL, func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "bench: the console:", err)
		}
		srv.Close()
	}, nil
}

// pagePaths are the pages whose cost could grow with what stands still, in the forms that a person can choose.
func pagePaths() []string {
	all := []string{
		groupsPage, "/console/", "/console/lanes", "/console/links", "/console/jobs", "/console/quarantine", "/console/shopfloor", "/console/audit", "/console/conflicts",
		"/console/mappings", "/console/lane?link=" + benchLink + "&lane=bulk-77", "/console/messages/id-77",
	}
	for _, state := range []string{"stuck", "owed", "delivered", "refused", "all"} {
		for _, more := range []string{"", "&link=" + benchLink, "&kind=operation.confirmed", "&from=2020-01-01", "&q=unknown+material", "&q=nothing+like+it", "&q=bulk-77"} {
			if state != "stuck" || more != "" { // which is the page of groups
				all = append(all, groupsPage+"?state="+state+more)
			}
		}
	}
	for _, state := range []string{"stuck", "waiting", "paused", "all"} {
		all = append(all, "/console/lanes?state="+state)
	}
	return append(all, groupsPage+"?state=stuck&reason="+url.QueryEscape("the ERP refused it … … unknown material …"))
}

// readPages reads each page in turn, again and again, so that none is read from what the one before has just left in memory.
func readPages(ctx context.Context, o options, d store.Dialect, at string) ([]Result, error) {
	paths := pagePaths()
	took, most := make(map[string][]time.Duration, len(paths)), 0
	for round := range max(2, o.of(pageReads)) + 1 {
		for _, path := range paths {
			begun := time.Now()
			rows, err := readPage(ctx, at+path)
			if err != nil {
				return nil, err
			}
			if most = max(most, rows); round > 0 { // the first warms up
				took[path] = append(took[path], time.Since(begun))
			}
		}
	}
	part := func(path string, percent int) float64 {
		all := slices.Sorted(slices.Values(took[path]))
		return float64(all[(len(all)*percent-1)/100].Microseconds()) / 1000
	}
	others := slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == groupsPage })
	slowest := slices.MaxFunc(others, func(a, b string) int { return cmp.Compare(part(a, 95), part(b, 95)) })
	result := func(name string, value, goal float64) Result {
		r := plain(fmt.Sprintf("%s with %d standing still, %s", name, o.of(standing), d), "ms", value)
		if goal > 0 {
			r.Bound, r.OK = fmt.Sprintf("below %.0f ms", goal), value < goal
		}
		return r
	}
	rows := plain("rows of the longest page, "+string(d), "rows", float64(most))
	rows.Bound, rows.OK = fmt.Sprintf("fewer than %d", pageRows), most < pageRows
	return []Result{
		result("groups page, median", part(groupsPage, 50), 0), result("groups page, p95", part(groupsPage, 95), groupsGoal),
		result("slowest other page ("+slowest+"), median", part(slowest, 50), 0), result("slowest other page, p95", part(slowest, 95), pagesGoal), rows,
	}, nil
}

// readPage reads one page and counts its rows.
func readPage(ctx context.Context, at string) (rows int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	page, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answers %d", at, resp.StatusCode)
	}
	return strings.Count(string(page), "<tr"), nil
}
