// Package console serves the plant's web pages: what is stuck and why, the repair of a message, the shop floor while the ERP is away.
//
// # Guarantees
//
//   - Every act is one act of package access, as it is for the API and the command line: the same action, reason, audit entry, and no
//     second effect however often a form is sent.
//   - A page shows what the store says at that moment. What the browser is told in between are hints that something has changed; it then
//     reads the page again. Figures that cost more than a page may are kept for a moment and say from when they are.
//   - Lists, details and single acts need no JavaScript.
//   - Nothing inline runs: the policy of every answer allows the program's own files alone, and what other systems have written is text.
//   - Nobody is served whom the Gate has not let in, and no form of another site's page counts.
//
// The package owns the table console_points; nothing else reads or writes it.
package console

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/anomaly"
	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

// Root is the path below which the pages are.
const Root = "/console/"

// Gate says who makes a request, and whether he may see what it asks for: action is a name of package access, "" for an act, which is
// judged when it is done. Its error is a *problem.Error of kind Denied or Unknown.
type Gate interface {
	Who(r *http.Request, action string) (access.Actor, error)
}

// Checker tells whether an amended message is about what it was about, and whether mapping and contract take it. nil means yes, as far as that
// can be told before the ERP answers; its error is a *problem.Error of kind Invalid. It sends nothing.
type Checker interface {
	Check(ctx context.Context, tx *store.Tx, m outbox.Detail) error
}

// Parts are what the pages show and act on; all but SignIn, Elsewhere, Passkeys, Badges and Tokens are required.
type Parts struct {
	DB     *store.DB
	Plant  *mes.Plant
	Outbox *outbox.Outbox
	Inbox  *inbox.Inbox
	Doer   *access.Doer
	Gate   Gate
	SignIn SignIn // nil: nobody signs in
	// Elsewhere are the providers that people sign in at besides; nil: there are none.
	Elsewhere Elsewhere
	// Passkeys let accounts of the plant in besides; nil: none is taken.
	Passkeys *access.Passkeys
	// Badges let people of providers and directories in at terminals of the shop floor; nil: none does.
	Badges  *access.Badges
	Checker Checker
	Rules   *mapping.Live
	Jobs    *job.Jobs
	Tokens  *token.Tokens // nil: nothing is sensitive
	// Workshop is what the Mappings page needs of the program.
	Workshop Workshop
	// Doubts are what is doubtful about the plant's reports; nil: none is judged.
	Doubts *anomaly.Watch
	// Accept says that an event is right which is doubtful, learns it, and lets it go at each link where it is held.
	Accept func(ctx context.Context, tx *store.Tx, event, by, reason string) (released int, err error)
}

// Link is a link as the configuration has it.
type Link struct {
	Name, Kind string
	Rate       int // requests a second at most; 0 is no limit
	Together   int // the most messages of a request; 0 is 1
}

// Signing is of the node that can sign for the shortest time if its keyring gives no other certificate.
type Signing struct {
	Node string
	Left time.Duration // 0: it cannot sign any more
	Half bool          // more than half of the time is gone for which the keyring may be away
}

// Space is how much room the store has and takes.
type Space struct{ Free, Used int64 }

// Config is what the pages say besides; zero fields mean the default.
type Config struct {
	Plant   string         // its number
	Name    string         // of the environment, such as "Weimar, test"; default "plant" and the number
	Version string         // of the program
	Zone    *time.Location // of the plant; default UTC
	Links   []Link         // of the configuration, by name
	// FourEyes has an edition of the mappings wait for somebody else than its author.
	FourEyes bool
	MaxBody  int64         // bytes of a form; default 1 MiB
	Every    time.Duration // between two points of the charts; default 5 s
	// Trust gives the keys that count; nil where the plant signs nothing.
	Trust func(ctx context.Context) (*seal.Trust, error)
	// Receipts gives what checks the receipts of a link's ERP, nil for one that signs none.
	Receipts func(link string) message.ReceiptVerifier
	// Signing tells how long the plant signs without its keyring; nil where it signs nothing.
	Signing func(ctx context.Context) (Signing, error)
	// Space measures the store; nil where nobody can: a database elsewhere.
	Space func(ctx context.Context) (Space, error)
	// Copies lists the copies of every place that can be read, the newest first, and says what is wrong with the others; nil where the plant has
	// no place for any.
	Copies func(ctx context.Context) ([]backup.Copy, error)
	// CopiesAlarm is from which age of the newest proven copy on the page warns; 0 is never.
	CopiesAlarm time.Duration
}

// Console serves the pages. It is safe for use by many goroutines.
type Console struct {
	Parts
	cfg      Config
	log      *slog.Logger
	pages    pages
	assets   map[string]asset
	board    *board
	macs     audit.Since
	slots    chan struct{} // what compiles mappings to try them holds one
	putting  chan struct{} // what puts mappings into use holds it, so that nobody who tries some holds that up
	compiled compiled
	stopping chan struct{} // closed when Run ends: streams end, so that the server can
}

// New returns a Console. Templates and assets are part of the program; New panics if one is broken, which a test excludes.
func New(parts Parts, cfg Config, log *slog.Logger) *Console {
	cfg.Name = cmp.Or(cfg.Name, "plant "+cfg.Plant)
	cfg.Zone = cmp.Or(cfg.Zone, time.UTC)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, 1<<20)
	cfg.Every = cmp.Or(cfg.Every, 5*time.Second)
	if cfg.Receipts == nil {
		cfg.Receipts = func(string) message.ReceiptVerifier { return nil }
	}
	c := &Console{Parts: parts, cfg: cfg, log: log, stopping: make(chan struct{}), slots: make(chan struct{}, 2), putting: make(chan struct{}, 1)}
	c.assets = loadAssets()
	c.pages = loadPages(c.assets)
	c.board = newBoard(c)
	return c
}

// Run measures the figures of the charts until ctx ends, and then ends the streams of hints.
func (c *Console) Run(ctx context.Context) error {
	defer close(c.stopping)
	return c.board.Run(ctx)
}

// policy is what a browser may do with a page: load the program's own files, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// Handler serves everything below Root.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, s := range c.served() {
		mux.HandleFunc(s.pattern, s.serve)
	}
	sites := http.NewCrossOriginProtection()
	sites.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, &problem.Error{
			Kind: problem.Denied, What: "send a form", Why: "it comes from the page of another site", Hint: "open the console itself and send it from there",
		})
	}))
	return guarded(sites.Handler(mux))
}

// open stands for the action of what asks nobody who they are.
const open = "open"

// served is an address of the console, with the action that it needs: open, or "" for whoever is signed in.
type served struct {
	pattern, action string
	serve           http.HandlerFunc
}

// served is everything that the console answers; nothing else is put into its mux, so that a test sees who may open what.
func (c *Console) served() []served {
	all := []served{
		{"GET " + Root + "static/{file...}", open, c.static},
		{"GET " + Root + "events", access.StatusRead, c.admitted(access.StatusRead, c.events)},
		{Root, open, func(w http.ResponseWriter, r *http.Request) { c.fail(w, r, noPage()) }},
	}
	for _, t := range c.routes() {
		all = append(all, served{t.pattern, t.action, c.admitted(t.action, c.shown(t.show))})
	}
	for _, t := range c.door() {
		all = append(all, served{t.pattern, t.action, c.shown(t.show)})
	}
	return all
}

// guarded sets the headers of every answer.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		next.ServeHTTP(w, r)
	})
}

// show answers one request: with a page, or, after an act, with where to go.
type show func(r *http.Request) (*page, error)

// route is a page or an act.
type route struct {
	pattern, action string
	show            show
}

// routes are the pages and the acts.
func (c *Console) routes() []route {
	get := func(path, action string, s show) route { return route{"GET " + Root + path, action, s} }
	// after an act its page is shown, also where it was refused: so an act needs the right to see the page, besides its own
	post := func(path, action string, s show) route { return route{"POST " + Root + path, action, s} }
	all := []route{
		get("{$}", access.StatusRead, c.overview),
		get("figures.json", access.StatusRead, c.figures),
		get("messages", access.MsgRead, c.messages),
		get("messages.csv", access.MsgExport, c.messagesCSV),
		get("messages/{id}", access.MsgRead, c.message),
		get("messages/{id}/body", access.MsgRead, c.messageBody),
		post("messages/note", access.MsgRead, c.noteGroup),
		post("messages/{id}/{act}", access.MsgRead, c.actOnMessage),
		get("lanes", access.MsgRead, c.lanes),
		get("lane", access.MsgRead, c.lane),
		post("lane/{act}", access.MsgRead, c.actOnLane),
		get("jobs", access.MsgRead, c.jobs),
		get("jobs/{id}", access.MsgRead, c.job),
		post("jobs/plan", access.MsgRead, c.planJob),
		post("jobs/{id}/{act}", access.MsgRead, c.actOnJob),
		get("reconcile", access.MsgRead, c.reconcile),
		post("reconcile/plan", access.MsgRead, c.planRepair),
		post("reconcile/anew", access.MsgRead, c.reportAnew),
		post("reconcile/read-again", access.MsgRead, c.readAgain),
		get("links", access.StatusRead, c.links),
		post("links/{link}/{act}", access.StatusRead, c.actOnLink),
		get("quarantine", access.InboundRead, c.quarantine),
		get("quarantine/{number}", access.InboundRead, c.inbound),
		post("quarantine/{n}/{act}", access.InboundRead, c.actOnInbound),
		post("inbound-gaps/skip", access.InboundRead, c.skipInbound),
		get("shopfloor", access.PlantRead, c.shopfloor),
		get("shopfloor/{order}", access.PlantRead, c.order),
		post("shopfloor/{order}/{act}", access.PlantRead, c.actOnOrder),
		get("mappings", access.StatusRead, c.mappings),
		get("mappings/effect", access.MsgRead, c.effect),
		post("mappings/approve", access.MsgRead, c.approval), // what it would change in messages is looked at before
		post("mappings/{act}", access.StatusRead, c.actOnMappings),
		get("mapping", access.StatusRead, c.mapping),
		post("mapping/{act}", access.MappingPreview, c.actOnMapping),
		get("audit", access.AuditRead, c.auditRecord),
		get("alerts", access.AuditRead, c.alerts),
		get("keys", access.KeysRead, c.keys),
		get("backups", access.BackupRead, c.backups),
		get("conflicts", access.PlantRead, c.conflicts),
		post("conflicts/dismiss", access.PlantRead, c.dismiss),
		post("preferences", "", c.prefer),
	}
	all = append(all, c.accountRoutes(get, post)...)
	if c.Tokens.On() {
		all = append(all, get("tokens", access.TokenReveal, c.tokens), post("tokens/show", access.TokenReveal, c.showToken))
	}
	return all
}

// noPage is told of a path that is none.
func noPage() error {
	return &problem.Error{Kind: problem.NotFound, What: "open this page", Why: "there is no such page", Hint: "begin at the overview"}
}

// assetFiles are the files that the program serves.
func assetFiles() fs.FS {
	sub, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}
