package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/idocport"
	"holdfast/internal/problem"
)

// idocFlags are what erp mock is told of IDocs.
type idocFlags struct {
	on, drops          bool
	in, to             string
	user, passwordFrom string
}

// flags adds those of IDocs.
func (f *idocFlags) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.on, "idoc", false, "serve SAP's port for IDocs at "+idocport.Path+"; with --idoc-in also a folder")
	fl.StringVar(&f.in, "idoc-in", "", "folder from which IDocs are taken as well")
	fl.StringVar(&f.to, "idoc-to", "", "folder or address (http://…/idoc) to which confirmations (ALEAUD01) go; they wait without one")
	fl.StringVar(&f.user, "idoc-user", "", "user to sign in as at that address")
	fl.StringVar(&f.passwordFrom, "idoc-password", "", "variable of the environment that has its password, as env:NAME")
	fl.BoolVar(&f.drops, "idoc-drops-known", false, "drop an IDoc whose number is known, as a check of a customer's own does; standard SAP books it again")
	cmd.MarkFlagsMutuallyExclusive("spec", "idoc")
	cmd.MarkFlagsMutuallyExclusive("edmx", "idoc")
}

// openIDocMock makes a SAP that speaks IDocs.
func openIDocMock(f mockFlags) (m mock, of string, err error) {
	cfg := idocport.Config{In: f.idoc.in, User: f.idoc.user, DropsKnown: f.idoc.drops, Seed: f.seed, Ledger: f.ledger}
	if strings.HasPrefix(f.idoc.to, "http://") || strings.HasPrefix(f.idoc.to, "https://") {
		cfg.Partner = f.idoc.to
	} else {
		cfg.Out = f.idoc.to
	}
	if f.idoc.passwordFrom != "" {
		if cfg.Password = os.Getenv(strings.TrimPrefix(f.idoc.passwordFrom, "env:")); cfg.Password == "" {
			return nil, "", &problem.Error{
				Kind: problem.Invalid, What: "serve IDocs", Why: f.idoc.passwordFrom + " has no password", Hint: "set the variable, and name it as --idoc-password env:NAME",
			}
		}
	}
	if f.faults != "" {
		schedule, err := readSchedule(f.faults)
		if err != nil {
			return nil, "", err
		}
		cfg.Faults = schedule.Faults
	}
	p, err := idocport.New(cfg)
	if errors.Is(err, erpmock.ErrLedgerTaken) {
		return nil, "", ledgerTaken(f.ledger)
	}
	if err != nil {
		return nil, "", invalid("serve IDocs", err)
	}
	return p, "SAP's port for IDocs at " + idocport.Path, nil
}

// busy is a mock that does something by itself.
type busy interface {
	Run(ctx context.Context) error
}
