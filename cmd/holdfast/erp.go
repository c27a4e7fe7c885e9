package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/httpapi"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/openapi"
)

func newERP() *cobra.Command {
	cmd := &cobra.Command{Use: "erp", Short: "An ERP to test against, before the real one is there; a look into a real one"}
	cmd.AddCommand(newERPMock(), newERPExplore())
	return cmd
}

// mockFlags are what erp mock is told.
type mockFlags struct {
	spec, listen, control, faults, seedData, journal, ledger, decrypt string
	edmx                                                              []string
	seed                                                              int64
	idoc                                                              idocFlags
}

func newERPMock() *cobra.Command {
	var f mockFlags
	cmd := &cobra.Command{
		Use:   "mock",
		Short: "Serve any OpenAPI or OData service as an ERP with state, faults and a journal",
		Long: "Mock serves an OpenAPI 3.0 or 3.1 document, or with --edmx one or several OData services by their $metadata, as if the ERP\n" +
			"behind it were there, or with --idoc SAP's port for IDocs. Faults come from a schedule, from a header of a request (OpenAPI only), or from the control API below\n" +
			"/__mock/. docs/erp-mock.md and docs/odata.md have all of it.",
		Example: "  holdfast erp mock --seed-data builtin:demo\n" +
			"  holdfast erp mock --spec openapi/erp.yaml --listen 127.0.0.1:8422 --faults faults.yaml --journal journal.json\n" +
			"  holdfast erp mock --edmx confirmation.xml --edmx material-document.xml --ledger erp.ledger",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMock(cmd, f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.spec, "spec", "", "the OpenAPI document; without it the plain ERP that Holdfast ships")
	fl.StringArrayVar(&f.edmx, "edmx", nil, "the $metadata of an OData V2 or V4 service; several for several services of one system")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8422", "address to serve on; loopback only")
	fl.StringVar(&f.control, "control", "", "address of the control API alone, which outages leave alone")
	fl.StringVar(&f.faults, "faults", "", "a schedule of faults (YAML)")
	fl.StringVar(&f.seedData, "seed-data", "", "documents to begin with: a file (YAML or JSON: lists by type, with --edmx by entity set), or, of the plain ERP alone, "+builtinDemo+", the master data and orders of a bottling plant")
	fl.StringVar(&f.journal, "journal", "", "file to write the journal to at the end (JSON)")
	fl.StringVar(&f.ledger, "ledger", "", "file that keeps documents and journal over a restart")
	fl.StringVar(&f.decrypt, "decrypt-with", "", "the ERP's private key, a JWK: it then takes only what is encrypted to it")
	fl.Int64Var(&f.seed, "seed", 1, "of everything random")
	cmd.MarkFlagsMutuallyExclusive("spec", "edmx")
	cmd.MarkFlagsMutuallyExclusive("decrypt-with", "edmx")
	f.idoc.flags(cmd)
	cmd.AddCommand(mockAssert())
	return cmd
}

// mock is an ERP of whatever contract.
type mock interface {
	erpmock.Served
	erpmock.Controlled
	Log() erpmock.Log
	Restored() bool // from its ledger
	Close() error
}

func openAnyMock(f mockFlags) (m mock, of string, err error) {
	if f.idoc.on {
		return openIDocMock(f)
	}
	if len(f.edmx) > 0 {
		return openODataMock(f)
	}
	rest, err := openMock(f)
	if err != nil {
		return nil, "", err
	}
	return rest, rest.Document().Title(), nil
}

func runMock(cmd *cobra.Command, f mockFlags) (err error) {
	m, of, err := openAnyMock(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	ctx := cmd.Context()
	ln, err := httpapi.Listen(ctx, f.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "ERP mock of %s: http://%s, control: http://%s/__mock/\n", of, ln.Addr(), ln.Addr())
	if m.Restored() {
		fmt.Fprintf(cmd.OutOrStdout(), "it goes on from the ledger %s; --seed-data is for a new one\n", f.ledger)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return erpmock.Serve(ctx, ln, m) })
	if b, ok := m.(busy); ok {
		g.Go(func() error { return b.Run(ctx) })
	}
	if f.control != "" {
		ctl, err := httpapi.Listen(ctx, f.control)
		if err != nil {
			return errors.Join(err, ln.Close())
		}
		fmt.Fprintf(cmd.OutOrStdout(), "control, also during outages: http://%s/__mock/\n", ctl.Addr())
		g.Go(func() error { return erpmock.ServeControl(ctx, ctl, m) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if f.journal == "" {
		return nil
	}
	return saveJSON(f.journal, m.Log())
}

func openMock(f mockFlags) (*erpmock.Mock, error) {
	doc, cfg := openapi.ERP(), erpmock.Config{Name: "erp.yaml", Seed: f.seed, Ledger: f.ledger}
	var err error
	if f.spec != "" {
		if doc, err = readFile(f.spec, "name an OpenAPI 3.0 or 3.1 document with --spec"); err != nil {
			return nil, err
		}
		cfg.Name = filepath.Base(f.spec)
	}
	if f.faults != "" {
		schedule, err := readSchedule(f.faults)
		if err != nil {
			return nil, err
		}
		cfg.Faults = schedule.Faults
		if schedule.Seed != 0 {
			cfg.Seed = schedule.Seed
		}
	}
	if f.decrypt != "" {
		text, err := readFile(f.decrypt, "name the file of a private JWK with --decrypt-with")
		if err != nil {
			return nil, err
		}
		if cfg.Decrypter, err = seal.ParseOpener(text); err != nil {
			return nil, err
		}
	}
	m, err := erpmock.New(doc, cfg)
	if errors.Is(err, erpmock.ErrLedgerTaken) {
		return nil, ledgerTaken(f.ledger)
	}
	if err != nil {
		return nil, invalid("serve "+cfg.Name, err)
	}
	if err := seedMock(m, f.seedData); err != nil {
		return nil, errors.Join(invalid("read the documents of "+f.seedData, err), m.Close())
	}
	return m, nil
}

// ledgerTaken tells that another ERP, of erp mock or of a demo, goes on from the same ledger.
func ledgerTaken(file string) error {
	return &problem.Error{
		Kind: problem.Conflict, What: "open the ledger " + file, Why: "another ERP that runs has it",
		Hint: "end that one first, or choose another file",
	}
}

// builtinDemo names the documents that come with the program.
const builtinDemo = "builtin:demo"

// seedMock gives a mock the documents that it begins with. One that goes on from a ledger has them, with what came of them since.
func seedMock(m *erpmock.Mock, from string) error {
	if from == "" || m.Restored() {
		return nil
	}
	if from != builtinDemo {
		text, err := readFile(from, "name a file of documents with --seed-data, or "+builtinDemo)
		if err != nil {
			return err
		}
		return m.SeedFile(text, from)
	}
	set, err := dataset.Builtin()
	if err != nil {
		return err
	}
	plan, err := newPlanner(set)
	if err != nil {
		return err
	}
	return plan.seed(m, time.Now())
}

// invalid makes a problem of an error about a person's input that is none yet.
func invalid(what string, err error) error {
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	return &problem.Error{Kind: problem.Invalid, What: what, Why: err.Error(), Hint: "correct the file; docs/erp-mock.md shows its form"}
}

func readFile(name, hint string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, &problem.Error{Kind: problem.NotFound, What: "read " + name, Why: why(err), Hint: hint}
	}
	return b, nil
}

func saveJSON(file string, v any) error {
	var b bytes.Buffer
	if err := printJSON(&b, v); err != nil {
		return err
	}
	return save(file, b.Bytes())
}

func mockAssert() *cobra.Command {
	var url, journal, form string
	cmd := &cobra.Command{
		Use:   "assert FILE",
		Short: "Hold the journal of a mock against expectations; exits 1 if one does not hold",
		Example: "  holdfast erp mock assert expectations.yaml --url http://127.0.0.1:8422\n" +
			"  holdfast erp mock assert expectations.yaml --journal journal.json --format junit",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readFile(args[0], "write expectations as docs/erp-mock.md shows")
			if err != nil {
				return err
			}
			report, err := assert(cmd.Context(), text, url, journal)
			if err != nil {
				return err
			}
			return errors.Join(printReport(cmd.OutOrStdout(), report, form), exitUnless(report.OK()))
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://127.0.0.1:8422", "a running mock, or its control address")
	cmd.Flags().StringVar(&journal, "journal", "", "a journal that a mock has written or GET /__mock/journal has given, instead of a running one")
	cmd.Flags().StringVar(&form, "format", "text", "text, json or junit")
	return cmd
}

func exitUnless(ok bool) error {
	if ok {
		return nil
	}
	return exitError(1)
}

func assert(ctx context.Context, text []byte, url, journal string) (erpmock.Report, error) {
	if journal == "" {
		return assertRunning(ctx, text, url)
	}
	b, err := readFile(journal, "a mock writes it at its end: --journal")
	if err != nil {
		return erpmock.Report{}, err
	}
	log, err := erpmock.ReadLog(b)
	if err != nil {
		return erpmock.Report{}, &problem.Error{Kind: problem.Invalid, What: "read the journal " + journal, Why: err.Error(), Hint: "take what GET /__mock/journal gives, or what a mock writes: --journal"}
	}
	report, err := log.Check(text)
	if err != nil {
		return report, invalid("read the expectations", err)
	}
	return report, nil
}

// assertRunning has a running mock check its own journal.
func assertRunning(ctx context.Context, text []byte, url string) (report erpmock.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	target := strings.TrimRight(url, "/") + "/__mock/expect"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(text))
	if err != nil {
		return report, invalid("ask "+url, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return report, &problem.Error{Kind: problem.Unavailable, What: "ask the mock at " + url, Why: "it does not answer", Hint: "start it with holdfast erp mock, or give --journal", Cause: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return report, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusExpectationFailed {
		return report, &problem.Error{Kind: problem.Invalid, What: "check the journal of " + url, Why: res.Status + ": " + strings.TrimSpace(string(body)), Hint: "correct the expectations; docs/erp-mock.md shows their form"}
	}
	if err := json.Unmarshal(body, &report); err != nil {
		return report, fmt.Errorf("read the report of %s: %w", url, err)
	}
	return report, nil
}

func printReport(w io.Writer, r erpmock.Report, form string) error {
	switch form {
	case "text":
		return r.WriteText(w)
	case "json":
		return printJSON(w, r)
	case "junit":
		return r.WriteJUnit(w)
	default:
		return &problem.Error{Kind: problem.Invalid, What: "print the report", Why: form + " is no format", Hint: "choose text, json or junit"}
	}
}
