package alert

import (
	"errors"
	"net/http"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"
)

// FuzzCollectorAnswer: of whatever a collector answers, entries count as handed on only where it says neither that it rejected one nor what
// cannot be read; and nothing that it writes brings a line's end into a log or a record.
func FuzzCollectorAnswer(f *testing.F) {
	refused, err := proto.Marshal(&logs.ExportLogsServiceResponse{PartialSuccess: &logs.ExportLogsPartialSuccess{RejectedLogRecords: 2, ErrorMessage: "a\nb"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, refused)
	f.Add(200, []byte{})
	f.Add(200, []byte{0x0a, 0xff})
	f.Add(413, []byte("no"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := taken(&http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-protobuf"}}}, body)
		var answer logs.ExportLogsServiceResponse
		if unread := proto.Unmarshal(body, &answer); status/100 == 2 && (unread != nil || answer.GetPartialSuccess().GetRejectedLogRecords() > 0) == (err == nil) {
			t.Errorf("%d with %x: got %v", status, body, err)
		}
		if no, ok := errors.AsType[refusal](err); ok && no.Error() != plain(no.Error()) {
			t.Errorf("%d with %x: it tells %q", status, body, no)
		}
	})
}
