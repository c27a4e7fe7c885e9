package wire

import "holdfast/internal/problem"

// OfWhichSending says that the document which an ERP has of a message proves nothing of its forced replay, whose answer was lost: a person has forced it
// in spite of that document, or of another.
func OfWhichSending(target, id, document string) error {
	return &problem.Error{
		Kind: problem.Conflict, What: target + " for message " + id,
		Why:  "the answer to its forced replay was lost, and the ERP has document " + document + ", which may be that of the sending before",
		Hint: "look in the ERP for a second document; then mark the message delivered with its number, or send it again",
	}
}
