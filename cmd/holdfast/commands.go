package main

import "github.com/spf13/cobra"

// commands is every command of the program, each in the file of its name.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newDemo(), serveCommand(), newInit(), newDoctor(), newStatus(), newMigrate(),
		newMsg(), newLane(), newLink(), newJob(), newReconcile(), newQuarantine(), newConflict(), newAnomaly(), newKeys(), newToken(), newVerify(), newAudit(), newBackup(), newAccess(), newAlert(), newERP(), newMapping(), newCompliance(), tortureCommand(), versionCommand(),
	}
}
