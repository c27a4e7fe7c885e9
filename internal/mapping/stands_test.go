package mapping_test

import "testing"

// TestPlantedTextsWithoutRoom: a text that stands in a mapping or a table's row, and for which there is no room, is found where it stands.
func TestPlantedTextsWithoutRoom(t *testing.T) {
	plants(t, []plant{
		{
			"a row that its rule has no room for", "tables: {reason: {rows: {A: broken, B: 'out of tolerance'}, otherwise: 'no reason at all'}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit)', maxLength: 10}\n",
			`m.yaml:1:40: fields.text: "out of tolerance" has 16 characters, and maxLength stops each message with more than 10 (write a shorter one, make room for it: maxLength: 16, or say cut: true if the rest may be lost)`,
		},
		{
			"a word for what is missing that its rule has no room for", "tables: {reason: {rows: {A: broken}, otherwise: 'no reason at all'}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit)', maxLength: 10}\n",
			`m.yaml:1:49: fields.text: "no reason at all" has 16 characters, and maxLength stops each message with more than 10 (write a shorter one, make room for it: maxLength: 16, or say cut: true if the rest may be lost)`,
		},
		{
			"a row in capitals that its rule has no room for", "tables: {reason: {rows: {A: broken, B: tolerance}, missing: keep}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit).upper()', maxLength: 6}\n",
			`m.yaml:1:40: fields.text: "TOLERANCE" has 9 characters, and maxLength stops each message with more than 6 (write a shorter one, make room for it: maxLength: 9, or say cut: true if the rest may be lost)`,
		},
		{
			"a row behind a prefix that its rule has no room for", "tables: {reason: {rows: {A: broken, B: tolerance}}}\n" + planted + "  text: {value: '\"R-\" + lookup(\"reason\", src.confirmation.unit)', maxLength: 8}\n",
			`m.yaml:1:40: fields.text: "R-tolerance" has 11 characters, and maxLength stops each message with more than 8 (write a shorter one, make room for it: maxLength: 11, or say cut: true if the rest may be lost)`,
		},
		{
			"a code, read back, that its rule has no room for", "tables: {reason: {rows: {A: '1', tolerance: '2'}}}\n" + planted + "  text: {value: 'reverse(\"reason\", src.confirmation.unit)', maxLength: 6}\n",
			`m.yaml:1:34: fields.text: "tolerance" has 9 characters, and maxLength stops each message with more than 6 (write a shorter one, make room for it: maxLength: 9, or say cut: true if the rest may be lost)`,
		},
		{
			"a row of a file that its rule has no room for", "tables: {reason: {file: reasons.csv}}\n" + planted + "  text: {value: 'lookup(\"reason\", src.confirmation.unit)', maxLength: 10}\n",
			`reasons.csv:3:3: fields.text: "out of tolerance" has 16 characters, and maxLength stops each message with more than 10 (write a shorter one, make room for it: maxLength: 16, or say cut: true if the rest may be lost)`,
		},
		{
			"a row that the target has no room for", "tables: {unit: {rows: {KGM: KG, GRM: 'GRAMMES'}}}\n" + without[:len(without)-len("  unit: src.confirmation.unit\n  postingDate: src.confirmation.postingDate\n")] +
				"  yield: decimal(src.confirmation.yield)\n  postingDate: src.confirmation.postingDate\n  unit: 'lookup(\"unit\", src.confirmation.unit)'\n",
			`m.yaml:1:38: fields.unit: "GRAMMES" has 7 characters, and unit takes 6 (write a shorter one, or add maxLength: 6 and cut: true if the rest may be lost)`,
		},
		{
			"a row that is no number, as a number", "tables: {factor: {rows: {KGM: '1', GRM: '0,001'}}}\n" + without + "  yield: {value: 'lookup(\"factor\", src.confirmation.unit)', as: number}\n",
			`m.yaml:1:41: fields.yield: "0,001" has a comma, and a number has a point (write 0.001)`,
		},
		{
			"a text of the mapping that its rule has no room for", planted + "  text: {value: 'src.confirmation.final ? \"finished\" : \"partial\"', maxLength: 7}\n",
			`m.yaml:10:43: fields.text: "finished" has 8 characters, and maxLength stops each message with more than 7 (write a shorter one, make room for it: maxLength: 8, or say cut: true if the rest may be lost)`,
		},
		{
			"a default that its rule has no room for", planted + "  text: {value: src.confirmation.?reason, default: '\"no reason\"', maxLength: 7}\n",
			`m.yaml:10:53: fields.text.default: "no reason" has 9 characters, and maxLength stops each message with more than 7 (write a shorter one, make room for it: maxLength: 9, or say cut: true if the rest may be lost)`,
		},
	})
}
