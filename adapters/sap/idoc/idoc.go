// Package idoc speaks with SAP by IDocs: it reads and writes them, as XML and as flat files, sends what the plant owes by HTTP or through a
// folder, and takes in what SAP sends and what SAP says of what it was sent.
//
// # Guarantees
//
//   - Received is not booked. That SAP took an IDoc makes its message delivered, without a document's number; the number, or SAP's no, comes
//     later with SAP's own confirmation (ALEAUD01), and is kept with the message as any ERP's late answer is.
//   - A message has one IDoc number (DOCNUM), the same at each attempt, and its ID stands in ARCKEY. What may have reached SAP is not sent
//     again until SAP's confirmation shows that it did, or somebody decides; unless the configuration says that SAP drops a number that it
//     has. Through a folder a message is handed over once, also after a crash.
//   - What SAP sends is answered with 200, or moved away, once it is in the inbox, where an IDoc counts once: by its number, sender and
//     client.
//   - Numbers keep every digit. What a description does not know, segment or field, is kept under its own name and reported.
//   - Reading is bounded in bytes, depth and number of segments. A mistake is told with its line and segment.
//
// What segments are made of stands in descriptions, data files of our own writing from published facts (descriptions/), which a plant
// replaces by those that its system exports.
package idoc

import (
	"fmt"

	"holdfast/internal/problem"
)

// Document is one IDoc.
type Document struct {
	Control  Control
	Segments []*Segment // of level 1, in order
	Unknown  []string   // what the descriptions do not know, each with its place

	made  string // when SAP made it, for mappings; "" if that is not known
	first bool   // it is what a message was at first: neither amended nor replayed by force
}

// Segment is one record of an IDoc, with those below it.
type Segment struct {
	Name     string // of the type: E1AFKOL
	Fields   []Value
	Children []*Segment
	Line     int // where it was read
}

// Value is one field as it stands in an IDoc, without the blanks around it.
type Value struct{ Name, Text string }

// Get is the text of a field, "" if there is none.
func (s *Segment) Get(name string) string {
	for _, v := range s.Fields {
		if v.Name == name {
			return v.Text
		}
	}
	return ""
}

// Limits bound what is read.
type Limits struct {
	Bytes    int64 // of one file or request
	Segments int   // of one IDoc
	IDocs    int   // of one file or request
}

// Usual are the limits where a configuration names none.
func Usual() Limits { return Limits{Bytes: 32 << 20, Segments: 100_000, IDocs: 1000} }

// mostDepth is how deep segments may lie in each other: SAP's own go to 99, and none of those known here beyond 6.
const mostDepth = 32

// broken is a mistake in what was read.
func broken(line int, segment, why string) error {
	what := fmt.Sprintf("read IDoc, line %d", line)
	if segment != "" {
		what += ", segment " + segment
	}
	return &problem.Error{Kind: problem.Invalid, What: what, Why: why, Hint: "look at the file at this line; if SAP wrote it so, send it to who looks after Holdfast"}
}
