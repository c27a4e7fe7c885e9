package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// free is what a command needs that touches no plant: it works on files that it is given, or on a stage of its own.
const free = ""

// verbs is the action that each command needs; a test compares it with the commands, both ways.
func verbs() map[string]string {
	return map[string]string{
		"demo": free, "init": free, "version": free, "torture": free, "verify": free, "erp mock": free, "erp mock assert": free,
		"completion bash": free, "completion zsh": free, "completion fish": free, "completion powershell": free,
		"mapping new": free, "mapping check": free, "mapping test": free, "mapping preview": free, "mapping schema": free, "compliance report": free,
		"job list": access.MsgRead, "job show": access.MsgRead, "job watch": access.MsgRead, "job start": access.JobStart, "job approve": access.JobApprove,
		"job pause": access.JobPause, "job resume": access.JobResume, "job cancel": access.JobCancel, "job rate": access.JobRate, "reconcile": access.ReconcileRun,
		"mapping publish": access.MappingPublish, "mapping approve": access.MappingApprove, "mapping rollback": access.MappingRollback,
		"mapping canary stop": access.MappingEndTrial, "mapping canary show": access.MsgRead, "mapping history": access.StatusRead,
		"serve": access.PlantRun, "migrate up": access.PlantRun, "keys init": access.PlantRun,
		"doctor": access.StatusRead, "status": access.StatusRead, "migrate status": access.StatusRead, "erp explore": access.StatusRead,
		"msg list": access.MsgRead, "msg show": access.MsgRead, "msg prove": access.MsgProve, "mapping diff": access.MsgRead,
		"msg retry": access.MsgRetry, "msg discard": access.MsgDiscard, "msg undiscard": access.MsgUndiscard, "msg edit": access.MsgAmend, "msg replay": access.MsgReplay,
		"msg mark-delivered": access.MsgMarkDelivered, "msg send-again": access.MsgSendAgain, "msg postpone": access.MsgPostpone,
		"msg asked": access.MsgRead, "msg approve": access.MsgApprove, "msg refuse": access.MsgRefuse,
		"lane list": access.MsgRead, "lane show": access.MsgRead, "link show": access.MsgRead, "msg note": access.MsgNote, "msg export": access.MsgExport, "lane pause": access.LanePause, "lane resume": access.LaneResume,
		"link list": access.MsgRead, "link pause": access.LinkPause, "link resume": access.LinkResume, "link rate": access.LinkRate,
		"quarantine list": access.InboundRead, "quarantine show": access.InboundRead, "quarantine lanes": access.InboundRead,
		"quarantine replay": access.QuarantineReplay, "quarantine discard": access.QuarantineDiscard, "quarantine skip": access.InboxSkip,
		"conflict dismiss": access.ConflictDismiss,
		"keys status":      access.KeysRead, "keys export": access.KeysRead, "keys rotate": access.KeysRotate, "keys revoke": access.KeysRevoke, "keys drill": access.KeysDrill,
		"keys reseal": access.KeysReseal, "keys rewrap": access.KeysRewrap, "keys shred": access.KeysShred,
		"anomaly list": access.MsgRead, "anomaly show": access.MsgRead, "anomaly export": access.AnomalyExport, "anomaly accept": access.AnomalyAccept, "anomaly reset": access.AnomalyReset,
		"token show": access.TokenReveal, "token find": access.TokenFind, "token rotate": access.TokenRotate,
		"audit list": access.AuditRead, "audit search": access.AuditRead, "audit verify": access.AuditRead, "audit prove": access.AuditRead, "audit keys": access.KeysRead, "audit export": access.AuditExport,
		"backup create": access.BackupCreate, "backup init": access.BackupCreate, "backup list": access.BackupRead, "backup schedule": access.BackupRead, "backup verify": access.BackupVerify, "backup prune": access.BackupPrune, "backup restore": access.BackupRestore,
		"access break-glass seal": access.GlassSeal, "access break-glass ask": access.GlassAsk, "access break-glass open": access.GlassOpen,
		"alert list": access.AuditRead, "alert test": access.AlertTest, "alert silence": access.AlertSilence,
		"access roles": access.AccessRead, "access actions": free, "access token list": access.AccessRead,
		"access user list": access.AccessRead, "access user add": access.UserAdd, "access user disable": access.UserDisable, "access user enable": access.UserEnable,
		"access user password": access.UserPassword, "access user totp": access.UserFactor, "access user sign-out": access.UserSignOut,
		"access token create": access.TokenCreate, "access token revoke": access.TokenRevoke,
	}
}

// verb is a command's name below the program's own.
func verb(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

// permitted holds a command to the roles that access.shell gives to the account that runs it, before it does anything. A command that is not
// in the table is permitted to nobody. Where there is no configuration the command says so itself.
func permitted(cmd *cobra.Command, _ []string) error {
	action, known := verbs()[verb(cmd)]
	if known && action == free || holds(cmd) || verb(cmd) == "help" {
		return nil
	}
	if serverOf(cmd) != "" || strings.HasPrefix(verb(cmd), cobra.ShellCompRequestCmd) {
		return nil // the server holds its caller to it; and what a shell is offered, names does
	}
	cfg, err := configOf(cmd)
	if err != nil || cfg.Access == nil {
		return nil //nolint:nilerr // the command reads it too, and says what is wrong
	}
	policy, err := cfg.policy()
	if err != nil {
		return err
	}
	by := cfg.localActor()
	if _, known := access.Lookup(action); !known {
		return &problem.Error{Kind: problem.Internal, What: "run " + verb(cmd), Why: "it has no action", Hint: "this is a defect of Holdfast; please report it"}
	}
	if c := calledFrom(cmd.Context()); c != nil && c.p.gate != nil {
		permit := c.p.gate.Permit
		if namesLink(cmd) {
			permit = func(ctx context.Context, by access.Actor, action, _, object string) error {
				return c.p.gate.PermitSome(ctx, by, action, object)
			}
		}
		return permit(cmd.Context(), by, action, "", "command "+verb(cmd))
	}
	if policy.May(by.Rights, action, "") || namesLink(cmd) && policy.MayOnSome(by.Rights, action) {
		return nil
	}
	return refusedHere(cmd, cfg, by, access.NotPermitted(by, action, ""))
}

// refusedHere keeps on record what was refused to an account of the machine; an account that cannot write the plant's database leaves nothing.
func refusedHere(cmd *cobra.Command, cfg Config, by access.Actor, why error) error {
	r, err := openRecords(cmd.Context(), cfg)
	if err != nil {
		return why
	}
	return errors.Join(r.doer.Refused(cmd.Context(), by, "command "+verb(cmd), why), r.db.Close())
}

// holds tells whether a command only holds others; explainMistakes has marked it.
func holds(cmd *cobra.Command) bool { return cmd.HasSubCommands() && cmd.DisableFlagsInUseLine }

// namesLink tells whether a command says what link it is about, so that a right on some links may be enough: the act finds out. Every other
// command is about all of them.
func namesLink(cmd *cobra.Command) bool {
	switch verb(cmd) {
	case "link pause", "link resume", "link rate", "lane pause", "lane resume":
		return true
	default:
		return false
	}
}
