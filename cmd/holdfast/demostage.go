package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/cmd/holdfast/internal/shopfloor"
	"holdfast/internal/httpapi"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/openapi"
)

// stage is everything that the demo runs: an ERP, a plant (the same process that serve runs) and a shop floor.
type stage struct {
	flags demoFlags
	set   *dataset.Set
	plan  planner
	mock  *erpmock.Mock
	erp   net.Listener
	mq    *brokerSide // nil over HTTP
	sap   *sapSide    // nil where the ERP is the plain one; then there is no mock
	vault *vaultSide  // nil unless the keys are Vault's
	plant *process
	api   *shopfloor.Client
	floor *shopfloor.Floor

	witness atomic.Pointer[prove.Witness] // of the ERP; nil until the plant has keys
	hops    atomic.Pointer[seal.Guard]    // the same for what proves its requests
	log     *os.File

	began    time.Time // of the script
	releases int       // orders that the planner has released
}

// madeByDemo is the first line of a configuration that a later demo may write over.
const madeByDemo = "# Written by holdfast demo, which writes it anew each time it runs on this folder.\n"

func openStage(ctx context.Context, f demoFlags, set *dataset.Set) (s *stage, err error) {
	s = &stage{flags: f, set: set}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.plan, err = newPlanner(set); err != nil {
		return s, err
	}
	if err := os.MkdirAll(f.data, 0o755); err != nil { //nolint:gosec // a person reads it; what is secret in it has 0600
		return s, &problem.Error{Kind: problem.Unavailable, What: "make the folder " + f.data, Why: why(err), Hint: "choose another one with --data"}
	}
	if s.log, err = os.OpenFile(filepath.Join(f.data, "holdfast.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return s, fmt.Errorf("open the log of the demo: %w", err)
	}
	ledger := filepath.Join(f.data, "erp.ledger")
	_, lerr := os.Stat(ledger)
	open := s.openERP
	if f.erp == "sap" {
		open = s.openSAP
	}
	if err = open(ctx, ledger); err != nil {
		return s, err
	}
	if f.link == "amqp" {
		if err = s.openBroker(ctx); err != nil {
			return s, err
		}
	}
	if f.keys == keysVault {
		if s.vault, err = openVaultSide(ctx, f.data); err != nil {
			return s, err
		}
	}
	if err = s.openPlant(ctx, errors.Is(lerr, fs.ErrNotExist)); err != nil {
		return s, err
	}
	base := cmp.Or(f.through, "http://"+s.plant.api.Addr().String())
	s.api = shopfloor.NewClient(base)
	pace := 60 * time.Millisecond // people watch
	if f.once {
		pace = 0
	}
	s.floor = shopfloor.New(set, s.api, pace)
	return s, nil
}

// openERP makes the ERP with its master data. Its ledger lets a later demo on the same folder go on where this one ended.
func (s *stage) openERP(ctx context.Context, ledger string) (err error) {
	origin := s.origin
	if s.flags.keys == "none" {
		origin = nil
	}
	room := erpmock.Limits{Count: 4_000_000, Bytes: 4 << 30}
	erp := erpmock.Config{
		Name: "erp.yaml", Seed: int64(s.flags.seed), Journal: room, Store: room, BodyKept: 512, Ledger: ledger, Faults: mischief(), Origin: origin, //nolint:gosec // any bits will do
	}
	if origin != nil && s.flags.link != "amqp" {
		if err := s.signERP(&erp); err != nil {
			return err
		}
	}
	s.mock, err = erpmock.New(openapi.ERP(), erp)
	if errors.Is(err, erpmock.ErrLedgerTaken) {
		return &problem.Error{
			Kind: problem.Conflict, What: "demo on " + s.flags.data, Why: "another demo runs on this folder",
			Hint: "end that one first, or choose another folder with --data",
		}
	}
	if err != nil {
		return fmt.Errorf("open the ERP of the demo: %w", err)
	}
	if !s.mock.Restored() {
		if err := s.plan.seedMaster(s.mock); err != nil {
			return fmt.Errorf("fill the ERP of the demo: %w", err)
		}
	}
	s.mock.Set("checkBatches", true) // the ERP refuses batches that it does not have
	s.erp, err = s.listen(ctx, "127.0.0.1:8422")
	return err
}

// mischief is what goes wrong besides the outage: answers that are lost after the work was done, refused connections, a busy ERP.
// It lets zeros at the end mean something.
func mischief() []erpmock.Fault {
	var out []erpmock.Fault
	for _, op := range []string{"createProductionOrder", "createConfirmation", "createMaterialDocument", "createBatch", "changeBatch", "createInspectionResult", "completeProductionOrder"} {
		out = append(out,
			erpmock.Fault{Kind: erpmock.Lost, Operation: op, Probability: 0.02},
			erpmock.Fault{Kind: erpmock.Status, Operation: op, Status: http.StatusBadGateway, Phase: erpmock.After, Probability: 0.01},
			erpmock.Fault{Kind: erpmock.Reset, Operation: op, Probability: 0.005})
	}
	return append(out,
		erpmock.Fault{Kind: erpmock.Status, Operation: "createConfirmation", Status: http.StatusTooManyRequests, RetryAfter: erpmock.Duration(time.Second), Skip: 60, Count: 1},
		erpmock.Fault{Kind: erpmock.Status, Operation: "createMaterialDocument", Status: http.StatusServiceUnavailable, RetryAfter: erpmock.Duration(time.Second), Skip: 40, Count: 1},
	)
}

// listen takes the usual address, or any that is free where that is taken or the run is done once.
func (s *stage) listen(ctx context.Context, usual string) (net.Listener, error) {
	if !s.flags.once {
		if l, err := httpapi.Listen(ctx, usual); err == nil {
			return l, nil
		}
	}
	return httpapi.Listen(ctx, "127.0.0.1:0")
}

// openPlant writes the configuration and opens the plant by it, as serve would.
func (s *stage) openPlant(ctx context.Context, freshERP bool) error {
	cfg, text, err := s.configure(ctx)
	if err != nil {
		return err
	}
	log := s.logger()
	s.plant = &process{}
	if s.plant.tel, err = openTelemetry(ctx, cfg.Telemetry); err != nil {
		return err
	}
	if s.plant.floors, err = openFloors(ctx, cfg, store.Config{}, log); err != nil {
		return err
	}
	if err := s.plant.takeSeat(ctx); err != nil {
		return err
	}
	if err := save(filepath.Join(s.flags.data, "holdfast.yaml"), text); err != nil { // not before: a plant that runs on the old one keeps it
		return err
	}
	if freshERP {
		if err := s.refuseOldData(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(cfg.makeKeys(ctx), cfg.makeBackupKeys(), s.plant.openKeys(ctx)); err != nil {
		return err
	}
	s.openWitness(ctx)
	if s.plant.ring != nil {
		s.openHops(ctx)
	}
	if s.flags.listen != "" {
		s.plant.api, err = httpapi.Listen(ctx, s.flags.listen)
	} else {
		s.plant.api, err = s.listen(ctx, cfg.API.Listen)
	}
	if err != nil {
		return err
	}
	s.plant.ops, err = s.listen(ctx, cfg.Ops.Listen)
	return err
}

func (s *stage) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// configure makes the text of DIR/holdfast.yaml, on which every other command works, and reads it.
func (s *stage) configure(ctx context.Context) (cfg Config, text []byte, err error) {
	file := filepath.Join(s.flags.data, "holdfast.yaml")
	if old, err := os.ReadFile(file); err == nil && !bytes.HasPrefix(old, []byte(madeByDemo)) {
		return cfg, nil, &problem.Error{Kind: problem.Conflict, What: "write " + file, Why: "the file there is not the demo's", Hint: "choose another folder with --data"}
	}
	database, err := s.database()
	if err != nil {
		return cfg, nil, err
	}
	in := s.initial()
	in.Database = database
	if text, err = in.write(); err != nil {
		return cfg, nil, err
	}
	if s.vault != nil {
		if text, err = s.vault.configure(ctx, file, text); err != nil {
			return cfg, nil, err
		}
	}
	text = append([]byte(madeByDemo), text...)
	cfg, err = parseConfig(file, text)
	return cfg, text, err
}

// initial is what the configurations of plant and ERP have in common.
func (s *stage) initial() initial {
	in := initial{
		Plant: s.set.Plant.Number, Zone: s.set.Plant.Zone, Database: "sqlite:holdfast.db", API: "127.0.0.1:8420", Ops: "127.0.0.1:8421",
		ERP: "http://" + s.erp.Addr().String(), Every: "250ms", Rate: 400, Demo: true, SAP: s.sap != nil,
		Hops: s.mock != nil && s.flags.keys != "none" && s.flags.link != "amqp",
		Keys: s.flags.keys == keysLocal,
	}
	if s.mq != nil {
		in.Broker, in.BrokerUser, in.Names = s.mq.address, s.mq.user, s.mq.names
	}
	return in
}

// database is what stands in the configuration: a URL with a password goes into a file of its own.
func (s *stage) database() (string, error) {
	if s.flags.database == "" {
		return "sqlite:holdfast.db", nil
	}
	u, err := url.Parse(s.flags.database)
	if err != nil {
		return "", &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--database is no URL", Hint: "write postgres://user@host/database"}
	}
	if _, secret := u.User.Password(); !secret && !u.Query().Has("password") {
		return s.flags.database, nil
	}
	file := filepath.Join(s.flags.data, "database-url")
	if err := os.WriteFile(file, []byte(s.flags.database+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the URL of the database: %w", err)
	}
	return "file:database-url", nil
}

// refuseOldData stops a demo whose ERP is new and whose plant is not: the plant would ask a stranger for what it remembers.
func (s *stage) refuseOldData(ctx context.Context) error {
	var links []outbox.Link
	err := s.plant.db.View(ctx, func(tx *store.Tx) (err error) {
		links, err = s.plant.outbox.Links(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Owed+l.Delivered > 0 {
			return &problem.Error{
				Kind: problem.Conflict, What: "demo on " + s.plant.db.String(), Why: "the database holds the messages of an earlier plant, and this ERP is new",
				Hint: "give an empty database or schema, or the --data folder of that run",
			}
		}
	}
	return nil
}

func (s *stage) serveERP(ctx context.Context) error {
	if s.sap != nil {
		return s.sap.serve(ctx, s.erp)
	}
	return erpmock.Serve(ctx, s.erp, s.mock)
}

// close gives everything back, as far as it was opened.
func (s *stage) close() error {
	var errs []error
	if s.api != nil {
		s.api.Close()
	}
	if s.plant != nil {
		if s.plant.floors != nil {
			errs = append(errs, s.plant.Close())
		}
		if s.plant.tel != nil {
			errs = append(errs, s.plant.tel.Close(context.Background()))
		}
	}
	if s.vault != nil {
		errs = append(errs, s.vault.close())
	}
	if s.mq != nil {
		errs = append(errs, s.mq.close())
	}
	if s.mock != nil {
		errs = append(errs, s.mock.Close())
	}
	if s.sap != nil {
		errs = append(errs, s.sap.close())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(errs...)
}

// stay leaves everything running.
func (s *stage) stay(ctx context.Context, w io.Writer, f demoFlags) {
	fmt.Fprintf(w, "\nEverything goes on running until Ctrl-C:\n  plant API    http://%s/v1/orders\n  health       http://%s/readyz and /metrics\n  ERP          http://%s%s\n  ERP journal  http://%s/__mock/journal\n",
		s.plant.api.Addr(), s.plant.ops.Addr(), s.erp.Addr(), s.ordersAt(), s.erp.Addr())
	fmt.Fprintf(w, "In another terminal:\n  holdfast status --config %s\n  curl -d '{\"for\": \"20s\"}' http://%s/__mock/down\n", filepath.Join(f.data, "holdfast.yaml"), s.erp.Addr())
	<-ctx.Done()
}

// ordersAt is where the ERP shows its orders.
func (s *stage) ordersAt() string {
	if s.sap != nil {
		return "/sap/opu/odata/sap/API_PRODUCTION_ORDER_2_SRV/A_ProductionOrder_2"
	}
	return "/production-orders"
}

// release has the ERP's planner release one order, over HTTP. A lost answer is asked for, as anybody must who may not order twice.
func (s *stage) release(ctx context.Context, o dataset.Order, message string) error {
	if s.sap != nil {
		s.releases++
		return s.sap.release(o, time.Now())
	}
	doc, err := s.plan.order(o, time.Now(), 8)
	if err != nil {
		return fmt.Errorf("plan an order of %s: %w", o.Material, err)
	}
	doc["messageId"] = message
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write an order of %s: %w", o.Material, err)
	}
	base := "http://" + s.erp.Addr().String()
	for range 50 {
		if s.released(ctx, base, message) {
			s.releases++
			return nil
		}
		status, body, err := call(ctx, http.MethodPost, base+"/production-orders", text)
		if err == nil && status >= 400 && status < 500 && status != http.StatusTooManyRequests {
			return fmt.Errorf("the ERP refused an order of %s: %s", o.Material, body)
		}
	}
	return fmt.Errorf("the ERP does not take an order of %s", o.Material)
}

// released asks whether the planner's message has had its effect.
func (s *stage) released(ctx context.Context, base, message string) bool {
	status, body, err := call(ctx, http.MethodGet, base+"/documents?messageId="+url.QueryEscape(message), nil)
	var found struct {
		Items []json.RawMessage `json:"items"`
	}
	return err == nil && status == http.StatusOK && json.Unmarshal(body, &found) == nil && len(found.Items) > 0
}

func call(ctx context.Context, method, target string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, b, err
}
