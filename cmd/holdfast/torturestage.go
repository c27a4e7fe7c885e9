package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v4"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/cmd/holdfast/internal/disk"
	"holdfast/cmd/holdfast/internal/postgres"
	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/cmd/holdfast/internal/torture"
	"holdfast/internal/body"
	"holdfast/internal/httpapi"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/port"
	"holdfast/internal/store"
	"holdfast/openapi"
)

// tortured is one run, ready to begin.
type tortured struct {
	node    *rabbit.Node // nil over HTTP, as is erpSide
	erpSide *erpSide
	cfg     torture.Config
	mock    *erpmock.Mock
	erp     net.Listener

	originals originals
	ends      []func(clean bool) error // give back what was opened, the last first; clean: nothing of it is to be looked at
}

// The times of a node under torture: short, so that a takeover is a matter of seconds.
const (
	tortureLease = 3 * time.Second
	torturePoll  = 500 * time.Millisecond

	tortureInline = 600 // bytes: about half of what is owed, and most of what comes, is kept as a large body
)

func openTorture(ctx context.Context, f tortureFlags, dir string, progress io.Writer) (t *tortured, err error) {
	t = &tortured{originals: originals{seen: map[string]message.Message{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close(true))
		}
	}()
	kills := f.kills
	if kills == 0 {
		kills = 20 * f.minutes
	}
	t.cfg = torture.Config{
		Seed: f.seed, Length: time.Duration(f.minutes) * time.Minute, Kills: kills, Workers: f.workers, InHand: 8, Drain: 3 * time.Minute,
		Lease: tortureLease, Poll: torturePoll, Idle: store.IdleLimit, Progress: progress,
	}
	if t.cfg.Faults, err = chosenFaults(f.faults); err != nil {
		return t, err
	}
	set, err := dataset.Builtin()
	if err != nil {
		return t, err
	}
	plan, err := newPlanner(set)
	if err != nil {
		return t, fmt.Errorf("find the zone of the data set: %w", err)
	}
	t.cfg.Materials, t.cfg.Known = made(set), known(set)
	url, err := t.openDatabase(ctx, f, dir, progress)
	if err != nil {
		return t, err
	}
	if err := t.openERP(ctx, f, plan); err != nil {
		return t, err
	}
	if !f.broker {
		t.cfg.Faults = slices.DeleteFunc(t.cfg.Faults, func(x torture.Fault) bool { return slices.Contains(torture.OfBroker(), x) })
	} else if err := t.openBroker(ctx, dir); err != nil {
		return t, err
	}
	return t, t.openNodes(ctx, f, url, dir)
}

// close gives everything back. Without clean the database, its server's files and its disk are left.
func (t *tortured) close(clean bool) error {
	var errs []error
	for _, end := range slices.Backward(t.ends) {
		errs = append(errs, end(clean))
	}
	t.ends = nil
	return errors.Join(errs...)
}

// atEnd has something given back whatever the run says.
func (t *tortured) atEnd(end func() error) {
	t.ends = append(t.ends, func(bool) error { return end() })
}

// ifClean has something removed if it need not be looked at.
func (t *tortured) ifClean(undo func() error) {
	t.ends = append(t.ends, func(clean bool) error {
		if clean {
			return undo()
		}
		return nil
	})
}

// openDatabase makes an empty database and leaves out the faults that are not ours to make on it.
func (t *tortured) openDatabase(ctx context.Context, f tortureFlags, dir string, progress io.Writer) (url string, err error) {
	without := func(x torture.Fault, why string) {
		if had := len(t.cfg.Faults); had != len(slices.DeleteFunc(t.cfg.Faults, func(y torture.Fault) bool { return x == y })) {
			t.cfg.Faults = t.cfg.Faults[:had-1]
			fmt.Fprintf(progress, "holdfast: %s: %s is left out\n", why, x)
		}
	}
	if f.database == "" && f.postgres == "" {
		without(torture.PostgresRestart, "there is no PostgreSQL")
		var err error
		if t.cfg.Disk, err = disk.Open(ctx, filepath.Join(dir, "disk")); err == nil {
			t.ifClean(t.cfg.Disk.Close)
		} else if f.all {
			return "", err
		} else {
			without(torture.FullDisk, err.Error())
		}
		return "sqlite:disk/plant.db", nil
	}
	without(torture.FullDisk, "the disk of that database is not ours to fill")
	if f.postgres == "" {
		without(torture.PostgresRestart, "that database is not ours to restart")
	} else {
		server, err := postgres.Open(ctx, filepath.Join(dir, "postgres.log"))
		if err != nil {
			return "", err
		}
		t.ifClean(server.Remove)
		t.atEnd(server.Close)
		if err := server.Start(ctx); err != nil {
			return "", err
		}
		t.cfg.Postgres, f.database = server, server.URL
	}
	url, drop, err := store.NewSchema(ctx, f.database, fmt.Sprintf("torture_%d_%d", f.seed, time.Now().UnixMilli()))
	if err == nil {
		t.ifClean(func() error { return drop(context.WithoutCancel(ctx)) })
	}
	return url, err
}

// made lists what the plant is ordered to make.
func made(set *dataset.Set) []string {
	var out []string
	for _, o := range set.Orders {
		if !slices.Contains(out, o.Material) {
			out = append(out, o.Material)
		}
	}
	return out
}

// known lists where the API shows the master data of the set.
func known(set *dataset.Set) []string {
	var out []string
	for _, m := range set.Materials {
		out = append(out, "/v1/materials/"+m.Number)
		if len(m.Routing) > 0 {
			out = append(out, "/v1/routings/"+m.Number)
		}
		if len(m.BOM.Items) > 0 {
			out = append(out, "/v1/boms/"+m.Number)
		}
	}
	return out
}

// openERP makes the mock, with its journal long enough for the whole run, and the release of orders in it.
func (t *tortured) openERP(ctx context.Context, f tortureFlags, plan planner) error {
	var err error
	t.mock, err = erpmock.New(openapi.ERP(), erpmock.Config{
		Name: "erp.yaml", Seed: int64(f.seed), //nolint:gosec // any bits will do
		Journal: erpmock.Limits{Count: 10_000_000, Bytes: 4 << 30}, Store: erpmock.Limits{Count: 10_000_000, Bytes: 4 << 30}, BodyKept: 1,
		Origin: t.originals.take,
	})
	if err != nil {
		return err
	}
	master := plan.master()
	for _, kind := range masterTypes() {
		if err := t.mock.Seed(kind, master[kind]...); err != nil {
			return err
		}
	}
	if t.erp, err = httpapi.Listen(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	t.cfg.Mock = t.mock
	var numbers atomic.Int64
	t.cfg.Release = func(material string) (string, error) {
		i := slices.IndexFunc(plan.set.Orders, func(o dataset.Order) bool { return o.Material == material })
		if i < 0 {
			return "", fmt.Errorf("the data set has no order of %s", material)
		}
		d, err := plan.order(plan.set.Orders[i], time.Now(), 8)
		if err != nil {
			return "", err
		}
		number := fmt.Sprintf("%012d", 900_000_000+numbers.Add(1))
		d["number"], d["messageId"], d["version"] = number, "planner-"+number, 1
		return number, t.mock.Seed("productionOrder", d)
	}
	return nil
}

// openNodes writes the configuration of each node, on ports that stay free while a node is away, and says how its process is started.
func (t *tortured) openNodes(ctx context.Context, f tortureFlags, database, dir string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	ports, err := port.Free(2 * f.nodes)
	if err != nil {
		return err
	}
	for i := range f.nodes {
		n := tortureNode{name: fmt.Sprintf("node-%d", i+1), program: program, database: database, dir: dir, mixed: f.old != ""}
		if i == 0 && f.old != "" {
			if n.program, err = filepath.Abs(f.old); err != nil {
				return fmt.Errorf("find %s: %w", f.old, err)
			}
		}
		in := t.initial(database, t.node != nil)
		in.API, in.Ops = fmt.Sprintf("127.0.0.1:%d", ports[2*i]), fmt.Sprintf("127.0.0.1:%d", ports[2*i+1])
		node, log, err := n.open(in)
		if err != nil {
			return err
		}
		t.atEnd(log.Close)
		t.cfg.Nodes = append(t.cfg.Nodes, node)
	}
	if err := makeTortureKeys(ctx, dir); err != nil {
		return err
	}
	t.cfg.Unfiled = unfiled(database, dir)
	if f.old == "" { // an older one among them signs nothing
		t.cfg.Signatures = t.originals.signatures(dir, database)
	}
	if f.nodes < 2 {
		return nil
	}
	// Each connection of this pool is tried before it is used, so that a database which was restarted is no obstacle.
	db, err := store.Open(ctx, database, store.Config{NoMigrate: true, MaxConns: 2})
	if err != nil {
		return err
	}
	t.atEnd(db.Close)
	t.cfg.Lanes = tortureLanes{db, outbox.New(nil, "", outbox.Config{})}
	return nil
}

// makeTortureKeys makes the keyring that all nodes share: what they owe is signed, and sealed where it is kept.
func makeTortureKeys(ctx context.Context, dir string) error {
	cfg, err := loadConfig(filepath.Join(dir, "node-1.yaml"))
	if err != nil {
		return err
	}
	return cfg.makeKeys(ctx)
}

// besides is the URL of a plant's database, which for SQLite is a file beside the configurations in dir.
func besides(dir, database string) string {
	if file, ok := strings.CutPrefix(database, "sqlite:"); ok {
		return "sqlite:" + filepath.Join(dir, file)
	}
	return database
}

// unfiled asks a plant's database.
func unfiled(database, dir string) torture.Unfiled {
	return func(ctx context.Context) (receipts, bodies int64, err error) {
		db, err := store.Open(ctx, besides(dir, database), store.Config{NoMigrate: true})
		if err != nil {
			return 0, 0, err
		}
		err = db.View(ctx, func(tx *store.Tx) (err error) {
			if receipts, err = outbox.New(nil, "", outbox.Config{}).Unfiled(ctx, tx); err != nil {
				return err
			}
			bodies, err = body.Lost(ctx, tx)
			return err
		})
		return receipts, bodies, errors.Join(err, db.Close())
	}
}

// tortureNode is one process of the plant.
type tortureNode struct {
	name, program, database, dir string

	mixed bool // it stands beside an older one
}

// tortureDatabase is the variable by which the plant's process learns the URL of its database.
const tortureDatabase = "HOLDFAST_TORTURE_DATABASE"

func (n tortureNode) open(in initial) (torture.Node, *os.File, error) {
	file := filepath.Join(n.dir, n.name+".yaml")
	if err := n.configure(file, in); err != nil {
		return torture.Node{}, nil, err
	}
	log, err := os.Create(filepath.Join(n.dir, n.name+".log"))
	if err != nil {
		return torture.Node{}, nil, fmt.Errorf("open the log of %s: %w", n.name, err)
	}
	control := filepath.Join(n.dir, n.name+".sock")
	serve := func() *exec.Cmd {
		c := exec.Command(n.program, "serve", "--config", file, "--torture-control", control) //nolint:gosec // the program whose torture was asked for
		c.Env = append(os.Environ(), tortureDatabase+"="+n.database)
		return c
	}
	return torture.Node{Name: n.name, Serve: serve, API: "http://" + in.API, Ready: "http://" + in.Ops + "/readyz", Control: control, Log: log}, log, nil
}

// initial is what init would write for a plant, over HTTP or through a broker.
func (t *tortured) initial(database string, broker bool) initial {
	url := database
	if !strings.HasPrefix(url, "sqlite:") {
		url = "env:" + tortureDatabase // it may have a password, which no file of ours holds
	}
	in := initial{
		Plant: "1000", Zone: "Europe/Berlin", Database: url, API: "127.0.0.1:8420", Ops: "127.0.0.1:8421", ERP: "http://" + t.erp.Addr().String(),
		Every: "200ms", Rate: 500, Demo: true, Keys: true,
	}
	if broker {
		in.Broker, in.BrokerUser = "amqp://"+t.cfg.Wire.Address()+"/", t.node.User
	}
	return in
}

// configure writes a configuration with a name and times of its own.
func (n tortureNode) configure(file string, in initial) error {
	text, err := in.write()
	if err != nil {
		return err
	}
	var cfg map[string]any
	if err := yaml.Unmarshal(text, &cfg); err != nil {
		return fmt.Errorf("read the configuration of %s: %w", n.name, err)
	}
	set := func(section, key string, value any) {
		if cfg[section] == nil {
			cfg[section] = map[string]any{}
		}
		cfg[section].(map[string]any)[key] = value
	}
	set("relay", "node", n.name)
	set("relay", "poll", torturePoll.String())
	set("outbox", "lease", tortureLease.String())
	if n.mixed {
		older(cfg)
	} else {
		set("outbox", "inline", tortureInline)
		set("inbox", "inline", tortureInline)
	}
	if text, err = yaml.Marshal(cfg); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", n.name, err)
	}
	return save(file, text)
}

// older takes out what the releases before did not know: an upgrade begins with the configuration that is there.
func older(cfg map[string]any) {
	delete(cfg, "keys") // they cannot read what is sealed
	for _, r := range cfg["routes"].([]any) {
		r.(map[string]any)["kinds"] = []string{"order.created", "order.completed", "operation.confirmed", "goods.*"}
	}
	delete(cfg["links"].(map[string]any)["erp"].(map[string]any), "operations")
}

// tortureLanes asks the database who holds what.
type tortureLanes struct {
	db  *store.DB
	out *outbox.Outbox
}

// InHand names the lanes in a node's hand.
func (l tortureLanes) InHand(ctx context.Context, node string) (names []string, err error) {
	err = l.db.View(ctx, func(tx *store.Tx) error {
		lanes, _, err := l.out.Lanes(ctx, tx, outbox.LaneFilter{Limit: 10_000}, "")
		names = nil
		for _, lane := range lanes {
			if lane.InHand == node {
				names = append(names, lane.Name)
			}
		}
		return err
	})
	return names, err
}
