package alert

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/audit"
)

// The forms of what collectors are sent; each but OTLP stands in a message of RFC 5424. docs/siem.md lists the fields.
const (
	Syslog = "syslog" // structured data and a sentence
	CEF    = "cef"    // ArcSight Common Event Format, version 0
	OCSF   = "ocsf"   // Open Cybersecurity Schema Framework 1.3.0, as JSON
)

// Forms are the forms that a collector can be sent.
func Forms() []string { return []string{Syslog, CEF, OCSF, OTLP} }

// Form writes entries of the record for collectors.
type Form struct {
	Name    string // one of Forms
	Plant   string // the plant's number
	Host    string // the node
	Version string // of the program
}

// The severities of RFC 5424, as far as they are used.
const (
	critical = 2
	warning  = 4
	notice   = 5
	informed = 6
)

// severity is how bad an entry is: what Holdfast itself raises is critical, what was refused a warning.
func severity(e audit.Entry) int {
	switch {
	case e.Outcome == audit.Refused && e.Actor == actor && SeverityOf(e.Action) == Critical:
		return critical
	case e.Outcome == audit.Refused:
		return warning
	case e.Reason != "":
		return notice
	default:
		return informed
	}
}

// enterprise is the private enterprise number of the structured data. Holdfast has none of its own: it is the one for documentation (RFC 5612).
const enterprise = "32473"

// Line is one entry as a message of RFC 5424, without its frame. place is the entry's place in the record, by which a collector tells a
// repetition.
func (f Form) Line(e audit.Entry, place int64) []byte {
	const facility = 13 // log audit
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s holdfast - %s ", 8*facility+severity(e), e.At.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), word(f.Host, 255), word(e.Action, 32))
	fmt.Fprintf(&b, "[audit@%s", enterprise)
	for _, p := range f.params(e, place) {
		fmt.Fprintf(&b, ` %s="%s"`, p.name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(plain(p.value)))
	}
	b.WriteString("] ")
	switch f.Name {
	case CEF:
		b.WriteString(f.cef(e, place))
	case OCSF:
		b.Write(f.ocsf(e, place))
	default:
		b.WriteString("\ufeff" + plain(sentenceOf(e)))
	}
	return []byte(b.String())
}

type param struct{ name, value string }

// params are the fields of the structured data.
func (f Form) params(e audit.Entry, place int64) []param {
	all := []param{
		{"plant", f.Plant},
		{"place", strconv.FormatInt(place, 10)},
		{"seq", strconv.FormatInt(e.Seq, 10)},
		{"actor", e.Actor},
		{"from", e.From},
		{"action", e.Action},
		{"object", e.Object},
		{"outcome", e.Outcome},
		{"reason", e.Reason},
	}
	kept := all[:0]
	for _, p := range all {
		if p.value != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

// word is text as a field of the header may have it: printable ASCII, so long at most, "-" for none.
func word(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// plain is text in one line: what somebody has entered must not look like another message, nor move a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func sentenceOf(e audit.Entry) string {
	s := fmt.Sprintf("%s: %s of %s by %s", e.Outcome, e.Action, e.Object, e.Actor)
	if e.From != "" {
		s += " from " + e.From
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// cef is an entry in the Common Event Format.
func (f Form) cef(e audit.Entry, place int64) string {
	head := strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	value := strings.NewReplacer(`\`, `\\`, `=`, `\=`)
	level := map[int]int{critical: 9, warning: 6, notice: 3, informed: 1}[severity(e)]
	s := fmt.Sprintf("CEF:0|Holdfast|Holdfast|%s|%s|%s|%d|", head.Replace(plain(f.Version)), head.Replace(plain(e.Action)), head.Replace(plain(e.Action+" "+e.Outcome)), level)
	ext := []param{
		{"rt", strconv.FormatInt(e.At.UnixMilli(), 10)},
		{"externalId", strconv.FormatInt(place, 10)},
		{"dvchost", f.Host},
		{"suser", e.Actor},
		{"src", e.From},
		{"act", e.Action},
		{"outcome", e.Outcome},
		{"cs1", e.Object},
		{"reason", e.Reason},
		{"cs2", f.Plant},
	}
	for _, p := range ext {
		if p.value == "" {
			continue
		}
		s += p.name + "=" + value.Replace(plain(p.value)) + " "
	}
	return s + "cs1Label=object cs2Label=plant"
}

// ocsf is an entry as an event of API Activity (class 6003), or of Authentication (3002) where somebody signs in or out.
func (f Form) ocsf(e audit.Entry, place int64) []byte {
	class, category, activity := 6003, 6, 99
	switch e.Action {
	case "access.signed-in", "access.sign-in", "access.passkey-cloned":
		class, category, activity = 3002, 3, 1
	case "access.signed-out":
		class, category, activity = 3002, 3, 2
	}
	status := 1
	if e.Outcome == audit.Refused {
		status = 2
	}
	event := map[string]any{
		"class_uid": class, "category_uid": category, "activity_id": activity, "type_uid": 100*class + activity, "time": e.At.UnixMilli(),
		"severity_id": map[int]int{critical: 5, warning: 3, notice: 2, informed: 1}[severity(e)], "status_id": status, "message": plain(sentenceOf(e)),
		"metadata": map[string]any{"version": "1.3.0", "uid": strconv.FormatInt(place, 10), "product": map[string]string{"name": "Holdfast", "vendor_name": "Holdfast", "version": f.Version}},
		"actor":    map[string]any{"user": map[string]string{"name": e.Actor}}, "user": map[string]string{"name": e.Actor},
		"api": map[string]any{"operation": e.Action}, "resources": []any{map[string]string{"name": e.Object}}, "device": map[string]string{"hostname": f.Host},
		"unmapped": map[string]string{"plant": f.Plant, "reason": plain(e.Reason), "seq": strconv.FormatInt(e.Seq, 10)},
	}
	if e.From != "" {
		event["src_endpoint"] = map[string]string{"ip": e.From}
	}
	b, err := json.Marshal(event)
	if err != nil {
		return []byte(`{"message":"an event cannot be written"}`) // maps of text and numbers can be
	}
	return b
}

// frame puts a message into the stream (RFC 5425: its length in bytes, a space, the message).
func frame(to, line []byte) []byte {
	to = strconv.AppendInt(to, int64(len(line)), 10)
	return append(append(to, ' '), line...)
}

// every is how often a forwarder looks for entries where nobody has said anything else.
const every = 2 * time.Second
