package console_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"holdfast/internal/console"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// failures is how many messages stand still in a plant of bulk.
const failures = 200_000

// statements are those that pages have run, each once.
type statements struct {
	mu   sync.Mutex
	seen []string // guarded by mu; nil while nobody listens
	on   bool
}

func (s *statements) hear(_ context.Context, statement string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on && strings.HasPrefix(statement, "SELECT") && !slices.Contains(s.seen, statement) {
		s.seen = append(s.seen, statement)
	}
	return nil
}

// during lists what f has run.
func (s *statements) during(f func()) []string {
	s.mu.Lock()
	s.seen, s.on = nil, true
	s.mu.Unlock()
	f()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	return s.seen
}

// load has 200,000 lanes stand still, as many messages delivered and refused, and a tenth of that in quarantine, by statements of the database itself.
func (p *plant) load() {
	p.t.Helper()
	series := `WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) `
	if p.db.Dialect() == store.Postgres {
		series = `WITH s (n) AS (SELECT generate_series(1, %d)) `
	}
	const (
		shared = `link, %s, epoch, number, %s, event, source, kind, version, key, time, body, creates, cause, trace, mapping, prev, role, refers, digest, %s, attempts, redelivery`
		bulk   = `'bulk-' || CAST(n AS TEXT)`
		id     = `'id-' || CAST(n AS TEXT)`
		at     = `created_at + n * 1000`
	)
	cold := `, settled_at, sent_with, document, doc_kind, status, answered, asked, refused`
	for _, q := range []string{
		fmt.Sprintf(series, failures) + `INSERT INTO outbox_lanes (link, lane, next_number, pending, head_at, state, reason, changed_at)
			SELECT 'erp', ` + bulk + `, 2, 1, head_at + n * 1000, CASE WHEN n % 20 = 0 THEN 'unknown' ELSE 'parked' END,
			'the ERP refused it (M7 ' || CAST(n % 30 AS TEXT) || CASE n % 30 WHEN 0 THEN '): no stock of ' WHEN 1 THEN '): the period is closed for ' WHEN 2 THEN '): no batch for ' ELSE '): unknown material ' END || CAST(n AS TEXT),
			changed_at FROM s, (SELECT head_at, changed_at FROM outbox_lanes WHERE state = 'parked') AS l`,
		fmt.Sprintf(series, failures) + `INSERT INTO outbox_messages (` + fmt.Sprintf(shared, "lane", "id", "created_at") + `)
			SELECT ` + strings.Replace(fmt.Sprintf(shared, bulk, id, at), "epoch, number", "1, 1", 1) + ` FROM s, (SELECT * FROM outbox_messages WHERE id = '` + p.stuck + `') AS m`,
		fmt.Sprintf(series, failures/10) + `INSERT INTO outbox_delivered (` + fmt.Sprintf(shared, "lane", "id", "created_at") + cold + `)
			SELECT ` + fmt.Sprintf(shared, `'done-' || CAST(n AS TEXT)`, `'done-' || CAST(n AS TEXT)`, at) + strings.Replace(cold, "refused", "CASE WHEN n % 2 = 0 THEN 'locked' ELSE '' END", 1) + `
			FROM s, (SELECT * FROM outbox_delivered ORDER BY created_at LIMIT 1) AS m`,
		fmt.Sprintf(series, failures/10) + `INSERT INTO inbox_messages (source, id, kind, version, key, time, body, link, mapping, stream, lane, epoch, number, prev, role, refers,
			creates, cause, trace, object_version, digest, content, state, problem, received_at)
			SELECT source, id || CAST(n AS TEXT), kind, version, key, time, body, link, mapping, stream, lane, epoch, number, prev, role, refers,
			creates, cause, trace, object_version, digest, content, CASE WHEN n % 10 = 0 THEN state ELSE 'done' END, problem, received_at FROM s, (SELECT * FROM inbox_messages WHERE state = 'quarantined') AS m`,
	} {
		p.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(p.t.Context(), q)
			return err
		})
	}
	for _, name := range []string{"outbox_lanes", "outbox_messages", "outbox_delivered", "inbox_messages"} {
		p.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(p.t.Context(), "ANALYZE "+name)
			return err
		})
	}
}

// bulkPaths are the pages whose cost could grow with what stands still, each in every form that a person can choose, and beyond their first page.
func (p *plant) bulkPaths() []string {
	all := p.paths()
	for _, state := range []string{"stuck", "owed", "delivered", "refused", "all"} {
		for _, more := range []string{"", "&link=erp", "&kind=operation.confirmed", "&kind=order.created", "&from=2020-01-01", "&q=closed", "&q=nothing+like+it", "&q=bulk-77", "&q=" + p.orders[0]} {
			all = append(all, "/console/messages?state="+state+more)
		}
	}
	for _, state := range []string{"stuck", "waiting", "paused", "all"} {
		all = append(all, "/console/lanes?state="+state, "/console/lanes?link=erp&state="+state)
	}
	return append(all, "/console/messages?state=stuck&reason="+url.QueryEscape("the ERP refused it … … no stock of …"),
		"/console/lane?link=erp&lane=bulk-77", "/console/messages/id-77", "/console/audit?action=msg.replay")
}

// after is the address of the second page of a list, "" if it has one page.
func after(t *testing.T, page string) string {
	t.Helper()
	for _, n := range nodes(t, page) {
		if n.Data == "a" && attr(n, "rel") == "next" {
			return attr(n, "href")
		}
	}
	return ""
}

// TestPagesAt200000Failures reads every page while 200,000 messages stand still. What decides is what the database says it does for a page: it
// reads no table from end to end and sorts no more than it shows, but for the figures that are counted apart and kept (those that group). The
// times are printed; they fail the test only if they are far out.
func TestPagesAt200000Failures(t *testing.T) {
	var heard statements
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db, func(c *console.Config) { c.Every = 5 * time.Second })
		began := time.Now()
		p.load()
		t.Logf("loaded in %s", time.Since(began).Round(time.Millisecond))
		p.running()
		paths := p.bulkPaths()
		for _, path := range slices.Clone(paths) {
			status, page := p.get(path)
			if n := rows(t, page); n >= 300 || status >= 500 {
				t.Errorf("%s: status %d with %d rows, want fewer than 300", path, status, n)
			}
			if next := after(t, page); next != "" {
				paths = append(paths, next)
			}
		}
		took, known, slow := map[string][]time.Duration{}, map[string]bool{}, map[string]time.Duration{}
		for _, path := range paths {
			began := time.Now()
			ran := heard.during(func() { p.get(path) })
			slow[path] = time.Since(began)
			took[nameOf(path)] = append(took[nameOf(path)], slow[path])
			for _, q := range ran {
				if !known[q] {
					known[q] = true
					for _, wrong := range unbounded(t, db, q) {
						t.Errorf("%s: %s\n%s", path, wrong, q)
					}
				}
			}
		}
		for _, path := range slices.SortedFunc(maps.Keys(slow), func(a, b string) int { return cmp.Compare(slow[b], slow[a]) })[:8] {
			t.Logf("slowest: %7.1f ms %s", slow[path].Seconds()*1e3, path)
		}
		tell(t, took)
	}, storetest.WithBefore(heard.hear))
}

// running has the console count its figures in the background, as the program does.
func (p *plant) running() {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.pages.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

// nameOf is the page of an address.
func nameOf(path string) string {
	name, query, _ := strings.Cut(path, "?")
	for _, parent := range []string{"/console/messages/", "/console/shopfloor/"} {
		if id, ok := strings.CutPrefix(name, parent); ok && id != "" {
			name = parent + "…"
		}
	}
	if strings.Contains(query, "state=stuck") || query == "" && name == "/console/messages" {
		name += ", by reason"
	}
	return name
}

// tell prints the 95th percentile of each page.
func tell(t *testing.T, took map[string][]time.Duration) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(took)) {
		all := took[name]
		slices.Sort(all)
		p95 := all[(len(all)*95-1)/100]
		t.Logf("%-30s %3d times, p95 %7.1f ms, longest %7.1f ms", name, len(all), p95.Seconds()*1e3, all[len(all)-1].Seconds()*1e3)
		if p95 > 5*time.Second {
			t.Errorf("%s: p95 %s", name, p95)
		}
	}
}

func rows(t *testing.T, page string) (n int) {
	t.Helper()
	for _, e := range nodes(t, page) {
		if e.Type == html.ElementNode && e.Data == "tr" {
			n++
		}
	}
	return n
}

var (
	bigTable = regexp.MustCompile(`(outbox_lanes|outbox_messages|outbox_delivered|inbox_messages|\b[lmr]\b)`)
	seqScan  = regexp.MustCompile(`Seq Scan on (outbox_lanes|outbox_messages|outbox_delivered|inbox_messages)`)
	keyOrder = regexp.MustCompile(`FROM inbox_messages WHERE 1 = 1( AND seq < \?)? ORDER BY seq DESC LIMIT \?$`)
	ofRows   = regexp.MustCompile(`rows=(\d+)`)
)

// unbounded says what a statement does whose cost grows with the rows of the tables.
func unbounded(t *testing.T, db *store.DB, q string) (wrong []string) {
	t.Helper()
	if db.Dialect() == store.Postgres && strings.Contains(q, "LIKE") {
		return nil // without knowing the words it expects to find few, and reads what stands still in any order
	}
	if keyOrder.MatchString(q) {
		return nil // in the order of the key, to the end of the page
	}
	if strings.Contains(q, "GROUP BY") || strings.Contains(q, "COUNT(") || strings.Contains(q, "SUM(") {
		return nil // a figure, which is kept
	}
	lines := planOf(t, db, q)
	for i, l := range lines {
		switch {
		case db.Dialect() == store.SQLite && strings.HasPrefix(strings.TrimSpace(l), "SCAN") && bigTable.MatchString(l) && !strings.Contains(l, "INDEX"),
			seqScan.MatchString(l):
			wrong = append(wrong, "reads a table from end to end:\n"+strings.Join(lines, "\n"))
		case strings.Contains(l, "USE TEMP B-TREE FOR ORDER BY") && sortsMany(lines, i), strings.Contains(l, "Sort  (") && !strings.Contains(l, "Incremental") && estimate(lines, i) > 5000:
			wrong = append(wrong, "sorts all rows:\n"+strings.Join(lines, "\n"))
		}
	}
	return wrong
}

// estimate is how many rows the plan of PostgreSQL expects below a line.
func estimate(lines []string, i int) int {
	for _, l := range lines[i+1:] {
		if m := ofRows.FindStringSubmatch(l); m != nil {
			n := 0
			_, _ = fmt.Sscan(m[1], &n)
			return n
		}
	}
	return 0
}

// sortsMany tells whether a sort of SQLite's plan is over a table that is not asked for one lane or one message.
func sortsMany(lines []string, i int) bool {
	depth := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
	for j := i - 1; j >= 0; j-- {
		d := len(lines[j]) - len(strings.TrimLeft(lines[j], " "))
		if d < depth {
			return false
		}
		if d == depth && bigTable.MatchString(lines[j]) && !strings.Contains(lines[j], "lane=?") && !strings.Contains(lines[j], "id=?") {
			return true
		}
	}
	return false
}

// planOf is how the database would run a statement, whatever its arguments are; the depth of a line is that of its step.
func planOf(t *testing.T, db *store.DB, q string) (lines []string) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		if db.Dialect() == store.Postgres {
			for _, s := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE looked AS " + q} {
				if _, err := tx.Exec(t.Context(), s); err != nil {
					return err
				}
			}
			nulls := strings.TrimSuffix(strings.Repeat("NULL, ", strings.Count(q, "?")), ", ")
			if nulls != "" {
				nulls = "(" + nulls + ")"
			}
			if err := tx.Select(t.Context(), &lines, "EXPLAIN EXECUTE looked"+nulls); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), "DEALLOCATE looked")
			return err
		}
		var steps []struct {
			ID, Parent, NotUsed int
			Detail              string
		}
		if err := tx.Select(t.Context(), &steps, "EXPLAIN QUERY PLAN "+q, make([]any, strings.Count(q, "?"))...); err != nil {
			return err
		}
		depth := map[int]int{}
		for _, s := range steps {
			depth[s.ID] = depth[s.Parent] + 1
			lines = append(lines, strings.Repeat(" ", depth[s.ID])+s.Detail)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, q)
	}
	return lines
}
