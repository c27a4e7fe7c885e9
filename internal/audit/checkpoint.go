package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
)

// Checkpoint is what was said of the tree at one moment: whoever holds it can tell whether a later tree still has the same entries at its
// beginning. Note is its form as c2sp.org/tlog-checkpoint has it, with the signatures under it.
type Checkpoint struct {
	Origin string
	Size   int64     // how many leaves it covers
	Root   tlog.Hash // of the tree that they make
	At     time.Time // to the microsecond, UTC
	MACs   int64     // one more than the place of the entry of MACsBegin; 0: it covers none
	Denied Spans     // places that the plant does not stand by: what is there is not what was written, or is another's
	Note   string
}

// Origin is the first line of a plant's checkpoints: purpose begins it, so that its signatures serve no other use.
func Origin(purpose, source string) string {
	return strings.NewReplacer("+", "%2B", " ", "%20").Replace(purpose + source)
}

// timeLine begins the line of a checkpoint that tells its time, by the clock of the node.
const timeLine = "time "

// macsLine begins the line of a checkpoint that tells at which place the entry is from which on each has a MAC.
const macsLine = "macs "

// deniedLine begins the line of a checkpoint that tells which places it denies; there is none if there are no such places.
const deniedLine = "denied "

// text is what is signed. The lines from the fourth on are extensions, which other programs pass over.
func (c Checkpoint) text() string {
	text := fmt.Sprintf("%s\n%d\n%s\n%s%s\n", c.Origin, c.Size, c.Root, timeLine, c.At.UTC().Format(time.RFC3339Nano))
	if c.MACs > 0 {
		text += macsLine + strconv.FormatInt(c.MACs-1, 10) + "\n"
	}
	if len(c.Denied) > 0 {
		text += deniedLine + c.Denied.String() + "\n"
	}
	return text
}

// ParseCheckpoint reads a note. Its signatures are not checked. The error is of kind Integrity.
func ParseCheckpoint(text string) (Checkpoint, error) {
	c, err := parseCheckpoint(text)
	if err != nil {
		return c, &problem.Error{
			Kind: problem.Integrity, What: "read a checkpoint", Why: "it is none: " + err.Error(), Hint: "look where it was kept, and who can write there",
		}
	}
	return c, nil
}

func parseCheckpoint(text string) (Checkpoint, error) {
	c := Checkpoint{Note: text}
	signed, _, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(signed, "\n")
	if !ok || len(lines) < 4 || lines[0] == "" {
		return c, errors.New("it has no lines for origin, size, root and time")
	}
	c.Origin = lines[0]
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 1 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, errors.New("its size is no number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return c, errors.New("its root is no hash")
	}
	copy(c.Root[:], root)
	at, ok := strings.CutPrefix(lines[3], timeLine)
	if c.At, err = time.Parse(time.RFC3339Nano, at); err != nil || !ok {
		return c, errors.New("its time is none")
	}
	lines = lines[4:] // what is none of these is another text below
	if len(lines) > 0 && strings.HasPrefix(lines[0], macsLine) {
		place, _ := strconv.ParseInt(strings.TrimPrefix(lines[0], macsLine), 10, 64)
		c.MACs, lines = place+1, lines[1:]
	}
	if len(lines) > 0 {
		c.Denied = parseSpans(strings.TrimPrefix(lines[0], deniedLine))
	}
	if c.text() != signed+"\n" {
		return c, errors.New("it has more in it than a checkpoint")
	}
	return c, nil
}

// Signatures is what checks the signature lines under a checkpoint, by their name and hash; it says who signed. The error of a line
// whose key is not known is of kind NotFound, that of one whose key is revoked of kind Denied.
type Signatures interface {
	Verify(name string, hash uint32, text, signature []byte, at time.Time) (who string, err error)
}

// Check tells who signed the checkpoint, and what is wrong with each signature that is not good. A checkpoint whose plant has no keyring
// has none. err is of kind Integrity where the note is none at all.
func (c Checkpoint) Check(by Signatures) (signers []string, wrong []error, err error) {
	if strings.HasSuffix(c.Note, "\n\n") {
		return nil, nil, nil
	}
	asked := &asked{by: by, at: c.At}
	n, err := note.Open([]byte(c.Note), asked)
	for i := 0; err == nil && i < len(n.Sigs); i++ {
		_, err = base64.StdEncoding.Strict().DecodeString(n.Sigs[i].Base64) // one signature, one text
	}
	if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		err = nil
	}
	if _, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
		err = nil // asked knows more of it
	}
	if err != nil {
		err = &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("read the checkpoint of %d entries", c.Size), Why: "what is under it are no signatures",
			Hint: "look where it was kept, and who can write there", Cause: err,
		}
	}
	return asked.signers, asked.wrong, err
}

// asked hands every signature line on to Signatures, whoever's it is, and remembers the answers.
type asked struct {
	by      Signatures
	at      time.Time
	signers []string
	wrong   []error
}

// Verifier knows every name and key.
func (a *asked) Verifier(name string, hash uint32) (note.Verifier, error) {
	return line{a, name, hash}, nil
}

// line is one signature line.
type line struct {
	asked *asked
	name  string
	hash  uint32
}

// Name is that of the line.
func (l line) Name() string { return l.name }

// KeyHash is that of the line.
func (l line) KeyHash() uint32 { return l.hash }

// Verify passes every line on, so that one that is bad does not hide the next.
func (l line) Verify(text, signature []byte) bool {
	who, err := l.asked.by.Verify(l.name, l.hash, text, signature, l.asked.at)
	if err != nil {
		l.asked.wrong = append(l.asked.wrong, err)
	} else {
		l.asked.signers = append(l.asked.signers, who)
	}
	return true
}
