package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/itchyny/gojq"
	"github.com/redpanda-data/benthos/v4/public/bloblang"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // its methods for numbers and times

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// The same confirmation of fifteen fields in three languages: leading zeros, a sum rounded to three places, two code tables, the plant's own
// day, a default and a condition. Only ours keeps every digit and ends at a bound; jq knows no zones, and adds the hour itself.
const (
	oursFifteen = `from: {kind: test.happened}
to: {operation: post}
tables:
  reason: {rows: {scratch: "0001", dent: "0002"}, otherwise: "0099"}
  unit: {rows: {PCE: ST, KGM: KG}}
fields:
  messageId: src.id
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
	bloblangFifteen = `let reason = {"scratch":"0001","dent":"0002"}
let unit = {"PCE":"ST","KGM":"KG"}
root.messageId = this.id
root.order = ("000000000000" + this.order).slice(-12)
root.operation = this.operation
root.workCentre = this.workCentre
root.plant = this.plant
root.yield = "%.3f".format(((this.good.number() + this.rework.number()) * 1000).round() / 1000)
root.scrap = this.scrap
root.unit = $unit.get(this.unit)
root.reason = $reason.get(this.reason) | "0099"
root.postingDate = this.end.ts_parse("2006-01-02T15:04:05Z07:00").ts_tz("Europe/Berlin").ts_format("2006-01-02")
root.start = this.start
root.end = this.end
root.personnel = this.personnel | "unknown"
root.final = this.final
root.text = if this.reason != "" { this.text.slice(0, 40) } else { deleted() }
`
	jqFifteen = `{"scratch":"0001","dent":"0002"} as $reason | {"PCE":"ST","KGM":"KG"} as $unit | {
messageId: .id, order: ("000000000000" + .order)[-12:], operation, workCentre, plant,
yield: (((.good | tonumber) + (.rework | tonumber)) * 1000 | round / 1000 | tostring), scrap,
unit: $unit[.unit], reason: ($reason[.reason] // "0099"), postingDate: (.end | fromdateiso8601 + 3600 | strftime("%Y-%m-%d")),
start, end, personnel: (.personnel // "unknown"), final} + (if .reason != "" then {text: .text[:40]} else {} end)`
	fifteenBody = `{"id":"m-1","order":"1000042","operation":"0010","workCentre":"MILL-01","plant":"1000","good":"9.5004","rework":"0.25","scrap":"1",` +
		`"unit":"PCE","reason":"dent","start":"2026-11-24T21:00:00Z","end":"2026-11-24T23:30:00Z","final":true,"text":"a dent at the flange"}`
)

// trusting vouches for the message of the row: what is measured is the mapping.
type trusting struct{}

// Verify implements message.Verifier.
func (trusting) Verify(context.Context, message.Message) error { return nil }

// mappingRow decodes, maps and encodes one confirmation again and again, and loads a thousand mappings.
func mappingRow(ctx context.Context, o options) ([]Result, error) {
	ours, theirs, err := fifteenContestants(ctx, o.of(30_000))
	if err != nil {
		return nil, err
	}
	medians, err := contest(ctx, o.rounds, append(theirs, ours)...)
	if err != nil {
		return nil, err
	}
	value := medians[ours.name]
	results := []Result{plain("Bloblang, 15 fields", "µs", medians["bloblang"]), plain("gojq, 15 fields", "µs", medians["gojq"])}
	results = append(results, atMost("Holdfast, 15 fields, against Bloblang", "µs", value, medians["bloblang"], 1.1),
		atMost("Holdfast, 15 fields, against gojq", "µs", value, medians["gojq"], 1.0))
	load, err := loadThousand(o)
	return append(results, load...), err
}

func fifteenContestants(ctx context.Context, n int) (ours contestant, theirs []contestant, err error) {
	set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(oursFifteen)}})
	if err != nil {
		return ours, nil, err
	}
	v, err := message.Verify(ctx, trusting{}, message.Message{ID: "m-1", Kind: "test.happened", Version: 1, Body: []byte(fifteenBody)})
	if err != nil {
		return ours, nil, err
	}
	blobl, err := bloblang.Parse(bloblangFifteen)
	if err != nil {
		return ours, nil, fmt.Errorf("parse the Bloblang: %w", err)
	}
	query, err := gojq.Parse(jqFifteen)
	if err != nil {
		return ours, nil, err
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return ours, nil, err
	}
	work := func(name string, once func() ([]byte, error)) contestant {
		return contestant{name, func(context.Context) (float64, error) { return processorTimeOf(n, once) }}
	}
	decoded := func(made func(any) (any, error)) func() ([]byte, error) {
		return func() ([]byte, error) {
			var in any
			if err := json.Unmarshal([]byte(fifteenBody), &in); err != nil {
				return nil, err
			}
			out, err := made(in)
			if err != nil {
				return nil, err
			}
			return json.Marshal(out)
		}
	}
	ours = work("holdfast", func() ([]byte, error) {
		doc, err := set.Apply(ctx, "m", v, nil)
		return doc.Body, err
	})
	theirs = []contestant{
		work("bloblang", decoded(blobl.Query)),
		work("gojq", decoded(func(in any) (any, error) {
			out, _ := code.RunWithContext(ctx, in).Next()
			if err, failed := out.(error); failed {
				return nil, err
			}
			return out, nil
		})),
	}
	return ours, theirs, sameFifteen(append(theirs, ours))
}

// sameFifteen has each work done once: a contestant that fails is fast.
func sameFifteen(all []contestant) error {
	for _, c := range all {
		if _, err := c.turn(context.Background()); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// processorTimeOf is how many µs of this process one of n works takes, the collector's share with it.
func processorTimeOf(n int, once func() ([]byte, error)) (float64, error) {
	runtime.GC()
	before, err := ownTime()
	if err != nil {
		return 0, err
	}
	for range n {
		out, err := once()
		if err != nil {
			return 0, err
		}
		if len(out) < 300 {
			return 0, errors.New("it makes less than fifteen fields: " + string(out))
		}
	}
	after, err := ownTime()
	return float64((after - before).Microseconds()) / float64(n), err
}

// ownTime is the processor time of this process.
func ownTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// loadThousand loads a thousand mappings and holds them against a contract, as a plant does before it starts: once as mappings are, with
// expressions that many have in common, and once with none alike.
func loadThousand(o options) ([]Result, error) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(mapping.Library(), "erp-out/operation.confirmed.yaml")
	if err != nil {
		return nil, err
	}
	simple := regexp.MustCompile(`(?m)^  (\w+): ((?:src|event|decimal)[\w.?()]+)$`)
	var out []Result
	for _, row := range []struct{ what, own string }{{"expressions shared", "$0"}, {"none alike", "$0 // %d"}} {
		files, n := fstest.MapFS{}, o.of(1000)
		for i := range n {
			own := strings.ReplaceAll(row.own, "%d", strconv.Itoa(i))
			files[fmt.Sprintf("p%04d/operation.confirmed.yaml", i)] = &fstest.MapFile{Data: simple.ReplaceAll(text, []byte(own))}
		}
		var seconds []float64
		for range o.rounds {
			s, err := loadOnce(files, mapping.FromOpenAPI(doc))
			if err != nil {
				return nil, err
			}
			seconds = append(seconds, s)
		}
		r := plain(fmt.Sprintf("%d mappings loaded and checked, %s, processor time", n, row.what), "s", median(seconds))
		r.Bound, r.OK = "below 3 s", r.Value < 3
		out = append(out, r)
	}
	return out, nil
}

// loadOnce is the seconds of processor time that it takes.
func loadOnce(files fs.FS, c mapping.Contract) (float64, error) {
	runtime.GC()
	before, err := ownTime()
	if err != nil {
		return 0, err
	}
	set, err := mapping.Load(files)
	if err != nil {
		return 0, err
	}
	for _, name := range set.Names() {
		if wrong := set.Check(name, "operation.confirmed", c); len(wrong) > 0 {
			return 0, &wrong[0].Mistake
		}
	}
	after, err := ownTime()
	return (after - before).Seconds(), err
}
