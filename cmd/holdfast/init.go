package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"text/template"

	"github.com/spf13/cobra"

	"holdfast/adapters/sap"
	"holdfast/internal/problem"
)

//go:embed holdfast.yaml.tmpl
var configTemplate string

// template values of a configuration; init and demo write the same file.
type initial struct {
	Plant, Zone, Database, API, Ops, ERP, Every string
	Rate                                        int
	Demo, Keys, SAP                             bool
	Services                                    map[string]string // of SAP, with their paths, whose $metadata stands in a file
	Broker, BrokerUser, Names                   string            // of a demo over RabbitMQ; what its exchanges and queues begin with
	Hops                                        bool              // the ERP checks requests and signs receipts
}

func newInit() *cobra.Command {
	keys := ""
	in := initial{Plant: "1000", Zone: "Europe/Berlin", API: "127.0.0.1:8420", Ops: "127.0.0.1:8421", Every: "5s", Rate: 50}
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a commented holdfast.yaml",
		Long: "Init writes holdfast.yaml into a folder (by default this one), with a comment at every key that matters, and makes the keys that\n" +
			"the plant signs with: a CA in keys/, and beside holdfast.yaml the passphrase that opens it. It changes no file that is there.",
		Example: "  holdfast init\n  holdfast init /etc/holdfast --plant 1200 --erp https://erp.example/api",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if err := checkKeysFlag(keys); err != nil {
				return err
			}
			in.Keys = keys == keysLocal
			if in.SAP {
				if err := in.withServices(dir); err != nil {
					return err
				}
			}
			return runInit(cmd, dir, in)
		},
	}
	cmd.Flags().StringVar(&in.Plant, "plant", in.Plant, "number of the plant in the ERP")
	cmd.Flags().StringVar(&in.Zone, "zone", in.Zone, "time zone of the plant")
	cmd.Flags().StringVar(&in.Database, "database", "sqlite:holdfast.db", "URL of the database, or env:NAME or file:PATH that holds it")
	cmd.Flags().StringVar(&in.ERP, "erp", "http://127.0.0.1:8422", "address of the ERP's API")
	cmd.Flags().BoolVar(&in.SAP, "sap", false, "the ERP is S/4HANA; its services' $metadata is written beside, to map by until the system can be asked")
	keysFlag(cmd, &keys)
	return cmd
}

// withServices writes the $metadata of SAP's services into a folder beside holdfast.yaml, and names them.
func (in *initial) withServices(dir string) error {
	known, err := sap.Config{}.Complete()
	if err != nil {
		return err
	}
	in.Services = map[string]string{}
	for name, s := range known.Services {
		text, err := fs.ReadFile(sap.Metadata(), name+".xml")
		if errors.Is(err, fs.ErrNotExist) {
			continue // the system is asked for it
		}
		if err == nil {
			err = save(filepath.Join(dir, "metadata", name+".xml"), text)
		}
		if err != nil {
			return err
		}
		in.Services[name] = s.Path
	}
	return nil
}

func runInit(cmd *cobra.Command, dir string, in initial) error {
	file := filepath.Join(dir, "holdfast.yaml")
	if _, err := os.Stat(file); err == nil {
		return &problem.Error{
			Kind: problem.Conflict, What: "write " + file, Why: why(os.ErrExist),
			Hint: "edit it, or move it away first; check it with: holdfast doctor --config " + file,
		}
	}
	text, err := in.write()
	if err != nil {
		return err
	}
	cfg, err := parseConfig(file, text)
	if err != nil { // a flag that makes no sense is told before anything is written
		return err
	}
	links, err := openLinks(cfg, slog.New(slog.DiscardHandler))
	for _, l := range links {
		l.Close()
	}
	if err != nil {
		return err
	}
	if err := cfg.refuseLostCA(cmd.Context()); err != nil {
		return err
	}
	if err := errors.Join(save(file, text), cfg.makeKeys(cmd.Context()), cfg.makeBackupKeys()); err != nil {
		return err
	}
	if in.Keys {
		fmt.Fprintf(cmd.OutOrStdout(), "made the keys of plant %s; keep a copy of %s and %s\n", in.Plant, cfg.Keys.Folder, cfg.beside(passphraseFile))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\nnext: holdfast doctor --config %s\n", file, file)
	return nil
}

func (in initial) write() ([]byte, error) {
	t, err := template.New("holdfast.yaml").Parse(configTemplate)
	if err != nil {
		return nil, fmt.Errorf("read the template of holdfast.yaml: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, in); err != nil {
		return nil, fmt.Errorf("write holdfast.yaml: %w", err)
	}
	return out.Bytes(), nil
}

// save makes the folder and the file.
func save(file string, text []byte) error {
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)) //nolint:gosec // it holds no secret
	if err != nil {
		return &problem.Error{Kind: problem.Unavailable, What: "write " + file, Why: why(err), Hint: "choose a folder that this user may write to"}
	}
	return nil
}
