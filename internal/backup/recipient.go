package backup

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"

	"holdfast/internal/problem"
)

// Recipient is somebody who can open archives.
type Recipient = age.Recipient

// NewKey makes a key that opens archives.
func NewKey() (secret string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make a key for backups: %w", err)
	}
	return id.String(), nil
}

// PublicKey is the public half of a key that NewKey made, which Recipients reads.
func PublicKey(secret string) (string, error) {
	id, err := age.ParseX25519Identity(secret)
	if err != nil {
		return "", errors.New("read a key for backups: it is none that age can read") // its own words might repeat the key
	}
	return id.Recipient().String(), nil
}

// Listed is a text that names recipients, one public key a line, and where it stands, for whoever mends it.
type Listed struct{ Where, Text string }

// Recipients reads whom archives are for: "age1…" and "age1pq1…" keys. Fewer than two different ones are refused: with one key lost all copies
// would be. What stands in a text is in no error: it may be a secret key that was put there by mistake.
func Recipients(from []Listed) ([]Recipient, error) {
	var all []Recipient
	seen := map[string]bool{}
	for _, l := range from {
		found, err := l.read()
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if text := fmt.Sprint(r); !seen[text] {
				seen[text], all = true, append(all, r)
			}
		}
	}
	if len(all) < 2 {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "name the recipients of backups", Why: fmt.Sprintf("there are %d, and it takes two different ones", len(all)),
			Hint: "name the site's key and a recovery key that lies in a safe",
		}
	}
	return all, nil
}

// read takes one key a line; empty lines, and those that begin with #, are none.
func (l Listed) read() (all []Recipient, err error) {
	n := 0
	for line := range strings.Lines(l.Text) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found, err := age.ParseRecipients(strings.NewReader(line))
		if err != nil {
			return nil, l.refuse(n, line)
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the recipients of backups in " + l.Where, Why: "there is no key in it", Hint: hintPublic}
	}
	return all, nil
}

const hintPublic = "write a public key there, as age-keygen -y prints it: age1…"

// refuse says where a line stands that is no public key, and nothing of what is in it.
func (l Listed) refuse(n int, line string) error {
	e := &problem.Error{Kind: problem.Invalid, What: "read the recipients of backups in " + l.Where, Why: "it is no public key of age", Hint: hintPublic}
	if strings.Contains(l.Text, "\n") {
		e.Why = fmt.Sprintf("line %d is no public key of age", n)
	}
	if strings.Contains(strings.ToUpper(line), "AGE-SECRET-KEY-") {
		e.Why = fmt.Sprintf("line %d holds a secret key, which opens every copy and must not stand there", n)
		e.Hint += "; keep the secret key elsewhere, and make a new pair if anybody could read it here"
	}
	return e
}
