package mes

import (
	"slices"
	"time"
)

// NoteCode says what a Note is about.
type NoteCode string

// The codes of notes.
const (
	NumberConflict NoteCode = "number-conflict" // the ERP's number did not fit: two objects stand for one of the ERP's, or one for two
	Overruled      NoteCode = "overruled"       // the ERP changed what the plant had changed itself; the ERP's word stands
)

// Note tells people what happened to an object without their doing. The newest is the last.
type Note struct {
	At   time.Time `json:"at"`
	Code NoteCode  `json:"code"`
	Text string    `json:"text"`
}

// maxNotes bounds what an object keeps: the newest.
const maxNotes = 20

// noted is notes with n.
func noted(notes []Note, n Note) []Note {
	return slices.Clone(append(slices.Clip(notes), n)[max(0, len(notes)+1-maxNotes):])
}
