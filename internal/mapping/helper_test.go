package mapping_test

import (
	"regexp"
	"strings"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// unversioned hides the hash, which changes with each letter of a mapping.
func unversioned(s string) string {
	return regexp.MustCompile(`@[0-9a-f]{12}`).ReplaceAllString(s, "@VERSION")
}

// fifteen is a confirmation of fifteen fields: leading zeros, a sum rounded to three places, two code tables, the plant's own day, a default
// and a condition.
const fifteen = `from: {kind: test.happened}
to: {operation: post}
tables:
  reason: {rows: {scratch: "0001", dent: "0002"}, otherwise: "0099"}
  unit: {rows: {PCE: ST, KGM: KG}}
fields:
  messageId: event.id
  order: 'pad(src.order, 12, "0")'
  operation: src.operation
  workCentre: src.workCentre
  plant: src.plant
  yield: {value: decimal(src.good) + decimal(src.rework), scale: 3, round: half-up}
  scrap: src.scrap
  unit: lookup("unit", src.unit)
  reason: lookup("reason", src.reason)
  postingDate: date(src.end, "Europe/Berlin")
  start: src.start
  end: src.end
  personnel: {value: src.?personnel, default: '"unknown"'}
  final: src.final
  text: {when: src.reason != "", value: src.text, maxLength: 40, cut: true}
`

const fifteenBody = `{"order":"1000042","operation":"0010","workCentre":"MILL-01","plant":"1000","good":"9.5004","rework":"0.25","scrap":"1","unit":"PCE",` +
	`"reason":"dent","start":"2026-11-24T21:00:00Z","end":"2026-11-24T23:30:00Z","final":true,"text":"a dent at the flange"}`
