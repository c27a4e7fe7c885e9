package access

// DefaultRoles is the built-in table. Each role has the least that its people need; docs/access.md prints it, and a test compares the two.
func DefaultRoles() map[string]Role {
	see := []string{ReadPlant, ReadInbound, ReadMessages, ReadStatus, OwnAccount}
	role := func(may ...string) Role { return Role{{May: may}} }
	also := func(may ...string) []string { return append(append([]string{}, see...), may...) }
	return map[string]Role{
		"viewer":     role(see...),
		"operator":   role(ReadPlant, ReadMessages, ReadStatus, OwnAccount, Report),
		"shift-lead": role(also(Report, PlanOrders, Correct, DecideLots)...),
		"erp-team":   role(also(RepairInbound, RepairOut, Operate, ReadAudit, ManageMaps, ApproveMaps)...),
		"erp":        role(Deliver),
		"security":   role(ReadStatus, OwnAccount, ReadAudit, ReadKeys, ManageKeys, ReadAccess, ManageAccess, ManageAlerts),
		"admin":      role(also(Operate, RunPlant, ManageBackups, ReadKeys, ReadAccess)...),
		"privacy":    role(ReadStatus, OwnAccount, Reveal),
		"auditor":    role(also(ReadAudit, ReadKeys, ReadAccess)...),
	}
}

// DefaultApart is the built-in separation of duties: what somebody has corrected is released by somebody else, also where it was held as doubtful.
func DefaultApart() []Apart {
	all := []Apart{{QuarantineAmend, QuarantineReplay}}
	for _, lets := range []string{AnomalyAccept, MsgRetry, MsgPostpone, MsgUndiscard} { // each lets go what is held as doubtful, or has it owed again
		all = append(all, Apart{MsgAmend, lets}, Apart{ConfirmationCreate, lets}, Apart{MovementCreate, lets})
	}
	return all
}
