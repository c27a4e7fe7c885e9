package access

import "slices"

// The names of all actions. They are stable: they end up in the audit record.
const (
	OrderCreate         = "order.create"
	OrderChange         = "order.change"
	OrderStart          = "order.start"
	OrderComplete       = "order.complete"
	ConfirmationCreate  = "confirmation.create"
	ConfirmationReverse = "confirmation.reverse"
	MovementCreate      = "movement.create"
	MovementReverse     = "movement.reverse"
	LotCreate           = "lot.create"
	LotDecide           = "lot.decide"
	ConflictDismiss     = "conflict.dismiss"
	InspectionRecord    = "inspection.record"
	BodyKeep            = "body.keep"
	InboundReceive      = "inbound.receive"
	QuarantineReplay    = "quarantine.replay"
	QuarantineDiscard   = "quarantine.discard"
	QuarantineAmend     = "quarantine.amend"
	InboxSkip           = "inbox.skip"
	InboundReadAgain    = "inbound.read-again"
	MsgRetry            = "msg.retry"
	MsgDiscard          = "msg.discard"
	MsgUndiscard        = "msg.undiscard"
	MsgAmend            = "msg.amend"
	MsgReplay           = "msg.replay"
	MsgMarkDelivered    = "msg.mark-delivered"
	MsgSendAgain        = "msg.send-again"
	MsgPostpone         = "msg.postpone"
	MsgNote             = "msg.note"
	MsgApprove          = "msg.approve"
	MsgRefuse           = "msg.refuse"
	AnomalyAccept       = "anomaly.accept"
	AnomalyReset        = "anomaly.reset"
	JobPlan             = "job.plan"
	JobStart            = "job.start"
	JobApprove          = "job.approve"
	JobPause            = "job.pause"
	JobResume           = "job.resume"
	JobCancel           = "job.cancel"
	JobRate             = "job.rate"
	ReconcileRun        = "reconcile.run"
	LanePause           = "lane.pause"
	LaneResume          = "lane.resume"
	LinkPause           = "link.pause"
	LinkResume          = "link.resume"
	LinkRate            = "link.rate"
	KeysRotate          = "keys.rotate"
	KeysRevoke          = "keys.revoke"
	KeysDrill           = "keys.drill"
	KeysReseal          = "keys.reseal"
	KeysRewrap          = "keys.rewrap"
	KeysShred           = "keys.shred"
	TokenReveal         = "token.reveal"
	TokenFind           = "token.find"
	TokenRotate         = "token.rotate"
	MappingPublish      = "mapping.publish"
	MappingPropose      = "mapping.propose"
	MappingApprove      = "mapping.approve"
	MappingRollback     = "mapping.rollback"
	MappingTry          = "mapping.try"
	MappingEndTrial     = "mapping.end-trial"
	MappingReload       = "mapping.reload"
	MappingPreview      = "mapping.preview"
	PlantRead           = "plant.read"
	BodyRead            = "body.read"
	InboundRead         = "inbound.read"
	MsgRead             = "msg.read"
	MsgProve            = "msg.prove"
	MsgExport           = "msg.export"
	AnomalyExport       = "anomaly.export"
	AuditRead           = "audit.read"
	AuditExport         = "audit.export"
	KeysRead            = "keys.read"
	StatusRead          = "status.read"
	PlantRun            = "plant.run"
	BackupCreate        = "backup.create"
	BackupVerify        = "backup.verify"
	BackupPrune         = "backup.prune"
	BackupRead          = "backup.read"
	BackupRestore       = "backup.restore"
	AccessRead          = "access.read"
	TokenCreate         = "access.token-create"
	TokenRevoke         = "access.token-revoke"
	UserAdd             = "access.user-add"
	UserDisable         = "access.user-disable"
	UserEnable          = "access.user-enable"
	UserPassword        = "access.user-password"
	UserFactor          = "access.user-totp"
	UserSignOut         = "access.user-sign-out"
	GlassSeal           = "access.break-glass-seal"
	GlassAsk            = "access.break-glass-ask"
	GlassOpen           = "access.break-glass-open"
	PasskeyAdd          = "access.passkey-add"
	PasskeyRemove       = "access.passkey-remove"
	BadgeSet            = "access.badge-set"
	BadgeRemove         = "access.badge-remove"
	AlertTest           = "alert.try"
	AlertSilence        = "alert.silence"
)

// What is recorded of callers besides their acts. Nobody is permitted these: they happen.
const (
	SignInRefused = "access.sign-in" // somebody called without being known
	Refusal       = "access.refusal" // somebody known called for what is not permitted
	SignedIn      = "access.signed-in"
	SignedOut     = "access.signed-out"
	GroupsChanged = "access.groups"         // a directory or a provider says that somebody is in other groups, which give roles here
	PasskeyCloned = "access.passkey-cloned" // a passkey exists twice, as its count says; it counts for nothing any more
)

// The permissions. A role is a set of them, see Role.
const (
	ReadPlant     = "plant:read"         // see orders, reports, lots and master data
	ReadInbound   = "inbound:read"       // see what the ERPs have sent
	ReadMessages  = "messages:read"      // see what the ERPs are owed, lanes and links
	ReadAudit     = "audit:read"         // see who did what
	ReadStatus    = "status:read"        // see how the plant stands, its connections and settings
	ReadKeys      = "keys:read"          // see the public keys of the nodes
	RunPlant      = "plant:run"          // start the program and bring its database up to date
	ReadAccess    = "access:read"        // see who may do what
	ManageAccess  = "access:manage"      // give and take access
	OwnAccount    = "account:own"        // change one's own ways in
	ManageAlerts  = "alerts:manage"      // try who is told of alerts, and silence one for a time
	PlanOrders    = "orders:plan"        // make and re-plan orders of the plant
	Report        = "production:report"  // report what was made, used, found
	Correct       = "production:correct" // take a report back
	DecideLots    = "lots:decide"        // give lots free, or restrict them
	Deliver       = "inbound:deliver"    // hand in messages of an ERP
	RepairInbound = "inbound:repair"     // replay, discard, skip what came in
	RepairOut     = "messages:repair"    // retry, discard, amend, replay what goes out
	Operate       = "links:operate"      // pause and resume lanes and links
	ManageKeys    = "keys:manage"        // replace and revoke the keys that nodes sign with
	Reveal        = "sensitive:reveal"   // see the values that tokens stand for, and find the tokens of values
	ManageBackups = "backups:manage"     // make, prove, remove and restore copies of the plant
	ManageMaps    = "mappings:manage"    // publish, try and roll back mappings
	ApproveMaps   = "mappings:approve"   // approve mappings that somebody else has proposed
)

// Action is something that changes the plant or its messages, or shows them.
type Action struct {
	Name        string
	Permission  string // what an actor needs
	Summary     string // what it does, in a user's words
	NeedsReason bool   // the actor must say why
}

// Actions lists every action, those that change something first, each part in the order of its subjects.
func Actions() []Action { return slices.Concat(changes(), shows()) }

func changes() []Action { return slices.Concat(changesOfWork(), changesOfKeeping()) }

// changesOfWork are what shifts, operators and ERPs do.
func changesOfWork() []Action {
	return []Action{
		{OrderCreate, PlanOrders, "Make an order of the plant's own", false},
		{OrderChange, PlanOrders, "Change an order's priority or dates", false},
		{OrderStart, Report, "Begin to work on an order", false},
		{OrderComplete, Report, "Complete an order technically", false},
		{ConfirmationCreate, Report, "Confirm what an operation has made", false},
		{ConfirmationReverse, Correct, "Take a confirmation back", true},
		{MovementCreate, Report, "Issue, receive or scrap goods", false},
		{MovementReverse, Correct, "Take a goods movement back", true},
		{LotCreate, Report, "Open a lot", false},
		{LotDecide, DecideLots, "Give a lot free for use, or restrict it", true},
		{ConflictDismiss, Correct, "Say that a number of the ERP which did not fit needs nobody any more", true},
		{InspectionRecord, Report, "Record an inspection result", false},
		{BodyKeep, Deliver, "Keep a large body for a message that will name it", false},
		{InboundReceive, Deliver, "Take a message from an ERP", false},
		{QuarantineReplay, RepairInbound, "Try a message in quarantine again", true},
		{QuarantineDiscard, RepairInbound, "Put a message in quarantine aside for good", true},
		{QuarantineAmend, RepairInbound, "Correct a message in quarantine", true},
		{InboxSkip, RepairInbound, "Go on without a message that will never come", true},
		{InboundReadAgain, RepairInbound, "Read again from the beginning what an ERP has to say", true},
		{MsgRetry, RepairOut, "Send a message again that waits or has parked its lane", true},
		{MsgDiscard, RepairOut, "Give a message up and send a void under its number", true},
		{MsgUndiscard, RepairOut, "Owe a message again that was discarded", true},
		{MsgAmend, RepairOut, "Correct a message that was not delivered", true},
		{MsgMarkDelivered, RepairOut, "Say that the ERP has a message of which nobody knew", true},
		{MsgSendAgain, RepairOut, "Say that the ERP does not have a message of which nobody knew", true},
		{MsgPostpone, RepairOut, "Have a message, and all that follow it in its lane, sent later", true},
		{MsgReplay, RepairOut, "Send delivered messages once more", true},
		{MsgApprove, RepairOut, "Approve a correction or discard that somebody else has asked for", true},
		{MsgRefuse, RepairOut, "Refuse a correction or discard that was asked for, or take it back", true},
		{MsgNote, RepairOut, "Write a note to a message or to a group, for whoever looks next", false},
		{AnomalyAccept, RepairOut, "Say that a doubtful report is right, send it and learn it", true},
		{AnomalyReset, RepairOut, "Forget what was learned of a material", true},
		{JobPlan, RepairOut, "Look at which messages a replay would send, and keep that as a plan", false},
		{JobStart, RepairOut, "Start the replay of a plan", true},
		{JobApprove, RepairOut, "Approve a replay that somebody else has asked for", true},
		{JobPause, RepairOut, "Stop a replay for a while", true},
		{JobResume, RepairOut, "Let a replay go on", true},
		{JobCancel, RepairOut, "Give the rest of a replay up", true},
		{JobRate, RepairOut, "Change how fast a replay sends", true},
		{ReconcileRun, RepairOut, "Hold what was reported against what the ERP has", false},
		{LanePause, Operate, "Stop a lane", true},
		{LaneResume, Operate, "Let a paused or parked lane go on", true},
		{LinkPause, Operate, "Stop sending over a link", true},
		{LinkResume, Operate, "Let a link go on", true},
		{LinkRate, Operate, "Change how fast a link sends", true},
	}
}

// changesOfKeeping are what those do who keep the plant itself: keys, mappings, copies, access.
func changesOfKeeping() []Action {
	return []Action{
		{KeysRotate, ManageKeys, "Have a node replace the key that it signs with", true},
		{KeysRevoke, ManageKeys, "Have a key count for nothing any more", true},
		{KeysDrill, ManageKeys, "Rehearse that the keyring is away", true},
		{KeysReseal, ManageKeys, "Seal what was kept before the plant sealed its bodies", true},
		{KeysRewrap, ManageKeys, "Wrap the keys of what is sealed anew", true},
		{KeysShred, ManageKeys, "Destroy the bodies of a lane for ever", true},
		{TokenReveal, Reveal, "See the sensitive value that a token stands for", true},
		{TokenFind, Reveal, "Find the token of a sensitive value", true},
		{TokenRotate, ManageKeys, "Have the tokens of sensitive values found by a new key", true},
		{MappingPublish, ManageMaps, "Have every node map by an edition of the mappings", true},
		{MappingPropose, ManageMaps, "Propose an edition of the mappings, for somebody else to approve", true},
		{MappingApprove, ApproveMaps, "Approve an edition of the mappings that somebody else has proposed", true},
		{MappingRollback, ManageMaps, "Go back to the mappings that were used before", true},
		{MappingTry, ManageMaps, "Map live messages by an edition too, without sending what it makes", true},
		{MappingEndTrial, ManageMaps, "End the trial of an edition of the mappings", true},
		{MappingReload, ManageMaps, "Take the changed folder of mappings; a node does", false},
		{BackupCreate, ManageBackups, "Make a copy of the plant", true},
		{BackupVerify, ManageBackups, "Prove that a copy of the plant can be restored", false},
		{BackupPrune, ManageBackups, "Remove old copies of the plant", true},
		{BackupRestore, ManageBackups, "Make a plant of a copy", true},
		{PlantRun, RunPlant, "Start the plant, and bring its database up to date", false},
		{TokenCreate, ManageAccess, "Give a machine a token", true},
		{TokenRevoke, ManageAccess, "Have a token count for nothing any more", true},
		{UserAdd, ManageAccess, "Give a person an account", true},
		{UserDisable, ManageAccess, "Let a person in no more", true},
		{UserEnable, ManageAccess, "Let a person in again", true},
		{UserPassword, ManageAccess, "Give a person another password", true},
		{UserFactor, ManageAccess, "Give a person another second factor", true},
		{UserSignOut, ManageAccess, "End every session of a person", true},
		{GlassSeal, ManageAccess, "Seal an account, so that only two people together open it", true},
		{GlassAsk, ManageAccess, "Ask for a sealed account to be opened", true},
		{GlassOpen, ManageAccess, "Open a sealed account for a time, which somebody else has asked for", true},
		{PasskeyAdd, OwnAccount, "Add a passkey to one's own account", false},
		{PasskeyRemove, OwnAccount, "Remove a passkey of one's own account, and end one's sessions", false},
		{BadgeSet, OwnAccount, "Set the badge and PIN by which one signs in at terminals of the shop floor", false},
		{BadgeRemove, OwnAccount, "Remove one's badge and PIN, and end one's sessions", false},
		{AlertTest, ManageAlerts, "Tell the channels of a test alert", true},
		{AlertSilence, ManageAlerts, "Keep an alert from the channels for a time", true},
	}
}

func shows() []Action {
	return []Action{
		{PlantRead, ReadPlant, "See orders, reports, lots and master data", false},
		{InboundRead, ReadInbound, "See what the ERPs have sent, and what waits for what", false},
		{BodyRead, ReadMessages, "See the large body of a message", false},
		{MsgRead, ReadMessages, "See messages, lanes and links", false},
		{MsgProve, ReadMessages, "Print what was signed of messages", false},
		{MsgExport, ReadMessages, "Take messages out, to be kept elsewhere", false},
		{AnomalyExport, ReadMessages, "Take out what was learned of materials", false},
		{AuditRead, ReadAudit, "See who did what", false},
		{AuditExport, ReadAudit, "Take the whole record out, to be kept and checked elsewhere", false},
		{KeysRead, ReadKeys, "See the keys that nodes sign with", false},
		{StatusRead, ReadStatus, "See how the plant stands, its connections and settings", false},
		{MappingPreview, ManageMaps, "Try a changed mapping on a message, without keeping it", false},
		{BackupRead, ReadStatus, "See which copies of the plant there are", false},
		{AccessRead, ReadAccess, "See who may do what", false},
	}
}

// Changes tells whether the action changes something; the others show.
func (a Action) Changes() bool { return !slices.Contains(shows(), a) }

// How many characters a reason has, wherever it is given.
const (
	LeastReason = 3
	MostReason  = 500
)

// Lookup finds an action by its name.
func Lookup(name string) (Action, bool) {
	all := Actions()
	i := slices.IndexFunc(all, func(a Action) bool { return a.Name == name })
	if i < 0 {
		return Action{}, false
	}
	return all[i], true
}
