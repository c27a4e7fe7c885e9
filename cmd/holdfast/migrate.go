package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/store"
)

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "See and bring up to date the schema of the database",
		Long:  "Serve does what migrate up does, at its start and under a lock.",
	}
	cmd.AddCommand(migrateStatus(), migrateUp())
	return cmd
}

func migrateStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "List the steps of the schema and when each was applied",
		Example: "  holdfast migrate status --config holdfast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			r, err := openRecords(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return errors.Join(printMigrations(cmd, r.db), r.db.Close())
		},
	}
	return cmd
}

func migrateUp() *cobra.Command {
	var newPlant bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the database, or bring its schema up to date",
		Long: "Up makes a database that is not there yet. Where the plant has had one (there are copies of it, or checkpoints of its audit record), it refuses,\n" +
			"as serve does: bring the plant back with holdfast backup restore, or begin a new one with --new-plant.",
		Example: "  holdfast migrate up --config holdfast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			log, err := newLogger(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if !newPlant {
				if err := cfg.refuseBeginning(cmd.Context(), log); err != nil {
					return err
				}
			}
			db, err := openDatabase(cmd.Context(), cfg, store.Config{})
			if err != nil {
				return err
			}
			return errors.Join(printMigrations(cmd, db), db.Close())
		},
	}
	cmd.Flags().BoolVar(&newPlant, "new-plant", false, "begin an empty database although the plant has had one: what was in that is given up, unless a copy brings it back elsewhere")
	return cmd
}

func printMigrations(cmd *cobra.Command, db *store.DB) error {
	steps, err := db.Migrations(context.WithoutCancel(cmd.Context()))
	if err != nil {
		return err
	}
	rows := make([]string, 0, len(steps))
	for _, s := range steps {
		applied := "not yet"
		if !s.Applied.IsZero() {
			applied = s.Applied.Format(time.RFC3339)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s", s.Name, applied))
	}
	return table(cmd.OutOrStdout(), "STEP\tAPPLIED", rows)
}
