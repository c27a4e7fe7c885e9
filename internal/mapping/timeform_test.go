package mapping_test

import (
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestAValueOfTheWrongFormIsNoDay: what can never be a day or a time is refused before a message runs, whatever made it.
func TestAValueOfTheWrongFormIsNoDay(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	day := func(rule string) string { return strings.Replace(planted, "src.confirmation.postingDate", rule, 1) }
	start := func(rule string) string { return planted + "  start: " + rule + "\n" }
	in := func(time string) string {
		return "from: {document: Material}\nto: {kind: '\"material.changed\"', key: src.number, time: " + time + "}\n" +
			"fields:\n  number: src.number\n  description: src.description\n  baseUnit: src.baseUnit\n  batchManaged: {value: src.?batchManaged, default: 'false'}\n" +
			"  serialised: {value: src.?serialised, default: 'false'}\n"
	}
	tests := []struct{ name, file, want string }{
		{"a compact day", day("compactDate(src.confirmation.postingDate)"), "m.yaml:8:16: fields.postingDate: it fits ^[0-9]{8}$, and postingDate is a date"},
		{"Edm's day", day("edmDate(src.confirmation.postingDate)"), "fields.postingDate: it fits"},
		{"a day that is cut", day("{value: src.confirmation.postingDate, maxLength: 8, cut: true}"), "it has at most 8 characters, and postingDate is a date"},
		{"a part of a day", day("'src.confirmation.postingDate.substring(0, 7)'"), "it has at most 7 characters, and postingDate is a date"},
		{"a compact time of day", start("compactTime(clock(src.confirmation.postedAt, src.zone))"), "and start is a date-time"},
		{"Edm's time of day", start("edmTime(clock(src.confirmation.postedAt, src.zone))"), "and start is a date-time"},
		{"a time without an offset", start(`date(src.confirmation.postedAt, src.zone) + "T" + clock(src.confirmation.postedAt, src.zone)`), "and start is a date-time"},
		{"a time of day", start("clock(src.confirmation.postedAt, src.zone)"), "it makes a time of day, and start is a date-time"},
		{"the time of a message of any text", in("src.number"), "to.time: it can be any text, and the time of a message is one with an offset"},
		{"the time of a message of a short text", in(`'"on " + src.baseUnit'`), "to.time: it has at most"},
		{"the time of a message of one text", in(`'"today"'`), `to.time: it can be "today", which is no time with an offset`},
		{"the time of a message of a day", in(`'date(src.changedAt, "Europe/Berlin")'`), "to.time: it makes a date, and the time of a message has an offset"},

		{"a day", day("date(src.confirmation.postedAt, src.zone)"), ""},
		{"a whole day that is cut", day("{value: src.confirmation.postingDate, maxLength: 10, cut: true}"), ""},
		{"a time with its offset", start("src.confirmation.postedAt"), ""},
		{"a time put together, with an offset", start(`src.confirmation.postingDate + "T" + clock(src.confirmation.postedAt, src.zone) + "+01:00"`), ""},
		{"the time of a message", in("src.?changedAt"), ""},
		{"the time of a message in a zone", in(`'src.?changedAt.optMap(c, dateTime(c, "Europe/Berlin"))'`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(mistakesOf(tt.file, mapping.FromOpenAPI(doc)), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
