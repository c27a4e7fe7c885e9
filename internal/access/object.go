package access

import "strconv"

// InboundObject is the one name of a message that came in, by its number, in the record of acts; who acts on it by whichever way has it from here,
// since acts are compared by it.
func InboundObject(number int64) string { return "inbound/" + strconv.FormatInt(number, 10) }

// MessageObject is the one name of a message to an ERP in the record of acts.
func MessageObject(id string) string { return "message/" + id }

// JobObject is the one name of a replay job in the record of acts.
func JobObject(id string) string { return "job/" + id }

// ConfirmationObject is the one name of a confirmation in the record of acts.
func ConfirmationObject(id string) string { return "confirmation/" + id }

// MovementObject is the one name of a goods movement in the record of acts.
func MovementObject(id string) string { return "movement/" + id }

// LotObject is the one name of a lot in the record of acts.
func LotObject(id string) string { return "lot/" + id }

// InspectionObject is the one name of an inspection result in the record of acts.
func InspectionObject(id string) string { return "inspection/" + id }
