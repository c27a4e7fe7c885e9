package httpapi

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/problem"
)

// defaultLimit is the most items of a page if the caller does not say; the contract states it.
const defaultLimit = 100

func limit(n int) int {
	if n == 0 {
		return defaultLimit
	}
	return n
}

// cursorOut hides where a page ended in text that a URL carries unchanged; "" at the end of a list.
func cursorOut(next string) string { return base64.RawURLEncoding.EncodeToString([]byte(next)) }

// cursorIn is what cursorOut was given.
func cursorIn(cursor string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", badCursor(err)
	}
	return string(b), nil
}

// cursorNumber is cursorIn for lists that are paged by a number; 0 at the beginning.
func cursorNumber(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	s, err := cursorIn(cursor)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, badCursor(err)
	}
	return n, nil
}

func badCursor(cause error) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "read the next page", Why: "the cursor is not one that a list gave", Hint: "begin again without a cursor",
		Fields: []problem.Field{{Pointer: "cursor", Why: "is not the nextCursor of an earlier page"}}, Cause: cause,
	}
}

// etag is the entity tag (RFC 9110 section 8.8.3) of a version.
func etag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

// matches tells whether If-Match (RFC 9110 section 13.1.1) names the version. Weak tags never match.
func matches(ifMatch string, version int64) bool {
	for _, tag := range strings.Split(ifMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(version) {
			return true
		}
	}
	return false
}

// stale is the refusal of a change whose If-Match names another version than the present one.
func stale(what string) error {
	return &problem.Error{
		Kind: problem.Precondition, What: "change " + what, Why: "somebody else changed it since it was read", Hint: "read it again and repeat the change on what it is now",
		Fields: []problem.Field{{Pointer: "If-Match", Why: "is not the present ETag"}},
	}
}
