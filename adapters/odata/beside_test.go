package odata

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/message"
)

// TestALockThatIsOnlyMentionedIsNoLock: words of a lock in an information beside an error do not make its refusal one that is tried again for ever.
func TestALockThatIsOnlyMentionedIsNoLock(t *testing.T) {
	for severity, want := range map[string]message.Verdict{"info": message.Refused, "warning": message.Refused, "error": message.Again} {
		l := odd(t, smallV2, func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(rw, strings.Replace(coded("M7/053", "Posting only possible in periods 2026/11"), `"}}}`, // the client has left if it fails
				`"},"innererror":{"errordetails":[{"code":"X/001","message":"Object is locked by user MEYER","severity":"`+severity+`"}]}}}`, 1))
		}, func(*Config) {})
		if out := l.post(t, "m1")[0]; out.Verdict != want {
			t.Errorf("%s: got %v, want %v", severity, out, want)
		}
	}
}
