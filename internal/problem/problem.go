// Package problem is the error that a person reads.
//
// # Guarantees
//
//   - Each error says what was tried, why it did not work and what to do next.
//   - Each Kind has one HTTP status (RFC 9110) and one exit status, decided here and nowhere else.
//   - An error that is not a *problem.Error is Internal: its text is for the log, never for the caller.
package problem

import (
	"errors"
	"net/http"
	"strings"
)

// Kind tells what sort of problem it is; callers decide by it, never by the words.
type Kind string

// The kinds. Their values are stable: they end up in problem documents and in logs.
const (
	Invalid      Kind = "invalid"        // the input itself is wrong; the same input stays wrong
	NotFound     Kind = "not-found"      // the thing named is not there
	Conflict     Kind = "conflict"       // the input is right, but not in the present state
	Precondition Kind = "precondition"   // somebody else changed it first (If-Match)
	Duplicate    Kind = "duplicate"      // the same key was used for something else
	Unknown      Kind = "unknown-caller" // nobody says who calls, or what says so is not believed
	Denied       Kind = "denied"         // not allowed
	TooMany      Kind = "too-many"       // asked too often; the same later may be taken
	TooLarge     Kind = "too-large"      // over a limit of size
	Unavailable  Kind = "unavailable"    // something needed does not answer; later may be better
	Full         Kind = "storage-full"   // the store takes no more; nothing was dropped
	Integrity    Kind = "integrity"      // what is stored or received is not what was signed or promised
	Internal     Kind = "internal"       // a defect of Holdfast
)

// status is the HTTP status and the exit status of each kind. Commands end besides with 6 where a bulk act was done in part, and with 8 where
// one waits for a second person.
var status = map[Kind]struct{ http, exit int }{
	Invalid:      {http.StatusUnprocessableEntity, 2},
	NotFound:     {http.StatusNotFound, 3},
	Conflict:     {http.StatusConflict, 1},
	Precondition: {http.StatusPreconditionFailed, 5},
	Duplicate:    {http.StatusUnprocessableEntity, 1},
	Unknown:      {http.StatusUnauthorized, 4},
	Denied:       {http.StatusForbidden, 4},
	TooMany:      {http.StatusTooManyRequests, 7},
	TooLarge:     {http.StatusRequestEntityTooLarge, 2},
	Unavailable:  {http.StatusServiceUnavailable, 7},
	Full:         {http.StatusInsufficientStorage, 1},
	Integrity:    {http.StatusUnprocessableEntity, 1},
	Internal:     {http.StatusInternalServerError, 1},
}

// HTTPStatus is the status code that an HTTP answer carries for this kind (RFC 9110); 500 for an unknown one.
func (k Kind) HTTPStatus() int {
	if s, ok := status[k]; ok {
		return s.http
	}
	return http.StatusInternalServerError
}

// ExitStatus is the status that a command ends with for this kind; 1 for an unknown one.
func (k Kind) ExitStatus() int {
	if s, ok := status[k]; ok {
		return s.exit
	}
	return 1
}

// Field is one field of the input that is wrong.
type Field struct {
	Pointer string `json:"pointer"` // JSON Pointer (RFC 6901) into the body, or the parameter's name
	Why     string `json:"detail"`  // what is wrong with it
}

// Error is a problem in the words of the person who meets it.
type Error struct {
	Kind   Kind
	What   string  // what was tried, with its object: "confirmation of 5 PCE on order 1000042"
	Why    string  // why it did not work: "only 3 of 10 are still open"
	Hint   string  // what to do about it
	Fields []Field // which fields of the input, if it is about some
	Cause  error   // the error underneath; for logs only
}

// Error joins what and why in one line.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, p := range []string{e.What, e.Why} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the error underneath.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf is the kind of the first *Error in err's tree, Internal if there is none, "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
