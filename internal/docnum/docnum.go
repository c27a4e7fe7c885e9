// Package docnum keeps under which number each message travels over a link whose ERP knows documents by number alone: SAP answers an IDoc by
// its DOCNUM, and does not repeat the message's ID.
//
// # Guarantees
//
//   - What is sent has one number of 16 digits, the same each time it is asked for. It follows from what is sent, so that a plant that was
//     restored from an older copy gives it again, and never gives a number of the lost time to something else.
//
//   - No two things that are sent over a link have the same number.
//
//   - A number is given away only once it is committed which message it stands for, and what was last sent under it calls its document.
//
//   - Of what stands in a lane with a time to the second, no two have one (Second).
//
// The package owns the tables docnums and docnum_seconds; nothing else reads or writes them.
package docnum

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Keep is how long a number is remembered: longer than any ERP takes to answer.
const Keep = 400 * 24 * time.Hour

// mostTries bounds how often another number is tried where one is taken. Among a hundred million, one in a hundred is taken at the first try.
const mostTries = 20

// span is how many numbers there are, but for 0, which SAP takes for none.
const span = 9_999_999_999_999_999

// Number gives the number of what carries message over link: of the first of keys that has one, else of the last, and which key that is. A
// key is the message's ID, or more where one message is sent several times or in several forms, the latest first. Document is what it calls the
// document that the ERP shall make of it, "" where the ERP numbers that, and where it is not sent.
func Number(ctx context.Context, tx *store.Tx, link, message string, keys []string, document string) (number, key string, err error) {
	for _, key = range keys {
		known, err := find(ctx, tx, link, key, document)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return known, key, wrap("find", message, err)
		}
	}
	number, err = give(ctx, tx, link, message, key, document)
	return number, key, err
}

// give takes a number for a key that had none.
func give(ctx context.Context, tx *store.Tx, link, message, key, document string) (string, error) {
	for try := range mostTries {
		number := candidate(link, key, try)
		n, err := tx.Exec(ctx, `INSERT INTO docnums (link, number, key, message, document, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			link, number, key, message, document, store.Micros(tx.Now))
		if err != nil {
			return "", wrap("keep", message, err)
		}
		if n == 1 && strings.HasSuffix(number, "00") { // each hundredth time or so
			return number, forget(ctx, tx)
		}
		if n == 1 {
			return number, nil
		}
		if known, err := find(ctx, tx, link, key, document); err == nil {
			return known, nil // another node was faster
		} else if !errors.Is(err, sql.ErrNoRows) {
			return "", wrap("find", message, err)
		}
	}
	return "", fmt.Errorf("number message %s: %d numbers in a row are taken", message, mostTries)
}

// find is the number that key has. What is sent under it now may call its document otherwise than before, by other mappings.
func find(ctx context.Context, tx *store.Tx, link, key, document string) (number string, err error) {
	var known struct{ Number, Document string }
	if err := tx.Get(ctx, &known, `SELECT number, document FROM docnums WHERE link = ? AND key = ?`, link, key); err != nil {
		return "", err
	}
	if document != "" && document != known.Document {
		_, err = tx.Exec(ctx, `UPDATE docnums SET document = ? WHERE link = ? AND key = ?`, document, link, key)
	}
	return known.Number, err
}

func wrap(what, message string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the number of message %s: %w", what, message, err)
}

// candidate is the number that is tried.
func candidate(link, key string, try int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "holdfast/docnum/1\x00%d\x00%s\x00%s", try, link, key))
	return fmt.Sprintf("%016d", 1+binary.BigEndian.Uint64(sum[:])%span)
}

// Sent is what went out under a number.
type Sent struct {
	Message  string // the ID of the message that it carries
	Document string // what it calls the document that the ERP shall make of it
	Later    string // the number under which the message was sent anew since, in another form or because a person wanted it so; "" if it was not
}

// Message is what has the number; NotFound if there is none.
func Message(ctx context.Context, tx *store.Tx, link, number string) (known Sent, err error) {
	err = tx.Get(ctx, &known, `SELECT message, document, COALESCE((SELECT l.number FROM docnums AS l
		WHERE l.link = d.link AND l.message = d.message AND l.at > d.at ORDER BY l.at DESC LIMIT 1), '') AS later
		FROM docnums AS d WHERE link = ? AND number = ?`, link, number)
	if errors.Is(err, sql.ErrNoRows) {
		return Sent{}, &problem.Error{
			Kind: problem.NotFound, What: "find the message that went out as number " + number, Why: "link " + link + " has sent nothing under it, or longer ago than is remembered",
			Hint: "find out in the ERP who has sent it: its ARCKEY is the ID of the message",
		}
	}
	if err != nil {
		return Sent{}, fmt.Errorf("find the message that went out as number %s: %w", number, err)
	}
	return known, nil
}

// forget removes what is older than Keep, some at a time.
func forget(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM docnums WHERE at < ? AND number IN (SELECT number FROM docnums WHERE at < ? LIMIT 1000)`,
		store.Micros(tx.Now.Add(-Keep)), store.Micros(tx.Now.Add(-Keep)))
	if err != nil {
		return fmt.Errorf("forget old numbers: %w", err)
	}
	return forgetSeconds(ctx, tx)
}
