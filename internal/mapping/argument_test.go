package mapping_test

import (
	"strconv"
	"strings"
	"testing"
)

// TestArgumentsOfTheWrongForm has calls of which it is known that they stop every message, or each message with one of the texts that stand in the
// mapping or its tables. Each line is where the mistake is, an expression with a mark before that place, and what is said.
func TestArgumentsOfTheWrongForm(t *testing.T) {
	const aDay, aTime, aClock = `date(…, "Europe/Berlin") makes one of a time`, `localTime(day, clock, "Europe/Berlin") makes one of a day and a time of day`, `clock(…, "Europe/Berlin") makes one of a time`
	const anEdmDay = `of a time name the zone: edmDate(…, "Europe/Berlin"), or "UTC" for Edm.DateTimeOffset`
	const anAmount, aPiece = "compute with it, decimal(…), and say how it is rounded: maxScale and round", "a piece of a time is cut from its own offset, which may be another day in the plant's zone"
	const aZone = `name the zone: date(…, "Europe/Berlin"), or clock(…, …)`
	tests := []struct{ name, expression, why, hint string }{
		{"a time as a day", `compactDate(src.confirmation¦.postedAt)`, "compactDate takes a day, and this is a date-time", aDay},
		{"a time of day as a day", `compactDate(clock¦(src.confirmation.postedAt, src.zone))`, "compactDate takes a day, and this is a time of day", aDay},
		{"a day as a time of day", `compactTime(src.confirmation¦.postingDate)`, "compactTime takes a time of day, and this is a date", aClock},
		{"a time as a time of day", `edmTime(src.confirmation¦.postedAt)`, "edmTime takes a time of day, and this is a date-time", aClock},
		{"a time of day as Edm's day", `edmDate(clock¦(src.confirmation.postedAt, src.zone))`, "edmDate takes a day, and this is a time of day", anEdmDay},
		{"Edm's day of a time without a zone", `edmDate(src.confirmation¦.postedAt)`, "edmDate takes a day, and this is a date-time", anEdmDay},
		{"Edm's day of a time in the mapping without a zone", `edmDate(¦"2026-11-24T06:00:00+01:00")`, `edmDate takes a day, and this can be "2026-11-24T06:00:00+01:00"`, anEdmDay},
		{"Edm's time of a day in a zone", `edmDate(src.confirmation¦.postingDate, src.zone)`, "edmDate takes a date-time, and this is a date", aTime},
		{"Edm's time in a zone that is none", `edmDate(src.confirmation.postedAt, src.confirmation.?reason.orValue¦("Berlin"))`, `"Berlin" is no IANA time zone`, `name the plant's zone: "Europe/Berlin"`},
		{"a day as a time", `date(src.confirmation¦.postingDate, src.zone)`, "date takes a date-time, and this is a date", aTime},
		{"a day as a time, of clock", `clock(date¦(src.confirmation.postedAt, src.zone), src.zone)`, "clock takes a date-time, and this is a date", aTime},
		{"a time as a compact day", `fromCompactDate(src.confirmation¦.postedAt).orValue("")`, "fromCompactDate takes a day as 20261124 is, and this is a date-time", `compactDate writes one of a day`},
		{"a day as Edm's time of day", `fromEdmTime(src.confirmation¦.postingDate)`, "fromEdmTime takes a time of day as PT06H30M00S is, and this is a date", `edmTime writes one of a time of day`},
		{"day and time of day in the wrong order", `localTime(clock¦(src.confirmation.postedAt, src.zone), "06:30:00", src.zone)`, "localTime takes a day, and this is a time of day", aDay},
		{"a day that is none", `compactDate(¦"2026-02-30")`, `compactDate takes a day, and this can be "2026-02-30"`, aDay},
		{"a day that is none, in place of what is missing", `date(src.confirmation.?start.orValue¦("now"), src.zone)`, `date takes a date-time, and this can be "now"`, aTime},
		{"a zone that is none, in place of what is missing", `date(src.confirmation.postedAt, src.confirmation.?reason.orValue¦("Berlin"))`, `"Berlin" is no IANA time zone`, `name the plant's zone: "Europe/Berlin"`},
		{"a zone that is none, in a table", `date(src.confirmation.postedAt, lookup¦("t", src.plant))`, "a time needs a zone by its IANA name, such as Europe/Berlin", `name the plant's zone: "Europe/Berlin"`},
		{"a unit that is none", `unitCode(¦"PCX", "unece", "sap")`, `unece has no unit "PCX"`, "did you mean PCE?"},
		{"a unit of another scheme", `unitCode(¦"KAR", "unece", "plant")`, `unece has no unit "KAR"`, "did you mean BAR?"},
		{"a unit that is none, in a table", `unitCode(lookup¦("u", src.confirmation.unit), "unece", "sap")`, `unece has no unit "PCX"`, "did you mean PCE?"},
		{"a unit that is none, to convert from", `string(convert(decimal("1"), lookup¦("u", src.confirmation.unit), "KGM", 3, "half-up"))`, `there is no unit "PCX"`, "did you mean PCE?"},
		{"units of two dimensions, by a table", `string(convert(decimal("1"), lookup¦("k", src.confirmation.unit), "MTR", 3, "half-up"))`, `KGM is a mass and MTR is a length`, "a unit becomes one of its own dimension only"},
		{"a quotient by nothing", `string(ratio(decimal(src.confirmation.yield), decimal("1"), decimal¦("0")))`, "nothing is divided by 0", "name what it is divided by"},
		{"a rounded quotient by nothing", `string(ratio(decimal(src.confirmation.yield), decimal("1"), decimal¦("0.00"), 3, "half-up"))`, "nothing is divided by 0", "name what it is divided by"},
		{"the rest of nothing", `string(event.number % ¦0)`, "nothing is divided by 0", "name what it is divided by"},
		{"less than no places", `string(round(decimal(src.confirmation.yield), ¦-1, "half-up"))`, "scale -1 is not between 0 and 38", "write how many places stand behind the point"},
		{"less than no places of another unit", `string(convert(decimal(src.confirmation.yield), "MIN", "HUR", ¦-1, "half-up"))`, "scale -1 is not between 0 and 38", "write how many places stand behind the point"},
		{"a text that is longer than it is filled up to", `pad(¦"12345", 4, "0")`, `"12345" is longer than the 4 characters that it is filled up to`, "name the length of the longest, or take a part of it: .substring(0, 4)"},
		{"a row that is longer than it is filled up to", `padRight(lookup¦("u", src.confirmation.unit), 2, " ")`, `"PCX" is longer than the 2 characters that it is filled up to`, "name the length of the longest, or take a part of it: .substring(0, 2)"},
		{"a text filled up to nothing", `pad(src.confirmation.unit, ¦0, "0")`, "0 characters are not between 1 and 65536", "name the length of the text"},
		{"a text filled up to less than nothing", `pad(src.confirmation.unit, ¦-3, "0")`, "-3 characters are not between 1 and 65536", "name the length of the text"},
		{"a piece of a quantity", `src.confirmation¦.yield.split(".")[0]`, "split takes a quantity's text apart, so that another one arrives", anAmount},
		{"the first letters of a quantity", `src.confirmation.yield.trim¦().substring(0, 3)`, "substring takes a quantity's text apart, so that another one arrives", anAmount},
		{"a quantity without its point", `src.confirmation¦.yield.replace(".", "")`, "replace takes a quantity's text apart, so that another one arrives", anAmount},
		{"a day cut from a time that was trimmed", `src.confirmation.postedAt.trim¦().substring(0, 10)`, aPiece, aZone},
		{"a day cut from a time and nothing", `(src.confirmation.postedAt ¦+ "").substring(0, 10)`, aPiece, aZone},
		{"a day split from a time", `src.confirmation¦.postedAt.split("T")[0]`, aPiece, aZone},
		{"a time that is replaced in part", `src.confirmation¦.postedAt.replace("T", " ")`, aPiece, aZone},
		{"nothing that is replaced", `src.confirmation.unit.replace(¦"", "x")`, "no text is looked for", "name the text that is replaced"},
		{"a text split at nothing", `src.confirmation.unit.split(¦"")[0]`, "a text is split at nothing", "name what stands between its parts"},
		{"an expression of regular ones that is none", `src.confirmation.unit.matches(¦"([A-Z") ? "a" : "b"`, "it is no regular expression: missing closing ]: `[A-Z`", "write it as RE2 has it, without look-ahead and back references"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after, _ := strings.Cut(tt.expression, "¦")
			const head = "from: {kind: operation.confirmed}\nto: {operation: other}\ntables: {t: {rows: {a: ''}}, u: {rows: {PCE: PCX}}, k: {rows: {PCE: KGM}}}\nfields:\n"
			tables := ""
			for _, name := range []string{"t", "u", "k"} {
				if !strings.Contains(tt.expression, `lookup("`+name+`"`) {
					tables += "  " + name + ": 'lookup(\"" + name + "\", src.confirmation.unit)'\n"
				}
			}
			file := head + "  n: '" + before + after + "'\n" + tables
			want := "m.yaml:5:" + strconv.Itoa(len("  n: '")+len(before)+1) + ": fields.n: " + tt.why + " (" + tt.hint + ")"
			if got := mistakesOf(file, oneOperation{}); len(got) != 1 || got[0] != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			reachesNoLink(t, file, oneOperation{})
		})
	}
}

// TestCutTakesNothingFromQuantitiesAndTimes: what would arrive is another quantity, or another day.
func TestCutTakesNothingFromQuantitiesAndTimes(t *testing.T) {
	const head = "from: {kind: operation.confirmed}\nto: {operation: other}\nfields:\n"
	for value, want := range map[string]string{
		"src.confirmation.yield":    "cut takes digits away from a quantity, so that another one arrives (say how it is rounded: maxScale and round)",
		"src.confirmation.postedAt": `cut leaves a piece of a time in its own offset, which may be another day in the plant's zone (name the zone: date(…, "Europe/Berlin"), or clock(…, …))`,
	} {
		file := head + "  n: {value: " + value + ", maxLength: 3, cut: true}\n"
		if got := mistakesOf(file, oneOperation{}); len(got) != 1 || !strings.HasPrefix(got[0], "m.yaml:4:") || !strings.HasSuffix(got[0], want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
		reachesNoLink(t, file, oneOperation{})
	}
}

// TestArgumentsOfTheRightForm has what looks like the mistakes above, and is none.
func TestArgumentsOfTheRightForm(t *testing.T) {
	for _, right := range []string{
		`compactDate(src.confirmation.postingDate) + compactTime(clock(src.confirmation.postedAt, src.zone))`, `edmDate(src.confirmation.postingDate) + edmDate(src.confirmation.postedAt, src.zone) + edmDate(src.confirmation.postedAt, "UTC")`,
		`compactDate(date(src.confirmation.postedAt, src.zone))`, `compactDate(src.confirmation.text)`, `fromCompactDate(compactDate(src.confirmation.postingDate)).orValue("")`,
		`localTime(src.confirmation.postingDate, "24:00:00", "Europe/Berlin")`, `dateTime(src.confirmation.?start.orValue(src.confirmation.postedAt), src.zone)`,
		`localTime(fromCompactDate("20261124").orValue("2026-01-01"), fromCompactTime("063000"), src.zone)`, `date(fromEdmDate("/Date(1795500000000)/"), src.zone)`,
		`src.confirmation.?reason.orValue("") == "" ? "" : unitCode(src.confirmation.?reason.orValue(""), "unece", "sap")`, `fromCompactDate("00000000").orValue("")`, `unitCode("PCE", "unece", "sap") + unitCode(src.confirmation.unit, "unece", "sap")`, `pad("42", 4, "0")`,
		`string(event.number % 2)`, `src.confirmation.unit.matches("^[A-Z]+$") ? "a" : "b"`,
	} {
		right = strings.Replace(right, "src.confirmation.text", `src.confirmation.?text.orValue("2026-11-24")`, 1)
		file := "from: {kind: operation.confirmed}\nto: {operation: other}\nfields:\n  n: '" + right + "'\n"
		if got := mistakesOf(file, oneOperation{}); len(got) > 0 {
			t.Errorf("%s: got %q, want none", right, got)
		}
	}
}
