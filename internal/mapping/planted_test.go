package mapping_test

import (
	"regexp"
	"slices"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// planted is a mapping that is right, but for the lines that a test puts in.
const planted = `from: {kind: operation.confirmed, version: 1}
to: {operation: createConfirmation}
fields:
  messageId: event.id
  order: 'src.order.?erpNumber.orValue(ref("order", src.order.id))'
  operation: src.confirmation.operation
  unit: src.confirmation.unit
  postingDate: src.confirmation.postingDate
  yield: decimal(src.confirmation.yield)
`

// without is planted without the field at its end, which a test makes in its own way.
var without = planted[:len(planted)-len("  yield: decimal(src.confirmation.yield)\n")]

// TestPlantedMistakes has one mistake of each class, in a mapping that is held against the plant's messages and the ERP's contract. Each is
// found before a message runs, at its place, with what to do.
func TestPlantedMistakes(t *testing.T) {
	plants(t, []plant{
		{
			"a source field that is not there", planted + "  scrap: decimal(src.confirmation.scarp)\n",
			"m.yaml:10:35: fields.scrap: Confirmation has no field scarp (did you mean scrap?)",
		},
		{
			"a source field that an element of a list has not", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: src.order.operations[0].discription\n",
			"m.yaml:4:30: fields.n: Operation has no field discription (did you mean description?)",
		},
		{
			"a source field that another object has", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: src.order.operations.filter(o, o.number == \"0010\")[0].material\n",
			"m.yaml:4:60: fields.n: there is no field material (look it up in the document's schema)",
		},
		{
			"a source field of the wrong type", planted + "  scrap: decimal(src.confirmation.final)\n",
			"m.yaml:10:10: fields.scrap: found no matching overload for 'decimal' applied to '(bool)' (make both sides the same: decimal(…), or string(…) for a text)",
		},
		{
			"a target field that is not there", planted + "  srcap: decimal(src.confirmation.scrap)\n",
			`m.yaml:10:10: fields.srcap: operation createConfirmation knows no "srcap", and the contract refuses it (did you mean scrap?)`,
		},
		{
			"a target field of the wrong type", planted + "  final: string(src.confirmation.final)\n",
			"m.yaml:10:10: fields.final: it makes a text, and final is a true or false (make it a true or false)",
		},
		{
			"a number where the contract has decimals in texts", without + "  yield: {const: 1.10}\n",
			`m.yaml:9:10: fields.yield: it is a number, and yield is a text (put it in quotes: const: "1.10")`,
		},
		{
			"a required target field that nothing makes", without,
			"m.yaml:2:5: fields.yield: operation createConfirmation requires yield, and nothing makes it (add it: yield: …)",
		},
		{
			"a required target field that is left out at times", without + "  yield: {when: src.confirmation.final, value: decimal(src.confirmation.yield), required: true}\n",
			"m.yaml:9:17: fields.yield.when: operation createConfirmation requires yield, which is left out where this does not hold " +
				"(leave when: out; where the whole message is to be left out, say when: of the mapping)",
		},
		{
			"a text longer than the target takes", planted + "  workCentre: src.confirmation.workCentre\n",
			"m.yaml:10:15: fields.workCentre: it can have 80 characters, and workCentre takes 40 (add maxLength: 40, which stops a longer one, and cut: true if the rest may be lost)",
		},
		{
			"a number more precise than the target takes", without + "  yield: decimal(src.confirmation.yield) * decimal(\"0.001\")\n",
			"m.yaml:9:10: fields.yield: it can have 9 places behind the point, and yield takes 6 (add maxScale: 6 (or scale: 6, which fills up with zeros) and round:)",
		},
		{
			"a scale without rounding", without + "  yield: {value: decimal(src.confirmation.yield), scale: 3}\n",
			"m.yaml:9:58: fields.yield.scale: the value can have 6 places behind the point, and what becomes of those beyond 3 is not said (add round: half-up (or half-even, up, down), or round: never to stop such a message)",
		},
		{
			"a lookup without a row", "tables: {time: {rows: {S: S, MIN: MIN}}}\n" + planted + "  timeUnit: 'src.confirmation.?timeUnit.optMap(u, lookup(\"time\", u))'\n",
			`m.yaml:11:66: fields.timeUnit: table time has no row "H" (add the row, or say otherwise: or missing:)`,
		},
		{
			"a code that the target does not know", "tables: {time: {rows: {S: SEC, MIN: MIN, H: H}}}\n" + planted + "  timeUnit: 'src.confirmation.?timeUnit.optMap(u, lookup(\"time\", u))'\n",
			`m.yaml:1:27: fields.timeUnit: it can be "SEC", and timeUnit knows no such value (did you mean S?)`,
		},
		{
			"an expression that may be null", without + "  yield: src.confirmation.?machineTime\n",
			"m.yaml:9:10: fields.yield: it may have no value, and operation createConfirmation requires yield (give it a default:, or say required: true, which stops a message without it)",
		},
		{
			"an optional field that is not guarded", planted + "  reason: {value: src.confirmation.reason, maxLength: 40}\n",
			"m.yaml:10:35: fields.reason: field reason may be missing (write .?reason, or ask has(src.confirmation.reason) first)",
		},
		{
			"an optional value that is taken as if it were there", planted + "  text: {value: src.confirmation.?reason.value(), maxLength: 40}\n",
			"m.yaml:10:42: fields.text: there may be no value, and value() would stop the message (say what stands in its place: .orValue(…), ask hasValue() first, or say required: true, which stops a message without it)",
		},
		{
			"the first element of a list that may be empty", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: {when: has(src.order.components), value: 'src.order.components[0].material'}\n",
			"m.yaml:4:68: fields.n: the list may have no element 0 (write [?0], ask size(src.order.components) > 0 first, or say required: true, which stops a message without it)",
		},
		{
			"an element of a list that is made", "from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: 'src.order.?components.orValue([])[0].material'\n",
			"m.yaml:4:40: fields.n: the list may be shorter (write [?…], which is no value where there is none)",
		},
		{
			"a dead rule", planted + "  text: {when: 'src.confirmation.?timeUnit.orValue(\"S\") == \"DAY\"', value: event.id}\n",
			"m.yaml:10:16: fields.text.when: the condition never holds, so that the rule is dead (compare with a value that there can be, or leave the rule out)",
		},
		{
			"a default that is never used", planted + "  scrap: {value: decimal(src.confirmation.scrap), default: 'decimal(\"0\")'}\n",
			"m.yaml:10:60: fields.scrap.default: the value is never missing, so that this is never used (leave it out)",
		},
		{
			"a table that nothing looks into", "tables: {unused: {rows: {a: b}}}\n" + planted,
			`m.yaml:1:10: tables.unused: nothing looks into this table (leave it out, or use it: lookup("unused", …))`,
		},
		{
			"a floating-point number", without + "  yield: decimal(src.confirmation.yield) * 0.5\n",
			`m.yaml:9:44: fields.yield: a floating-point number loses digits (write decimal("0.5"))`,
		},
		{
			"an unknown function", planted + "  text: 'concat(event.id, \"x\")'\n",
			"m.yaml:10:10: fields.text: there is no concat here (join texts with +)",
		},
		{
			"a time in the form of another language", planted + "  text: 'event.time.format(\"yyyy-MM-dd\")'\n",
			`m.yaml:10:21: fields.text: there is no format here (name the zone: date(…, "Europe/Berlin"), clock(…) or dateTime(…))`,
		},
		{
			"an expression that costs too much", "from: {kind: order.created}\nto: {operation: other}\nfields:\n" +
				"  n: 'src.order.?components.orValue([]).filter(c, c.material.matches(\"^([A-Z]?){50}$\")).size()'\n",
			"m.yaml:4:6: fields.n: it may take 480009 steps with the longest lists and texts of the source, and 50000 are allowed (make the list shorter first, look in a shorter one, or use each:)",
		},
		{
			"a loop inside a loop", "from: {kind: order.created}\nto: {operation: other}\nfields:\n" +
				"  n: 'src.order.?components.orValue([]).filter(c, src.order.?components.orValue([]).exists(d, d == c)).size()'\n",
			"m.yaml:4:85: fields.n: a loop inside a loop (use each: for the outer one)",
		},
		{
			"a code whose zeros YAML would lose", "tables: {r: {rows: {0010: a}}}\n" + planted + "  text: 'lookup(\"r\", event.id)'\n",
			`m.yaml:1:21: tables.r.rows.0010: 0010 without quotes is not a text (write "0010")`,
		},
		{
			"a table whose file is not there", "tables: {r: {file: codes.csv}}\n" + planted + "  text: 'lookup(\"r\", event.id)'\n",
			"m.yaml:1:20: tables.r.file: there is no file codes.csv that can be read (put it beside the mapping)",
		},
		{
			"a division", without + "  yield: decimal(src.confirmation.yield) / decimal(\"3\")\n",
			"m.yaml:9:42: fields.yield: numbers are not divided: a quotient may not end, and that of whole numbers loses its rest (use ratio(value, numerator, denominator) of decimals, and round)",
		},
		{
			"a division of whole numbers", planted + "  text: {value: string(event.number / 2), maxLength: 40}\n",
			"m.yaml:10:37: fields.text: numbers are not divided: a quotient may not end, and that of whole numbers loses its rest (use ratio(value, numerator, denominator) of decimals, and round)",
		},
		{
			"a quotient that does not end", without + "  yield: {value: 'ratio(decimal(src.confirmation.yield), decimal(\"1\"), decimal(\"3\"))', maxScale: 3, round: half-up}\n",
			`m.yaml:9:72: fields.yield: a quotient by 3 may not end, and such a message would stop (name a scale: ratio(…, …, …, 3, "half-up"))`,
		},
		{
			"minutes as hours, exactly", without + "  yield: {value: 'convert(decimal(src.confirmation.yield), \"MIN\", \"HUR\")', maxScale: 3, round: half-up}\n",
			`m.yaml:9:67: fields.yield: a number of MIN may have no end in HUR, and such a message would stop (name a scale: convert(…, …, …, 3, "half-up"))`,
		},
		{
			"a quotient rounded in a way that is none", without + "  yield: 'convert(decimal(src.confirmation.yield), \"MIN\", \"HUR\", 3, \"half\")'\n",
			`m.yaml:9:69: fields.yield: "half" is no way to round (use half-up, half-even, up, down)`,
		},
		{
			"quantities compared as texts", planted + "  text: {when: 'src.confirmation.yield > src.confirmation.scrap', value: event.id}\n",
			"m.yaml:10:40: fields.text.when: quantities come as texts, of which 9 is more than 10 and 1.0 is not 1 (write decimal(…) on both sides)",
		},
		{
			"a quantity compared with a text", planted + "  text: {when: 'src.confirmation.?rework.orValue(\"0\") == \"0\"', value: event.id}\n",
			"m.yaml:10:55: fields.text.when: quantities come as texts, of which 9 is more than 10 and 1.0 is not 1 (write decimal(…) on both sides)",
		},
		{
			"a decimal compared by its spelling", planted + "  text: {when: 'string(decimal(src.confirmation.yield)) == \"12\"', value: event.id}\n",
			"m.yaml:10:57: fields.text.when: quantities come as texts, of which 9 is more than 10 and 1.0 is not 1 (write decimal(…) on both sides)",
		},
		{
			"quantities joined as texts", without + "  yield: {value: src.confirmation.yield + src.confirmation.scrap, as: number}\n",
			"m.yaml:9:41: fields.yield: quantities come as texts, and + joins texts: 1 + 2 would be 12 (write decimal(…) on both sides)",
		},
		{
			"a unit that is none", without + "  yield: 'convert(decimal(src.confirmation.yield), \"KGM\", \"GRN\")'\n",
			`m.yaml:9:59: fields.yield: there is no unit "GRN" (did you mean GRM?)`,
		},
		{
			"units of two dimensions", without + "  yield: 'convert(decimal(src.confirmation.yield), \"KGM\", \"MTR\")'\n",
			`m.yaml:9:59: fields.yield: KGM is a mass and MTR is a length (a unit becomes one of its own dimension only)`,
		},
		{
			"a key that is there twice", planted + "  unit: src.confirmation.unit\n",
			"m.yaml:10:3: fields.unit: it is there twice (leave one of them out)",
		},
		{
			"a zone that is none", planted + "  start: 'dateTime(src.confirmation.postedAt, \"Europe/Berln\")'\n",
			`m.yaml:10:47: fields.start: "Europe/Berln" is no IANA time zone (name the plant's zone: "Europe/Berlin")`,
		},
		{
			"a date that is none", without + "  yield: decimal(src.confirmation.yield)\n  start: {const: '2026-13-01T00:00:00Z'}\n",
			`m.yaml:10:10: fields.start: it can be "2026-13-01T00:00:00Z", and start is a date-time (make it one: localTime(day, clock, "Europe/Berlin"), with the plant's zone)`,
		},
		{
			"a text in the place of a day", without[:len(without)-len("  postingDate: src.confirmation.postingDate\n")] + "  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.unit\n",
			`m.yaml:9:16: fields.postingDate: it makes a unit of measure, and postingDate is a date (make it one: date(…, "Europe/Berlin") of a time, with the plant's zone)`,
		},
		{
			"a text of any form in the place of a day", without[:len(without)-len("  postingDate: src.confirmation.postingDate\n")] + "  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.workCentre\n",
			`m.yaml:9:16: fields.postingDate: it makes a text of any form, and postingDate is a date (make it one: date(…, "Europe/Berlin") of a time, with the plant's zone)`,
		},
		{
			"a time in the place of a day", without[:len(without)-len("  postingDate: src.confirmation.postingDate\n")] + "  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.postedAt\n",
			`m.yaml:9:16: fields.postingDate: it makes a date-time, and postingDate is a date (make it one: date(…, "Europe/Berlin") of a time, with the plant's zone)`,
		},
		{
			"a day in the place of a time", planted + "  start: src.confirmation.postingDate\n",
			`m.yaml:10:10: fields.start: it makes a date, and start is a date-time (make it one: localTime(day, clock, "Europe/Berlin"), with the plant's zone)`,
		},
		{
			"the day that is cut from a time", without[:len(without)-len("  postingDate: src.confirmation.postingDate\n")] + "  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.postedAt.substring(0, 10)\n",
			`m.yaml:9:32: fields.postingDate: a piece of a time is cut from its own offset, which may be another day in the plant's zone (name the zone: date(…, "Europe/Berlin"), or clock(…, …))`,
		},
		{
			"a fragment that is missing", planted + "use: [envelop]\n",
			`m.yaml:10:7: fields.use: there is no fragment "envelop" (did you mean envelope?)`,
		},
		{
			"fragments without end", planted + "use: ring\n",
			"common.fragments.yaml:3:27: fields.use: fragment ring uses round uses ring: that has no end (leave one use out)",
		},
		{
			"a value that stands for two codes, read back", "tables: {r: {rows: {a: '1', b: '1'}}}\n" + planted + "  text: 'reverse(\"r\", event.id)'\n",
			`m.yaml:11:18: fields.text: "1" stands for both "a" and "b" in table r (a table that is read back needs one code for each value)`,
		},
		{
			"a value that stands for no code, read back", "tables: {unit: {rows: {S: sec, MIN: min}}}\n" + planted + "  timeUnit: 'src.confirmation.?timeUnit.optMap(u, reverse(\"unit\", u))'\n",
			`m.yaml:11:67: fields.timeUnit: table unit has no row with the value "S" (add the row, or say otherwise: or missing:)`,
		},
		{
			"a code that the target does not know, read back", "tables: {unit: {rows: {SEC: S, MIN: MIN, H: H}}}\n" + planted + "  timeUnit: 'src.confirmation.?timeUnit.optMap(u, reverse(\"unit\", u))'\n",
			`m.yaml:1:24: fields.timeUnit: it can be "SEC", and timeUnit knows no such value (did you mean S?)`,
		},
		{
			"another code for what is missing, read back, that the target does not know", "tables: {unit: {otherwise: DAY, rows: {S: sec}}}\n" + planted + "  timeUnit: 'reverse(\"unit\", src.confirmation.unit)'\n",
			`m.yaml:1:28: fields.timeUnit: it can be "DAY", and timeUnit knows no such value (it takes S, MIN, H)`,
		},
		{
			"another code for what is missing, read back, that is too long", "tables: {unit: {otherwise: 'SEVENTH', rows: {S: sec}}}\n" + without[:len(without)-len("  unit: src.confirmation.unit\n  postingDate: src.confirmation.postingDate\n")] +
				"  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.postingDate\n  unit: 'reverse(\"unit\", src.confirmation.unit)'\n",
			`m.yaml:1:28: fields.unit: "SEVENTH" has 7 characters, and unit takes 6 (write a shorter one, or add maxLength: 6 and cut: true if the rest may be lost)`,
		},
		{
			"one word for a missing value and for a missing code", "tables: {unit: {rows: {S: sec}, otherwise: none}}\n" + planted + "  text: 'lookup(\"unit\", src.confirmation.unit) + reverse(\"unit\", src.confirmation.unit)'\n",
			`m.yaml:1:44: tables.unit.otherwise: the table is read in both directions, and "none" is no code or no value of it (make two tables of the same rows, each with an otherwise: of its own)`,
		},
		{
			"a decimal that is compared with what has no type", "from: {document: d}\nto: {kind: '\"k\"', key: src.number}\nfields:\n  full: src.count == decimal(\"12\")\n",
			"m.yaml:4:19: fields.full: what comes has no type while it runs, and a whole number on the left is never equal to a decimal (write decimal(…) on both sides)",
		},
		{
			"a late reference of a kind that is none", planted + "  text: 'ref(\"oder\", event.key)'\n",
			`m.yaml:10:14: fields.text: there is no kind of reference "oder" (did you mean order?)`,
		},
		{
			"a late reference to what the ERP never numbers", planted + "  text: 'ref(\"machine\", event.key)'\n",
			`m.yaml:10:14: fields.text: there is no kind of reference "machine" (it is one of confirmation, lot, movement, order)`,
		},
		{
			"a parameter that nothing makes", "from: {kind: order.completed}\nto: {operation: completeProductionOrder}\nfields: {messageId: event.id}\n",
			"m.yaml:2:5: params.number: operation completeProductionOrder requires this parameter, and nothing makes it (add it below params:)",
		},
		{
			"a field of the plant's messages that is not there", "from: {document: Material}\nto: {kind: '\"material.changed\"', key: src.number}\n" +
				"fields:\n  number: src.number\n  description: src.description\n  baseUnit: src.baseUnit\n  batchManaged: {value: src.?batchManaged, default: 'false'}\n  serialized: {value: src.?serialised, default: 'false'}\n",
			`m.yaml:8:15: fields.serialized: material.changed knows no "serialized", and the contract refuses it (did you mean serialised?)`,
		},
		{
			"a field of the ERP's document that is not there", "from: {document: Material}\nto: {kind: '\"material.changed\"', key: src.number}\n" +
				"fields:\n  number: src.number\n  description: src.descripton\n  baseUnit: src.baseUnit\n  batchManaged: {value: src.?batchManaged, default: 'false'}\n  serialised: {value: src.?serialised, default: 'false'}\n",
			`m.yaml:5:20: fields.description: Material has no field descripton (did you mean description?)`,
		},
	})
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("quantities as decimals, and beside texts", func(t *testing.T) {
		file := planted + "  text: {when: 'decimal(src.confirmation.yield) > decimal(src.confirmation.scrap) && src.confirmation.?machineTime.orValue(\"\") != \"\"', value: 'src.confirmation.yield + \" PCE\"', maxLength: 40}\n"
		if got := mistakesOf(file, mapping.FromOpenAPI(doc)); len(got) > 0 {
			t.Errorf("got %q, want none", got)
		}
	})
	for _, right := range []string{
		`src.order.?components.orValue([])[?0].?material`, `src.order.?components.hasValue() ? src.order.?components.value()[?0].?material : optional.of("")`,
		`src.order.?components.optMap(c, c[?0].?material.orValue(""))`, `has(src.order.components) && size(src.order.components) > 1 ? src.order.components[1].material : ""`,
		`!has(src.order.components) || src.order.components.size() == 0 ? "" : src.order.components[0].material`,
		`src.order.?components.orValue([])[?0].optMap(c, c.material)`, `(src.order.?components.orValue([])[?0]).optMap(c, c.material).optMap(m, m + "x")`,
	} {
		t.Run("guarded: "+right, func(t *testing.T) {
			for _, file := range []string{
				"from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: '" + right + "'\n",
				"from: {kind: order.created}\nto: {operation: other}\nfields:\n  n: {required: true, when: has(src.order.components), value: 'src.order.components[0].material + src.order.?storageLocation.value()'}\n",
			} {
				if got := mistakesOf(file, mapping.FromOpenAPI(doc)); len(got) > 0 {
					t.Errorf("got %q, want none", got)
				}
			}
		})
	}
	t.Run("quotients that end, or have a scale", func(t *testing.T) {
		for _, right := range []string{
			`ratio(decimal(src.confirmation.yield), decimal("3"), decimal("24"))`, `ratio(decimal(src.confirmation.yield), decimal("1"), decimal("3"), 6, "half-even")`,
			`convert(decimal(src.confirmation.yield), "HUR", "MIN")`, `convert(decimal(src.confirmation.yield), "MIN", "HUR", 6, "half-up")`,
		} {
			if got := mistakesOf(without+"  yield: {value: '"+right+"', maxScale: 6, maxDigits: 12, round: half-up}\n", mapping.FromOpenAPI(doc)); len(got) > 0 {
				t.Errorf("%s: got %q, want none", right, got)
			}
		}
		got := mistakesOf(without+"  yield: {value: 'convert(decimal(src.confirmation.yield), src.confirmation.unit, \"DAY\")', maxScale: 6, maxDigits: 12, round: half-up}\n", mapping.FromOpenAPI(doc))
		if len(got) != 1 || !contains(got[0], "m.yaml:9:83: fields.yield: a number of C26 may have no end in DAY") {
			t.Errorf("of a unit that is not known: got %q", got)
		}
	})
	t.Run("one word for what is missing, which is a code and a value", func(t *testing.T) {
		file := "tables: {unit: {rows: {S: sec, other: other}, otherwise: other}}\n" + planted + "  text: 'lookup(\"unit\", src.confirmation.unit) + reverse(\"unit\", src.confirmation.unit)'\n"
		if got := mistakesOf(file, mapping.FromOpenAPI(doc)); len(got) > 0 {
			t.Errorf("got %q, want none", got)
		}
	})
	t.Run("a loop that is cheap", func(t *testing.T) {
		file := "from: {kind: order.created}\nto: {operation: other}\nfields: {n: 'src.order.?components.orValue([]).filter(c, c.backflush).size()', m: 'src.order.?components.orValue([]).exists(c, c.material == src.order.material)'}\n"
		if got := mistakesOf(file, mapping.FromOpenAPI(doc)); len(got) > 0 {
			t.Errorf("got %q, want none", got)
		}
	})
	t.Run("none", func(t *testing.T) {
		if got := mistakesOf(planted, mapping.FromOpenAPI(doc)); len(got) > 0 {
			t.Errorf("got %q, want none", got)
		}
	})
}

// plant is a mapping with one mistake, and what is said of it.
type plant struct{ name, file, want string }

// plants holds each mapping against the ERP's contract: its mistake is told at its place with what to do, and none reaches a link.
func plants(t *testing.T, tests []plant) {
	t.Helper()
	whole := regexp.MustCompile(`^[a-z.]+\.(yaml|csv):\d+:\d+: [a-z][^:]+: .* \(.+\)$`)
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !whole.MatchString(tt.want) {
				t.Errorf("%q has no place, or no hint", tt.want)
			}
			got := mistakesOf(tt.file, mapping.FromOpenAPI(doc))
			if !slices.Contains(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			reachesNoLink(t, tt.file, mapping.FromOpenAPI(doc))
		})
	}
}

// reachesNoLink offers a file to a plant that runs by a good one, as a changed folder or an edition does.
func reachesNoLink(t *testing.T, file string, c mapping.Contract) {
	t.Helper()
	good, err := mapping.Load(plantedFolder(planted))
	if err != nil {
		t.Fatal(err)
	}
	live := mapping.NewLive(good)
	_, err = live.Reload(func(next *mapping.Set) error {
		for _, kind := range append(mapping.PlantKinds(), "") {
			for _, f := range next.Check("m", kind, c) {
				if f.Refused {
					return &f.Mistake
				}
			}
		}
		return nil
	}, plantedFolder(file))
	if err == nil || live.Set() != good {
		t.Errorf("it is used: %v", err)
	}
}

func plantedFolder(file string) fstest.MapFS {
	return fstest.MapFS{
		"m.yaml":                {Data: []byte(file)},
		"reasons.csv":           {Data: []byte("plant,erp\nA,broken\nB,out of tolerance\n")},
		"common.fragments.yaml": {Data: []byte("fragments:\n  ring: {use: round}\n  round: {use: [envelope, ring]}\n  envelope: {fields: {digest: event.digest}}\n")},
	}
}

// mistakesOf are those that loading finds, and then those that the contract does.
func mistakesOf(file string, c mapping.Contract) (all []string) {
	set, err := mapping.Load(plantedFolder(file))
	for _, m := range mapping.Mistakes(err) {
		all = append(all, m.Error())
	}
	if set == nil {
		return all
	}
	kind := ""
	for _, k := range mapping.PlantKinds() {
		if set.Covers("m", k) {
			kind = k
		}
	}
	for _, f := range set.Check("m", kind, c) {
		all = append(all, f.Error())
	}
	return all
}
