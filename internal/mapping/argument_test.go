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
	const anyText = "take a field that has such a format, ask first whether it matches(…), or say required: true, which stops a message with another text"
	const aUnit = "take the field of the unit, or look the unit up in a table"
	const anAmount, aPiece = "compute with it, decimal(…), and say how it is rounded: maxScale and round", "a piece of a time is cut from its own offset, which may be another day in the plant's zone"
	const aZone = `name the zone: date(…, "Europe/Berlin"), or clock(…, …)`
	tests := []struct{ name, expression, why, hint string }{
		{"a time as a day", `compactDate(src.confirmation¦.postedAt)`, "compactDate takes a day, and this is a date-time", aDay},
		{"a time of day as a day", `compactDate(¦clock(src.confirmation.postedAt, src.zone))`, "compactDate takes a day, and this is a time of day", aDay},
		{"a day as a time of day", `compactTime(src.confirmation¦.postingDate)`, "compactTime takes a time of day, and this is a date", aClock},
		{"a time as a time of day", `edmTime(src.confirmation¦.postedAt)`, "edmTime takes a time of day, and this is a date-time", aClock},
		{"a time of day as Edm's day", `edmDate(¦clock(src.confirmation.postedAt, src.zone))`, "edmDate takes a day, and this is a time of day", anEdmDay},
		{"Edm's day of a time without a zone", `edmDate(src.confirmation¦.postedAt)`, "edmDate takes a day, and this is a date-time", anEdmDay},
		{"Edm's day of a time in the mapping without a zone", `edmDate(¦"2026-11-24T06:00:00+01:00")`, `edmDate takes a day, and this can be "2026-11-24T06:00:00+01:00"`, anEdmDay},
		{"Edm's time of a day in a zone", `edmDate(src.confirmation¦.postingDate, src.zone)`, "edmDate takes a date-time, and this is a date", aTime},
		{"Edm's time in a zone that is none", `edmDate(src.confirmation.postedAt, src.confirmation.?reason.¦orValue("Berlin"))`, `"Berlin" is no IANA time zone`, `name the plant's zone: "Europe/Berlin"`},
		{"a day as a time", `date(src.confirmation¦.postingDate, src.zone)`, "date takes a date-time, and this is a date", aTime},
		{"a day as a time, of clock", `clock(¦date(src.confirmation.postedAt, src.zone), src.zone)`, "clock takes a date-time, and this is a date", aTime},
		{"a time as a compact day", `fromCompactDate(src.confirmation¦.postedAt).orValue("")`, "fromCompactDate takes a day as 20261124 is, and this is a date-time", `compactDate writes one of a day`},
		{"a day as Edm's time of day", `fromEdmTime(src.confirmation¦.postingDate)`, "fromEdmTime takes a time of day as PT06H30M00S is, and this is a date", `edmTime writes one of a time of day`},
		{"day and time of day in the wrong order", `localTime(¦clock(src.confirmation.postedAt, src.zone), "06:30:00", src.zone)`, "localTime takes a day, and this is a time of day", aDay},
		{"a day that is none", `compactDate(¦"2026-02-30")`, `compactDate takes a day, and this can be "2026-02-30"`, aDay},
		{"a day that is none, in place of what is missing", `date(src.confirmation.?start.¦orValue("now"), src.zone)`, `date takes a date-time, and this can be "now"`, aTime},
		{"a zone that is none, in place of what is missing", `date(src.confirmation.postedAt, src.confirmation.?reason.¦orValue("Berlin"))`, `"Berlin" is no IANA time zone`, `name the plant's zone: "Europe/Berlin"`},
		{"a zone that is none, in a table", `date(src.confirmation.postedAt, ¦lookup("t", src.plant))`, "a time needs a zone by its IANA name, such as Europe/Berlin", `name the plant's zone: "Europe/Berlin"`},
		{"a unit that is none", `unitCode(¦"PCX", "unece", "sap")`, `unece has no unit "PCX"`, "did you mean PCE?"},
		{"a unit of another scheme", `unitCode(¦"KAR", "unece", "plant")`, `unece has no unit "KAR"`, "did you mean BAR?"},
		{"a unit that is none, in a table", `unitCode(¦lookup("u", src.confirmation.unit), "unece", "sap")`, `unece has no unit "PCX"`, "did you mean PCE?"},
		{"a unit that is none, to convert from", `string(convert(decimal("1"), ¦lookup("u", src.confirmation.unit), "KGM", 3, "half-up"))`, `there is no unit "PCX"`, "did you mean PCE?"},
		{"units of two dimensions, by a table", `string(convert(decimal("1"), ¦lookup("k", src.confirmation.unit), "MTR", 3, "half-up"))`, `KGM is a mass and MTR is a length`, "a unit becomes one of its own dimension only"},
		{"a quotient by nothing", `string(ratio(decimal(src.confirmation.yield), decimal("1"), ¦decimal("0")))`, "nothing is divided by 0", "name what it is divided by"},
		{"a rounded quotient by nothing", `string(ratio(decimal(src.confirmation.yield), decimal("1"), ¦decimal("0.00"), 3, "half-up"))`, "nothing is divided by 0", "name what it is divided by"},
		{"the rest of nothing", `string(event.number % ¦0)`, "nothing is divided by 0", "name what it is divided by"},
		{"less than no places", `string(round(decimal(src.confirmation.yield), ¦-1, "half-up"))`, "scale -1 is not between 0 and 38", "write how many places stand behind the point"},
		{"less than no places of another unit", `string(convert(decimal(src.confirmation.yield), "MIN", "HUR", ¦-1, "half-up"))`, "scale -1 is not between 0 and 38", "write how many places stand behind the point"},
		{"a text that is longer than it is filled up to", `pad(¦"12345", 4, "0")`, `"12345" is longer than the 4 characters that it is filled up to`, "name the length of the longest, or take a part of it: .substring(0, 4)"},
		{"a row that is longer than it is filled up to", `padRight(¦lookup("u", src.confirmation.unit), 2, " ")`, `"PCX" is longer than the 2 characters that it is filled up to`, "name the length of the longest, or take a part of it: .substring(0, 2)"},
		{"a text filled up to nothing", `pad(src.confirmation.unit, ¦0, "0")`, "0 characters are not between 1 and 65536", "name the length of the text"},
		{"a text filled up to less than nothing", `pad(src.confirmation.unit, ¦-3, "0")`, "-3 characters are not between 1 and 65536", "name the length of the text"},
		{"a piece of a quantity", `src.confirmation¦.yield.split(".")[0]`, "split takes a quantity's text apart, so that another one arrives", anAmount},
		{"the first letters of a quantity", `src.confirmation.yield.¦trim().substring(0, 3)`, "substring takes a quantity's text apart, so that another one arrives", anAmount},
		{"a quantity without its point", `src.confirmation¦.yield.replace(".", "")`, "replace takes a quantity's text apart, so that another one arrives", anAmount},
		{"a day cut from a time that was trimmed", `src.confirmation.postedAt.¦trim().substring(0, 10)`, aPiece, aZone},
		{"a day cut from a time and nothing", `(src.confirmation.postedAt ¦+ "").substring(0, 10)`, aPiece, aZone},
		{"a day split from a time", `src.confirmation¦.postedAt.split("T")[0]`, aPiece, aZone},
		{"a time that is replaced in part", `src.confirmation¦.postedAt.replace("T", " ")`, aPiece, aZone},
		{"nothing that is replaced", `src.confirmation.unit.replace(¦"", "x")`, "no text is looked for", "name the text that is replaced"},
		{"a text split at nothing", `src.confirmation.unit.split(¦"")[0]`, "a text is split at nothing", "name what stands between its parts"},
		{"a number of any text", `string(decimal(src.confirmation.?reason.¦orValue("0")))`, "decimal takes a number, and this can be any text", anyText},
		{"a number of a text of a pattern that allows others", `src.confirmation.?reason.orValue("").matches("[0-9]+") ? string(decimal(src.confirmation.?reason.¦orValue(""))) : ""`, "decimal takes a number, and this can be any text", anyText},
		{"a number of a unit", `string(decimal(src.confirmation¦.unit))`, "decimal takes a number, and this is a unit of measure", "give it the field that holds one"},
		{"a number of what stands for none", `string(decimal(src.confirmation.?setupTime.¦orValue("")))`, `decimal takes a number, and this can be ""`, "give it the field that holds one"},
		{"a number of a row that is none", `string(decimal(¦lookup("u", src.confirmation.unit)))`, `decimal takes a number, and this can be "PCX"`, "give it the field that holds one"},
		{"a whole number of any text", `string(int(src.confirmation¦.workCentre))`, "int takes a whole number, and this can be any text", anyText},
		{"a whole number of a part of any text", `string(int(src.confirmation.workCentre.¦substring(0, 4)))`, "int takes a whole number, and this can be any text", anyText},
		{"a number of a split part of any text", `string(decimal(src.confirmation.workCentre.split("-")¦[0]))`, "decimal takes a number, and this can be any text", anyText},
		{"a whole number of any text that is filled up", `string(int(¦pad(src.confirmation.workCentre, 80, "0")))`, "int takes a whole number, and this can be any text", anyText},
		{"a whole number of any text without its zeros", `string(int(src.confirmation.workCentre.¦stripZeros()))`, "int takes a whole number, and this can be any text", anyText},
		{"a time of a part of any text", `date(src.confirmation.workCentre.¦replace(" ", "T"), src.zone)`, "date takes a date-time, and this can be any text", anyText},
		{"a whole number of a decimal's text", `string(int(src.confirmation¦.yield))`, "int takes a whole number, and this is a number", `of a text with a decimal write int(round(decimal(…), 0, "half-up"))`},
		{"a whole number of a decimal with places", `string(int(¦decimal(src.confirmation.yield)))`, "int takes a whole number, and this can have 6 places behind the point", `round it: int(round(…, 0, "half-up")), or say required: true, which stops such a message`},
		{"true or false of any text", `string(bool(src.confirmation¦.workCentre))`, "bool takes true or false, and this can be any text", anyText},
		{"true or false of a number's pattern", `string(bool(src.confirmation¦.operation))`, "bool takes true or false, and this fits ^[0-9]{4}$", `compare it with what stands for true: … == "X"`},
		{"a day of a unit", `date(src.confirmation¦.unit, src.zone)`, "date takes a date-time, and this is a unit of measure", aTime},
		{"a day of any text", `compactDate(src.confirmation.?text.¦orValue("2026-11-24"))`, "compactDate takes a day, and this can be any text", anyText},
		{"a day of an operation", `compactDate(src.confirmation¦.operation)`, "compactDate takes a day, and this fits ^[0-9]{4}$", aDay},
		{"a compact day of a text that is too short for one", `fromCompactTime(src¦.plant)`, "fromCompactTime takes a time of day as 063000 is, and this has 4 characters at most", "compactTime writes one of a time of day"},
		{"a zone of any text", `date(src.confirmation.postedAt, src.confirmation¦.workCentre)`, "date takes a zone, and this can be any text", `name the plant's zone: "Europe/Berlin", look it up in a table, or say required: true, which stops a message with none`},
		{"a zone of a day", `clock(src.confirmation.postedAt, src.confirmation¦.postingDate)`, "clock takes a zone, and this is a date", `name the plant's zone: "Europe/Berlin"`},
		{"a zone of a unit, of a local time", `localTime(src.confirmation.postingDate, "06:30:00", src.confirmation¦.unit)`, "localTime takes a zone, and this is a unit of measure", `name the plant's zone: "Europe/Berlin"`},
		{"a unit of any text", `string(convert(decimal(src.confirmation.yield), src.confirmation¦.workCentre, "KGM", 3, "half-up"))`, "a unit is wanted, and this can be any text", aUnit + ", or say required: true, which stops such a message"},
		{"a unit of an operation", `string(convert(decimal(src.confirmation.yield), src.confirmation¦.operation, "KGM", 3, "half-up"))`, "a unit is wanted, and no code of one fits ^[0-9]{4}$", aUnit},
		{"a unit of a day", `string(convert(decimal(src.confirmation.yield), "KGM", src.confirmation¦.postingDate, 3, "half-up"))`, "a unit is wanted, and this is a date", aUnit},
		{"a code of a unit of a zone", `unitCode(src¦.zone, "unece", "sap")`, "a unit is wanted, and this is a time zone", aUnit},
		{"a scheme of units of any text", `unitCode(src.confirmation.unit, src¦.plant, "sap")`, "it can be any text, which is no scheme of units", "use plant, sap, unece, or say required: true, which stops such a message"},
		{"a scheme of units that is none, in a table", `unitCode(src.confirmation.unit, "unece", ¦lookup("u", src.confirmation.unit))`, `"PCX" is no scheme of units`, "use plant, sap, unece"},
		{"a way to round of any text", `string(round(decimal(src.confirmation.yield), 0, src¦.plant))`, "it can be any text, which is no way to round", "use half-up, half-even, up, down, or say required: true, which stops such a message"},
		{"places that any number is", `string(round(decimal(src.confirmation.yield), event¦.number, "half-up"))`, "a scale is between 0 and 38, and this may be another", "write how many places stand behind the point, or say required: true, which stops such a message"},
		{"a quotient by what may be 0", `string(ratio(decimal("1"), decimal("1"), ¦decimal(src.confirmation.yield), 3, "half-up"))`, "it may be 0, by which nothing is divided", "ask first: decimal(…) != 0 && …, or say required: true, which stops such a message"},
		{"a quotient by what comes, exactly", `string(ratio(decimal("1"), decimal("1"), ¦decimal(src.confirmation.yield)))`, "a quotient by what comes may not end, and such a message would stop", `name a scale: ratio(…, …, …, 3, "half-up")`},
		{"a text filled up to less than it may have", `pad(src.confirmation¦.workCentre, 8, "0")`, "it can have 80 characters, and is filled up to 8", "add maxLength: 8, which stops a longer one, or take a part of it: .substring(0, 8)"},
		{"a text filled up to less than its pattern has", `padRight(src.confirmation¦.operation, 3, "0")`, "it can have 4 characters, and is filled up to 3", "add maxLength: 3, which stops a longer one, or take a part of it: .substring(0, 3)"},
		{"a text filled up with what is no character", `pad(src.confirmation.operation, 8, src¦.plant)`, "it may be more than one character, or none", `fill with one, such as "0", or say required: true, which stops such a message`},
		{"a text filled up to any number", `pad(src.confirmation.operation, event¦.number, "0")`, "a text has between 1 and 65536 characters, and this may be another number", "name the length of the text, or say required: true, which stops such a message"},
		{"a piece that may begin before the text", `src.confirmation.unit.substring(int(src.confirmation.operation) ¦- 10, 99)`, "it may be less than 0, where no text begins", "name the first character, counted from 0, or say required: true, which stops such a message"},
		{"what is looked for may be empty", `src.confirmation.unit.replace(src.confirmation.?reason.¦orValue(""), "x")`, "it may be empty, and nothing is looked for then", `ask first: … != "", or say required: true, which stops such a message`},
		{"a late reference of any kind", `ref(src¦.plant, src.confirmation.order)`, "a reference is of a kind that the mapping names, and this can be any text", "it is one of confirmation, lot, movement, order"},
		{"a late reference to nothing", `ref("order", ¦"")`, "it refers to nothing", "give it the object's ID or number: src.order.id"},
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
		`compactDate(date(src.confirmation.postedAt, src.zone))`, `fromCompactDate(compactDate(src.confirmation.postingDate)).orValue("")`,
		`localTime(src.confirmation.postingDate, "24:00:00", "Europe/Berlin")`, `dateTime(src.confirmation.?start.orValue(src.confirmation.postedAt), src.zone)`,
		`localTime(fromCompactDate("20261124").orValue("2026-01-01"), fromCompactTime("063000"), src.zone)`, `date(fromEdmDate("/Date(1795500000000)/"), src.zone)`,
		`fromCompactDate("00000000").orValue("")`, `unitCode("PCE", "unece", "sap") + unitCode(src.confirmation.unit, "unece", "sap")`, `pad("42", 4, "0")`,
		`string(int(src.confirmation.operation))`, `string(decimal(src.confirmation.operation))`, `string(int(round(decimal(src.confirmation.yield), 0, "half-up")))`,
		`src.confirmation.workCentre.matches("^[0-9]{1,8}$") ? string(int(src.confirmation.workCentre)) + pad(src.confirmation.workCentre, 8, "0") : ""`,
		`src.confirmation.workCentre.matches("^-?[0-9]{1,8}([.][0-9]{3})?$") ? string(decimal(src.confirmation.workCentre)) : ""`,
		`src.confirmation.?reason.orValue("").matches("^(true|false)$") ? string(bool(src.confirmation.?reason.orValue(""))) : ""`,
		`src.confirmation.?reason.orValue("") in ["true", "false"] ? string(bool(src.confirmation.?reason.orValue(""))) : ""`,
		`src.confirmation.?text.orValue("").matches("^[0-9]{4}-[0-9]{2}-[0-9]{2}$") ? compactDate(src.confirmation.?text.orValue("")) : ""`,
		`src.confirmation.workCentre == "1" || src.confirmation.workCentre == "2" ? "" : src.confirmation.workCentre`,
		`src.confirmation.workCentre == "Europe/Berlin" ? date(src.confirmation.postedAt, src.confirmation.workCentre) : ""`,
		`date(src.confirmation.postedAt, src.confirmation.workCentre in ["Europe/Berlin", "UTC"] ? src.confirmation.workCentre : src.zone)`,
		`src.confirmation.workCentre == "KGM" ? string(convert(decimal(src.confirmation.yield), src.confirmation.workCentre, "GRM")) : ""`,
		`string(convert(decimal(src.confirmation.yield), src.confirmation.unit, "KGM", 3, "half-up"))`, `unitCode(lookup("s", src.plant), "unece", "sap")`,
		`src.confirmation.workCentre.size() <= 8 ? pad(src.confirmation.workCentre, 8, "0") : ""`, `pad(src.confirmation.operation, 8, "0")`, `pad(src.confirmation.workCentre.substring(0, 8), 8, "0")`,
		`pad(src.order.?erpNumber.orValue(""), 12, "0")`, `decimal(src.confirmation.yield) > 0 ? string(ratio(decimal("1"), decimal("1"), decimal(src.confirmation.yield), 3, "half-up")) : ""`,
		`decimal(src.confirmation.yield) != decimal("0") ? string(ratio(decimal("1"), decimal("1"), decimal(src.confirmation.yield), 3, "half-up")) : ""`,
		`src.confirmation.unit.substring(0, int(src.confirmation.operation))`, `src.confirmation.unit.replace(src.confirmation.workCentre, "x")`, `ref("order", src.order.id)`, `fromCompactDate(src.confirmation.?text.orValue("")).orValue("")`,
		`string(round(decimal(src.confirmation.yield), 0, src.plant == "1000" ? "up" : "down"))`,
		`string(int(src.confirmation.operation.substring(0, 2)))`, `src.confirmation.workCentre.matches("^A[0-9]{4}$") ? string(int(src.confirmation.workCentre.substring(1, 5))) : ""`,
		`src.confirmation.workCentre.substring(0, 4).matches("^[0-9]{1,4}$") ? string(int(src.confirmation.workCentre.substring(0, 4))) : ""`,
		`string(event.number % 2)`, `src.confirmation.unit.matches("^[A-Z]+$") ? "a" : "b"`,
	} {
		tables := ""
		if strings.Contains(right, `lookup("s"`) {
			tables = "tables: {s: {rows: {'1000': KGM}, otherwise: PCE}}\n"
		}
		file := "from: {kind: operation.confirmed}\nto: {operation: other}\n" + tables + "fields:\n  n: '" + right + "'\n"
		if got := mistakesOf(file, oneOperation{}); len(got) > 0 {
			t.Errorf("%s: got %q, want none", right, got)
		}
	}
}

// TestWhatTheMappingSaysMayStop has what only some messages stop at, where the mapping says that they shall.
func TestWhatTheMappingSaysMayStop(t *testing.T) {
	for _, says := range []string{
		"value: decimal(src.confirmation.workCentre), required: true", "value: int(src.confirmation.workCentre), required: true", "value: int(decimal(src.confirmation.yield)), required: true",
		"value: 'date(src.confirmation.postedAt, src.confirmation.workCentre)', required: true", "value: 'compactDate(src.confirmation.workCentre)', required: true",
		"value: 'convert(decimal(src.confirmation.yield), src.confirmation.workCentre, \"KGM\", 3, \"half-up\")', required: true",
		"value: 'pad(src.confirmation.workCentre, 8, \"0\")', maxLength: 8", "value: 'pad(src.confirmation.workCentre, 8, \"0\")', required: true",
		"value: 'ratio(decimal(\"1\"), decimal(\"1\"), decimal(src.confirmation.yield), 3, \"half-up\")', required: true",
		"when: 'src.confirmation.workCentre.matches(\"^[0-9]{1,9}$\")', value: int(src.confirmation.workCentre)",
		"when: 'src.confirmation.unit == \"KGM\"', value: 'convert(decimal(src.confirmation.yield), src.confirmation.unit, \"GRM\")'",
	} {
		file := "from: {kind: operation.confirmed}\nto: {operation: other}\nfields:\n  n: {" + says + "}\n"
		if got := mistakesOf(file, oneOperation{}); len(got) > 0 {
			t.Errorf("%s: got %q, want none", says, got)
		}
	}
}
