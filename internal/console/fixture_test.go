package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/console"
	"holdfast/internal/decimal"
	"holdfast/internal/edition"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/port"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// plant is a console over a real database, with an ERP that says what the test has it say.
type plant struct {
	t       *testing.T
	db      *store.DB
	out     *outbox.Outbox
	mes     *mes.Plant
	in      *inbox.Inbox
	pages   *console.Console
	jobs    *job.Jobs
	url     string
	srv     *httptest.Server
	orders  []string // IDs: of the first, a confirmation was refused
	stuck   string   // the message that was refused
	replay  string   // a job about it that nobody has started
	refusal atomic.Pointer[problem.Error]
	reason  string // with which the ERP refuses
	ring    *seal.Ring
	gate    atomic.Value // of console.Gate; nothing: whoever sits at this machine
}

// Who implements console.Gate.
func (p *plant) Who(r *http.Request, action string) (access.Actor, error) {
	if g, ok := p.gate.Load().(console.Gate); ok {
		return g.Who(r, action)
	}
	return console.Local{}.Who(r, action)
}

// Check implements console.Checker: an ERP's contract that refuses what the test wants refused.
func (p *plant) Check(context.Context, *store.Tx, outbox.Detail) error {
	if e := p.refusal.Load(); e != nil {
		return e
	}
	return nil
}

// refusing is a mapping of what comes in that takes nothing, so that all of it is in quarantine.
type refusing struct{}

func (refusing) ApplyIn(context.Context, string, message.Message, mapping.Resolver) (message.Message, error) {
	return message.Message{}, &problem.Error{Kind: problem.Invalid, What: "map", Why: "the quantity <b>is missing</b>", Hint: "correct it"}
}

// shelf is a workshop in which every mapping fits, and no plant has any of its own.
type shelf struct{}

func (shelf) Base(context.Context) (edition.Edition, error) { return edition.Read(fstest.MapFS{}) }

func (shelf) Fit(*mapping.Set, string) map[string][]mapping.Finding {
	return map[string][]mapping.Finding{"erp": nil}
}

// Holds has something against the unit QQ9.
func (shelf) Holds(_ *mapping.Set, _ string, _ message.Message, made mapping.Made) []string {
	if strings.Contains(string(made.Body), `"QQ9"`) {
		return []string{"link erp: /unit: it is no unit"}
	}
	return nil
}

// Document is not known.
func (shelf) Document(*mapping.Set, string) *schema.Type { return nil }

// Words knows the source alone, as where no link uses a mapping.
func (shelf) Words(set *mapping.Set, name string) []mapping.Word { return set.Words(name, nil) }

func (shelf) Ready(context.Context, edition.Edition) error { return nil }

// Usable refuses an edition with a file gone.yaml.
func (shelf) Usable(_ context.Context, e edition.Edition) error {
	files, err := e.FS()
	if err != nil {
		return err
	}
	if _, err := fs.Stat(files, "gone.yaml"); err == nil {
		return &problem.Error{Kind: problem.Invalid, What: "go back", Why: "no node takes it any more", Hint: "publish others"}
	}
	return nil
}

// madeCopies are a copy that was proven, one that was not, one that is damaged, and a place that cannot be reached.
func madeCopies(context.Context) ([]backup.Copy, error) {
	made := time.Now().Add(-3 * time.Hour)
	of := func(id string, back time.Duration) backup.Manifest {
		return backup.Manifest{ID: id, Made: made.Add(-back), State: backup.State{Owed: 4}}
	}
	return []backup.Copy{
		{Manifest: of("20261127-150000", 0), Place: "/mnt/a", Size: 7 << 20},
		{Manifest: of("20261126-150000", 24*time.Hour), Place: "/mnt/a", Size: 7 << 20, Proven: &backup.Proof{At: made, Took: 12.5, Signer: "urn:plant:1000/node/a"}},
		{Manifest: of("20261125-150000", 48*time.Hour), Place: "/mnt/a", Size: 6 << 20, Trouble: "<b>its manifest is cut</b>"},
	}, &problem.Error{Kind: problem.Unavailable, What: "list the copies in sftp:site", Why: "no route to host", Hint: "see whether the site can be reached"}
}

// owing is the plant's outbox, as cmd joins it.
type owing struct{ *outbox.Outbox }

func (o owing) Append(ctx context.Context, tx *store.Tx, m message.Message) error {
	return o.Outbox.Append(ctx, tx, m)
}

func d(s string) decimal.Decimal { return decimal.MustParse(s) }

// open builds a plant in which one of each thing has happened, and serves its console.
func open(t *testing.T, db *store.DB, change ...func(*console.Config)) *plant {
	t.Helper()
	p := empty(t, db, change...)
	p.fill()
	return p
}

// empty builds a plant in which nothing has happened.
func empty(t *testing.T, db *store.DB, change ...func(*console.Config)) *plant {
	t.Helper()
	out := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "erp-out"}}, "urn:plant:1000", outbox.Config{})
	p := &plant{t: t, db: db, out: out, mes: mes.New(owing{out}, mes.Config{}), reason: "the ERP refused it: yield 4 PCE exceeds what is open <b>now</b>"}
	p.keys()
	rules, err := mapping.Load(mapping.Library())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	p.in = inbox.New(db, refusing{}, p.mes.Apply, inbox.Config{}, slog.New(slog.DiscardHandler))
	p.jobs = job.New(db, out, job.Config{ReplayOver: 1000}, log)
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	cfg := console.Config{
		Plant: "1000", Name: "Weimar, test", Version: "test", Zone: zone, Links: []console.Link{{Name: "erp", Kind: "rest", Rate: 50}},
		Copies: madeCopies, CopiesAlarm: 48 * time.Hour,
		Every: 100 * time.Millisecond, Trust: p.ring.Trust, Space: func(context.Context) (console.Space, error) { return console.Space{Free: 5 << 30, Used: 1 << 20}, nil },
	}
	for _, f := range change {
		f(&cfg)
	}
	p.pages = console.New(console.Parts{
		DB: db, Plant: p.mes, Outbox: out, Inbox: p.in, Doer: access.New(db), Gate: p, Checker: p, Rules: mapping.NewLive(rules), Jobs: p.jobs, Workshop: shelf{},
	}, cfg, log)
	ports, err := port.Free(1) // a test starts it there again
	if err != nil {
		t.Fatal(err)
	}
	p.start(fmt.Sprintf("127.0.0.1:%d", ports[0]))
	t.Cleanup(p.stop)
	return p
}

// start serves the console at an address.
func (p *plant) start(address string) {
	p.t.Helper()
	l, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.srv = &httptest.Server{Listener: l, Config: &http.Server{Handler: p.pages.Handler(), ReadHeaderTimeout: time.Minute}}
	p.srv.Start()
	p.url = p.srv.URL
}

// stop cuts every connection and takes no more.
func (p *plant) stop() {
	p.srv.CloseClientConnections()
	p.srv.Close()
}

// keys gives the plant a key to sign with.
func (p *plant) keys() {
	p.t.Helper()
	safe := seal.NewSafe(p.t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		p.t.Fatal(err)
	}
	node := seal.NodeURI("urn:plant:1000", "a")
	from := seal.NewLocal(safe, node, time.Hour, time.Now)
	var err error
	if p.ring, err = seal.OpenRing(p.t.Context(), p.db, from, nil, node, seal.RingConfig{}, slog.New(slog.DiscardHandler)); err != nil {
		p.t.Fatal(err)
	}
	p.out.SignWith(p.ring)
}

// fill has two orders made and told, work reported, a report refused, a link down, a message in quarantine.
func (p *plant) fill() {
	p.t.Helper()
	p.master()
	for range 2 {
		p.orders = append(p.orders, p.order())
	}
	p.deliver(outbox.Next{}, "1000042")
	p.work(p.orders[0])
	p.deliver(outbox.Next{}, "1")
	p.confirm(p.orders[0], "4")
	p.deliver(outbox.Next{State: outbox.Parked, Reason: p.reason}, "")
	p.confirm(p.orders[0], "2")
	p.tx(func(tx *store.Tx) error {
		return p.out.SetBreaker(p.t.Context(), tx, "erp", "open", "connection refused")
	})
	p.receive()
	p.tx(func(tx *store.Tx) error {
		list, _, err := p.out.Stuck(p.t.Context(), tx, outbox.StuckFilter{}, "")
		if len(list) != 1 {
			p.t.Fatalf("%d messages stand still, want 1", len(list))
		}
		p.stuck = list[0].ID
		b, jerr := p.jobs.Plan(p.t.Context(), tx, job.Request{Choice: outbox.Choice{Failed: true}}, "anna")
		p.replay = b.ID
		return errors.Join(err, jerr)
	})
}

func (p *plant) master() {
	p.t.Helper()
	p.apply("material.changed", mes.Material{Number: "BIKE", Description: "City bike", BaseUnit: "PCE"})
	p.apply("material.changed", mes.Material{Number: "FRAME", Description: "Frame", BaseUnit: "PCE", BatchManaged: true})
	p.apply("workcentre.changed", mes.WorkCentre{Number: "WELD", Plant: "1000", Description: "Welding"})
	p.apply("bom.changed", mes.BOM{
		Material: "BIKE", Plant: "1000", BaseQuantity: d("1"), Unit: "PCE",
		Items: []mes.BOMItem{{Item: "0010", Material: "FRAME", Quantity: d("1"), Unit: "PCE", Operation: "0010", BatchManaged: true}},
	})
	p.apply("routing.changed", mes.Routing{
		Material: "BIKE", Plant: "1000", Operations: []mes.PlannedOperation{{Number: "0010", Description: "Weld", WorkCentre: "WELD", TimeUnit: "MIN"}},
	})
}

// apply is the ERP's word, as the inbox would hand it to the plant.
func (p *plant) apply(kind string, body any) {
	p.t.Helper()
	m, err := message.New("seed-"+kind, kind, "seed", p.db.Now(), body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tx(func(tx *store.Tx) error { return p.mes.Apply(p.t.Context(), tx, m) })
}

func (p *plant) tx(fn func(tx *store.Tx) error) {
	p.t.Helper()
	if err := p.db.InTx(p.t.Context(), fn); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) order() (id string) {
	p.t.Helper()
	p.tx(func(tx *store.Tx) error {
		o, err := p.mes.CreateOrder(p.t.Context(), tx, mes.NewOrder{ID: uuid.NewString(), Material: "BIKE", Quantity: d("12"), End: p.db.Now().Add(8 * time.Hour)})
		id = o.ID
		return err
	})
	return id
}

func (p *plant) work(order string) {
	p.t.Helper()
	p.tx(func(tx *store.Tx) error {
		_, err := p.mes.StartOrder(p.t.Context(), tx, mes.OrderAct{ID: uuid.NewString(), Order: order})
		return err
	})
}

func (p *plant) confirm(order, yield string) {
	p.t.Helper()
	p.tx(func(tx *store.Tx) error {
		_, err := p.mes.Confirm(p.t.Context(), tx, mes.NewConfirmation{ID: uuid.NewString(), Order: order, Operation: "0010", Yield: d(yield)})
		return err
	})
}

// receive takes in a message that the mapping refuses.
func (p *plant) receive() {
	p.t.Helper()
	m := message.Message{ID: "in-1", Source: "urn:erp", Kind: "erp.order", Version: 1, Key: "1000042", Time: p.db.Now(), Body: []byte(`{"name":"<script>alert(1)</script>"}`)}
	p.tx(func(tx *store.Tx) error {
		_, err := p.in.Receive(p.t.Context(), tx, message.Incoming{Message: m, Mapping: "erp-in/order"}, "erp")
		return err
	})
	for {
		n, err := p.in.Step(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// deliver plays the relay: it claims what is due and settles it as the ERP's answer says.
func (p *plant) deliver(next outbox.Next, document string) {
	p.t.Helper()
	p.tx(func(tx *store.Tx) error {
		claims, err := p.out.Claim(p.t.Context(), tx, "test", "erp", 100, 1)
		if err != nil {
			return err
		}
		all := make([]outbox.Settlement, 0, len(claims))
		for _, c := range claims {
			s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, Next: next}
			for _, m := range c.Messages {
				if next.State != "" {
					s.Next.ID = m.ID
					break
				}
				s.Done = append(s.Done, outbox.Done{
					ID: m.ID, Redelivery: m.Redelivery, Creates: m.Creates, Role: m.Role,
					Receipt: message.Receipt{Document: document + "-" + m.ID[:4], Answer: []byte(`{"number":"` + document + `"}`), Status: 201, At: tx.Now},
				})
			}
			all = append(all, s)
		}
		_, _, err = p.out.Settle(p.t.Context(), tx, "erp", all)
		return err
	})
}

// get reads a page.
func (p *plant) get(path string) (status int, body string) {
	p.t.Helper()
	res, err := http.Get(p.url + path) //nolint:noctx // the test's own server
	if err != nil {
		p.t.Fatal(err)
	}
	return p.read(res)
}

func (p *plant) read(res *http.Response) (status int, body string) {
	p.t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// post sends a form, and says where it leads without going there.
func (p *plant) post(path string, form url.Values, header ...string) (status int, to, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := stay.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	to = res.Header.Get("Location")
	status, body = p.read(res)
	return status, to, body
}

// detail is a message as the outbox has it.
func (p *plant) detail(id string) (d outbox.Detail) {
	p.t.Helper()
	err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) {
		d, err = p.out.Message(p.t.Context(), tx, id)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// record is what the audit record has of an action.
func (p *plant) record(action string) (list []audit.Entry) {
	p.t.Helper()
	err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) {
		list, err = audit.List(p.t.Context(), tx, audit.Filter{Action: action})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// paths are every page of the plant that open has made.
func (p *plant) paths() []string {
	lane := "/console/lane?" + url.Values{"link": {"erp"}, "lane": {p.orders[0]}}.Encode()
	return []string{
		"/console/", "/console/messages", "/console/messages?state=all", "/console/messages?state=all&q=BIKE", "/console/messages/" + p.stuck,
		"/console/messages?" + url.Values{"link": {"erp"}, "reason": {"the ERP refused it: yield … PCE exceeds what is open <b>now</b>"}}.Encode(),
		"/console/lanes", "/console/lanes?state=all", lane, lane + "&prove=now", "/console/links", "/console/quarantine", "/console/quarantine?tab=taken",
		"/console/quarantine?tab=waiting", "/console/quarantine?tab=rejected", "/console/quarantine/1", "/console/shopfloor", "/console/shopfloor/" + p.orders[0],
		"/console/shopfloor/" + p.orders[1], "/console/audit", "/console/alerts", "/console/keys", "/console/conflicts", "/console/jobs", "/console/jobs/" + p.replay, "/console/backups", "/console/reconcile", "/console/nothing",
	}
}

// says is what a page says in its middle, for the words of a failure.
func (p *plant) says(page string) string {
	p.t.Helper()
	for _, n := range nodes(p.t, page) {
		if n.Data == "main" {
			return text(n)
		}
	}
	return page
}
