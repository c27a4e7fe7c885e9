package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/backup"
)

func backupInit() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Make places for copies of the folders that backup.places names", Args: cobra.NoArgs,
		Long: "Init puts a mark into each folder of backup.places, on this machine or behind SFTP, and makes the folder where it is not there. Without the mark, or copies, a folder is\n" +
			"taken for the mount point of a share that is away, and nothing is written into it: mount the shares before. Once is enough; a folder directly in the plant's own needs none.",
		Example: "  holdfast backup init",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			places, err := cfg.backupPlaces(cmd.Context())
			errs := []error{err}
			for _, p := range places {
				done, err := backup.Mark(cmd.Context(), p)
				says := "was a place for copies already"
				if done {
					says = "is a place for copies now"
				}
				if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), p, says)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}
