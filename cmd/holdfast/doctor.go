package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"holdfast/internal/audit"
	"holdfast/internal/edition"
	"holdfast/internal/httpapi"
	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// finding is what doctor says of one thing.
type finding struct {
	Subject string `json:"subject"`
	State   string `json:"state"` // ok, look (nothing is broken yet) or bad
	Says    string `json:"says"`
	Do      string `json:"do,omitempty"`

	kind problem.Kind // of what is bad
}

// The states of a finding.
const (
	isOK  = "ok"
	look  = "look"
	isBad = "bad"
)

func newDoctor() *cobra.Command {
	var asJSON, network bool
	var policy string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check every connection and setting, and say what to do",
		Long: "Doctor reads the configuration, opens the database as it is, looks at mappings, disk and clock, and calls one harmless\n" +
			"operation of each ERP. It changes nothing. It exits 0 if nothing is bad.\n" +
			"With --network it lists every port that serve opens and every host that it calls, calls none of them, and holds the list against\n" +
			"what the network lets through (--policy, which lists them too).",
		Example: "  holdfast doctor --config holdfast.yaml\n  holdfast doctor --network --policy network.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if network || cmd.Flags().Changed("policy") {
				return doctorNetwork(cmd, policy, asJSON)
			}
			findings := examine(cmd)
			if asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), findings), worst(findings))
			}
			printFindings(cmd.OutOrStdout(), findings)
			return worst(findings)
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&network, "network", false, "list ports and hosts instead; --policy does so too")
	cmd.Flags().StringVar(&policy, "policy", "", "`file` of what the network lets through, such as deploy/network.yaml")
	return cmd
}

func printFindings(w io.Writer, findings []finding) {
	bad := 0
	for _, f := range findings {
		fmt.Fprintf(w, "%-5s %s: %s\n", f.State, f.Subject, f.Says)
		if f.Do != "" {
			fmt.Fprintf(w, "      do: %s\n", f.Do)
		}
		if f.State == isBad {
			bad++
		}
	}
	if bad == 0 {
		fmt.Fprintln(w, "nothing is in the way of: holdfast serve")
	}
}

// worst is the exit status: that of the first thing that is bad.
func worst(findings []finding) error {
	for _, f := range findings {
		if f.State == isBad {
			return exitError(f.kind.ExitStatus())
		}
	}
	return nil
}

// bad makes findings of an error: one for each problem in it.
func bad(subject string, err error) []finding {
	var out []finding
	for _, e := range leaves(err) {
		f := finding{Subject: subject, State: isBad, Says: e.Error(), kind: problem.KindOf(e)}
		if p, ok := errors.AsType[*problem.Error](e); ok {
			f.Says, f.Do = p.Error(), p.Hint
		}
		out = append(out, f)
	}
	return out
}

// examine looks at one thing after the other; without a configuration nothing else can be looked at.
func examine(cmd *cobra.Command) []finding {
	ctx := cmd.Context()
	cfg, err := configOf(cmd)
	if err != nil {
		return bad("configuration", err)
	}
	out := []finding{{Subject: "configuration", State: isOK, Says: cfg.String()}}
	rules, links, err := cfg.onlyLooking().compile(slog.New(slog.DiscardHandler))
	cfg.need(rules, links)
	called := examineLinks(ctx, cfg, links) // first: some links learn their ERP's contract by it
	if err == nil {
		err = cfg.checkAgainst(rules, links)
	}
	out = append(out, examineMappings(cfg, rules, err)...)
	out = append(out, examineFields(cfg, rules, links)...)
	out = append(out, examineDatabase(ctx, cfg, links)...)
	out = append(out, examineKeys(ctx, cfg)...)
	out = append(out, examinePeople(cfg)...)
	out = append(out, examineDisk(cfg)...)
	out = append(out, examineBackups(ctx, cfg)...)
	out = append(out, called...)
	out = append(out, examineListeners(ctx, cfg)...)
	return append(out, examineClock(cfg))
}

// need tells each link which of its targets routes name: a service that is missing is no fault where nothing needs it.
func (c Config) need(rules *mapping.Set, links map[string]link) {
	for _, r := range c.Routes {
		l, ok := links[r.Link].(interface{ Need(target string) })
		for _, kind := range plantKinds() {
			if ok && rules != nil && r.takes(kind) && rules.Covers(r.Mapping, kind) {
				l.Need(rules.Target(r.Mapping, kind))
			}
		}
	}
}

// examineMappings tells what came of compiling mappings, links and routes.
func examineMappings(cfg Config, rules *mapping.Set, err error) []finding {
	if err != nil {
		return bad("mappings, links and routes", err)
	}
	says := fmt.Sprintf("%s; every route has its mappings, and every mapping its operation", count(len(rules.Names()), "mapping compiles", "mappings compile"))
	if len(cfg.Routes) == 0 {
		return []finding{{Subject: "routes", State: look, Says: "there are none: the ERP is told nothing", Do: "name under routes which messages go to which link"}}
	}
	return append([]finding{{Subject: "mappings", State: isOK, Says: says}}, examineUnused(cfg, rules)...)
}

// examineFields holds mappings against the contracts of the links that they are for.
func examineFields(cfg Config, rules *mapping.Set, links map[string]link) []finding {
	if rules == nil {
		return nil
	}
	var out []finding
	for _, f := range cfg.fit(rules, links) {
		out = append(out, strayFinding(cfg, f.mapping, f.link, f.Finding))
	}
	return out
}

// strayFinding is bad where every message with the field would be refused; elsewhere the ERP may know more than its contract says.
func strayFinding(cfg Config, name, link string, s mapping.Finding) finding {
	file := cfg.mappingFile(s.File)
	f := finding{
		Subject: "mapping " + name, State: look, Says: fmt.Sprintf("%s:%d:%d: %s: link %s: %s", file, s.Line, s.Col, s.What, link, s.Why), Do: s.Hint,
	}
	if s.Refused {
		f.State, f.kind = isBad, problem.Invalid
	}
	return f
}

func examineUnused(cfg Config, rules *mapping.Set) []finding {
	var out []finding
	for _, m := range cfg.unrouted(rules) {
		out = append(out, finding{
			Subject: "mapping " + strings.TrimSuffix(m.File, ".yaml"), State: look, Says: fmt.Sprintf("%s:%d:%d: %s", cfg.mappingFile(m.File), m.Line, m.Col, m.Why), Do: m.Hint,
		})
	}
	return out
}

func examineDatabase(ctx context.Context, cfg Config, links map[string]link) []finding {
	if gone := examineGone(ctx, cfg); gone != nil {
		return gone
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	db, err := openDatabase(ctx, cfg, store.Config{NoMigrate: true})
	if err != nil {
		return bad("database", err)
	}
	defer db.Close()
	steps, err := db.Migrations(ctx)
	if err != nil {
		return bad("database", err)
	}
	if missing := missingSteps(steps); missing > 0 {
		return append(examineEdition(ctx, cfg, db, links), finding{
			Subject: "database", State: look, Says: fmt.Sprintf("%s answers; %d steps of its schema are not applied", db, missing), Do: "nothing: holdfast serve applies them, or holdfast migrate up",
		})
	}
	ok := finding{Subject: "database", State: isOK, Says: fmt.Sprintf("%s answers, its schema is up to date", db)}
	return slices.Concat([]finding{ok}, examineGuards(ctx, db), examineEdition(ctx, cfg, db, links), examineNodes(ctx, db), examineServed(ctx, cfg, db), examineRemoved(ctx, cfg, db), examineDoubts(ctx, cfg, db), examineConflicts(ctx, cfg, db))
}

// examineGone tells of a database that is empty or not there, and whether the plant has had one; nil of one that is begun, or does not answer.
func examineGone(ctx context.Context, cfg Config) []finding {
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	name, err := cfg.unbegun(short)
	cancel()
	if err != nil || name == "" {
		return nil
	}
	left, _ := cfg.leftBehind(ctx) // a place that cannot be read is told with the backups
	if err := cfg.databaseGone(name, left); err != nil {
		return bad("database", err)
	}
	if cfg.Database.URL == "sqlite:"+name {
		return []finding{{Subject: "database", State: look, Says: name + " is not there yet", Do: "nothing: holdfast serve makes it"}}
	}
	return nil
}

// examineGuards tells which triggers are gone by which the database refuses to have the audit record changed.
func examineGuards(ctx context.Context, db *store.DB) (out []finding) {
	var wrong []audit.Wrong
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		wrong, err = audit.Unguarded(ctx, tx)
		return err
	})
	if err != nil {
		return bad("audit record", err)
	}
	for _, w := range wrong {
		out = append(out, finding{
			Subject: "audit record", State: isBad, Says: w.What, kind: problem.Integrity,
			Do: "see what was done meanwhile: holdfast audit verify",
		})
	}
	return out
}

// examineEdition tells if this program would not start with the edition that was published, which another release may have taken.
func examineEdition(ctx context.Context, cfg Config, db *store.DB, links map[string]link) []finding {
	s, err := currentEdition(ctx, db)
	if err != nil || s.Used.Edition == "" {
		return nil
	}
	e, err := cfg.edition(ctx, db, s)
	var set *mapping.Set
	if err == nil {
		set, err = compileKept(e)
	}
	var found []misfit
	if err == nil {
		found = cfg.fit(set, links)
		err = errors.Join(cfg.checkAgainst(set, links), cfg.refused(found))
	}
	if err == nil {
		return examineNewer(cfg, edition.Short(s.Used.Edition), found)
	}
	return append(bad("edition "+edition.Short(s.Used.Edition)+" of the mappings", err), bad("mappings that were published", refusedEdition(s))...)
}

// examineNodes tells which nodes map by something else than they should.
func examineNodes(ctx context.Context, db *store.DB) (out []finding) {
	var nodes []edition.Node
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		nodes, err = edition.Nodes(ctx, tx)
		return err
	})
	if err != nil {
		return bad("what nodes map by", err)
	}
	for _, n := range nodes {
		if n.Trouble != "" {
			out = append(out, finding{
				Subject: "mappings of node " + n.Name, State: look, Says: fmt.Sprintf("it goes on by edition %s since %s: %s", cmp.Or(edition.Short(n.Used), "-"), n.At.Format(time.RFC3339), n.Trouble),
				Do: "mend the mappings, which holdfast mapping check holds against what they are for: the node takes them by itself",
			})
		}
	}
	return out
}

// examineNewer tells what this release finds in the edition in use, and would refuse in one that is published now.
func examineNewer(cfg Config, used string, found []misfit) (out []finding) {
	for _, f := range found {
		if f.Newer {
			one := strayFinding(cfg, f.mapping, f.link, f.Finding)
			one.Says = fmt.Sprintf("edition %s goes on with it, and this release would refuse it if it were new: %s", used, one.Says)
			out = append(out, one)
		}
	}
	return out
}

// examineServed tells if no process runs the plant.
func examineServed(ctx context.Context, cfg Config, db *store.DB) []finding {
	served, err := db.Served(ctx, cfg.node())
	switch {
	case err != nil:
		return bad("process", err)
	case served:
		return nil
	}
	return []finding{{Subject: "process", State: look, Says: cfg.nobody(), Do: "start it, unless it is stopped on purpose: holdfast serve --config " + cfg.file}}
}

// scarce is how much room a disk should have: weeks of an outage.
const scarce = 2 << 30

func examineDisk(cfg Config) []finding {
	path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:")
	if !ok {
		return nil
	}
	dir := filepath.Dir(path)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return bad("disk", &problem.Error{Kind: problem.NotFound, What: "look at " + dir, Why: err.Error(), Hint: "make the folder of the database, and let this user write to it"})
	}
	free := fs.Bavail * uint64(fs.Bsize) //nolint:gosec // a block's size is not negative
	says := fmt.Sprintf("%d MiB free for the database", free>>20)
	if free < scarce {
		return []finding{{Subject: "disk", State: look, Says: says, Do: "make room: during an outage every message is kept here, and a full disk stops the plant's reports"}}
	}
	return []finding{{Subject: "disk", State: isOK, Says: says}}
}

// examineBackups reads the keys that copies are made for and proven with, and asks each place what it has.
func examineBackups(ctx context.Context, cfg Config) []finding {
	if cfg.Backup == nil {
		return nil
	}
	out := examineBackupKeys(ctx, cfg)
	places, err := cfg.backupPlaces(ctx)
	if err != nil {
		return append(out, bad("backups", err)...)
	}
	for _, p := range places {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		names, err := p.List(ctx)
		cancel()
		if err != nil {
			out = append(out, bad("backups", err)...)
			continue
		}
		out = append(out, finding{Subject: "backups", State: isOK, Says: fmt.Sprintf("%s answers; it has %s", p, count(len(names), "file", "files"))})
	}
	if !slices.ContainsFunc(cfg.Backup.Places, BackupPlaceConfig.remote) {
		out = append(out, finding{Subject: "backups", State: look, Says: "every place is on this machine, and is lost with it: name one behind sftp or s3, or write remote: true beside the folder of a share"})
	}
	return out
}

// examineBackupKeys reads what every copy, and every proof of one, needs: without it serve would find out at the next.
func examineBackupKeys(ctx context.Context, cfg Config) []finding {
	_, err := cfg.backupRecipients(ctx)
	if cfg.Backup.Identity != "" {
		_, unread := cfg.backupKey(ctx, "")
		err = errors.Join(err, unread)
	}
	if err == nil {
		return nil
	}
	return bad("backup keys", err)
}

// examineLinks calls each link that could be opened; what is wrong with another has been told with the mappings.
func examineLinks(ctx context.Context, cfg Config, links map[string]link) []finding {
	if len(cfg.Links) == 0 {
		return []finding{{Subject: "links", State: look, Says: "there are none", Do: "name the ERP under links"}}
	}
	var out []finding
	for _, name := range slices.Sorted(maps.Keys(links)) {
		l, subject := links[name], "link "+name
		short, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := l.Check(short)
		cancel()
		out = append(out, examineLink(subject, cfg.Links[name], err)...)
		out = append(out, examineReceipts(ctx, cfg, name, l, err == nil)...)
		out = append(out, examineMarks(cfg, name)...)
		l.Close()
		for _, w := range warnings(l) {
			out = append(out, finding{Subject: subject, State: look, Says: w})
		}
	}
	return out
}

// examineLink tells all that came of calling a link. What it makes by itself at its start is not missed before.
func examineLink(subject string, c LinkConfig, err error) []finding {
	if err == nil {
		return []finding{{Subject: subject, State: isOK, Says: c.address() + " answers as it should"}}
	}
	var out []finding
	for _, e := range leaves(err) {
		f := bad(subject, e)[0]
		switch {
		case c.makes() && f.kind == problem.NotFound:
			f = finding{Subject: subject, State: look, Says: fmt.Sprintf("%s answers; %v", c.address(), e), Do: "nothing: holdfast serve makes it"}
		case c.Kind != "amqp" && f.kind == problem.Unavailable && !strings.Contains(f.Do, "/IWFND/"): // its own hint is for a message, which is sent again
			f.Do = "start the ERP, or correct the link's address in holdfast.yaml; the plant can be started without it, and keeps what it owes"
		}
		out = append(out, f)
	}
	return out
}

// examineListeners tries both addresses. One that is taken is no fault where Holdfast itself has it.
func examineListeners(ctx context.Context, cfg Config) []finding {
	var out []finding
	for subject, address := range map[string]string{"api": cfg.API.Listen, "ops": cfg.Ops.Listen} {
		listen := func() (net.Listener, error) { return httpapi.Listen(ctx, address) }
		if subject == "api" {
			listen = func() (net.Listener, error) { return cfg.listenAPI(ctx) }
		}
		l, err := listen()
		if err != nil && problem.KindOf(err) != problem.Unavailable {
			out = append(out, bad(subject, err)...)
			continue
		}
		if err != nil {
			out = append(out, finding{
				Subject: subject, State: look, Says: address + " is taken by another program",
				Do: "nothing, if holdfast serve runs already; else end that program, or choose another port",
			})
			continue
		}
		if err := l.Close(); err != nil {
			out = append(out, bad(subject, err)...)
			continue
		}
		out = append(out, finding{Subject: subject, State: isOK, Says: address + " is free"})
	}
	slices.SortFunc(out, func(a, b finding) int { return strings.Compare(a.Subject, b.Subject) })
	return out
}

func examineClock(cfg Config) finding {
	now := time.Now()
	f := finding{Subject: "clock", State: isOK, Says: fmt.Sprintf("it is %s in the plant (%s)", now.In(cfg.zone()).Format("2006-01-02 15:04:05 -07:00"), cfg.Plant.Zone)}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err == nil && t.Status&unix.STA_UNSYNC != 0 {
		f.State, f.Do = look, "have NTP keep the machine's clock: several nodes must agree, and the ERP reads the plant's times"
	}
	return f
}
