package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/problem"
)

// openODataMock makes a system of one or several $metadata documents.
func openODataMock(f mockFlags) (m mock, of string, err error) {
	var services []edmx.Source
	var names []string
	for _, file := range f.edmx {
		text, err := readFile(file, "save there what the service gives at its root followed by $metadata")
		if err != nil {
			return nil, "", err
		}
		services, names = append(services, edmx.Source{Metadata: text}), append(names, filepath.Base(file))
	}
	cfg := edmx.Config{Seed: f.seed, Ledger: f.ledger}
	if f.faults != "" {
		schedule, err := readSchedule(f.faults)
		if err != nil {
			return nil, "", err
		}
		if cfg.Faults = schedule.Faults; schedule.Seed != 0 {
			cfg.Seed = schedule.Seed
		}
	}
	s, err := edmx.NewSystem(cfg, services...)
	if errors.Is(err, erpmock.ErrLedgerTaken) {
		return nil, "", ledgerTaken(f.ledger)
	}
	if err != nil {
		return nil, "", &problem.Error{
			Kind: problem.Invalid, What: "serve " + strings.Join(names, ", "), Why: err.Error(), Hint: "give the $metadata (EDMX) of an OData V2 or V4 service",
		}
	}
	if err := seedSystem(s, f.seedData); err != nil {
		return nil, "", errors.Join(err, s.Close())
	}
	roots := make([]string, 0, len(s.Services()))
	for _, service := range s.Services() {
		roots = append(roots, service.Root())
	}
	return s, strings.Join(roots, ", "), nil
}

// readSchedule reads a file of faults.
func readSchedule(file string) (erpmock.Schedule, error) {
	text, err := readFile(file, "name a schedule of faults with --faults")
	if err != nil {
		return erpmock.Schedule{}, err
	}
	s, err := erpmock.ParseSchedule(text)
	if err != nil {
		return s, invalid("read the faults "+file, err)
	}
	return s, nil
}

// seedSystem gives a system the documents that it begins with: a file of lists by entity set. One that goes on from a ledger has them.
func seedSystem(s *edmx.System, from string) error {
	if from == "" || s.Restored() {
		return nil
	}
	if from == builtinDemo {
		return &problem.Error{
			Kind: problem.Invalid, What: "seed the mock with " + from, Why: "its documents are the plain ERP's, and with --edmx there are SAP's sets or another's",
			Hint: "name a file of lists by entity set with --seed-data; docs/odata.md shows one",
		}
	}
	text, err := readFile(from, "name a file of documents with --seed-data: lists by entity set")
	if err != nil {
		return err
	}
	docs := map[string][]map[string]any{}
	if err := yaml.Load(text, &docs, yaml.WithV4Defaults()); err != nil {
		return invalid("read the documents of "+from, err)
	}
	if err := s.SeedAll(docs); err != nil {
		return invalid("read the documents of "+from, fmt.Errorf("%w; values are written as a $filter has them, numbers in quotes", err))
	}
	return nil
}
