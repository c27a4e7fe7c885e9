package anomaly_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"holdfast/internal/message"
)

// mistakes are the sorts of errors that are planted.
const (
	slip      = "slip x10"
	mixUp     = "unit mix-up"
	swapped   = "swapped order"
	negative  = "negative"
	duplicate = "duplicate"
)

func mistakes() []string { return []string{slip, mixUp, swapped, negative, duplicate} }

// sim is a plant that makes what docs/anomaly.md describes: it knows nothing of how it is judged.
type sim struct {
	rand      *rand.Rand
	materials []*simMaterial
	now       time.Time
	n         int
	rate      float64 // of planted errors
}

// simMaterial is a material with what is true of its work.
type simMaterial struct {
	name       string
	weight     float64 // how often it is made
	lot        float64 // median pieces of one confirmation
	operations []*simOperation
}

type simOperation struct {
	name                  string
	cycle, spread, labour float64 // minutes a piece
	setup                 float64 // minutes
	scrap                 float64 // share
	consumption, weighing float64 // kg a piece, and how well it is weighed
	wear, toolLife        float64 // of the tool, in pieces
}

// simReport is a message with what is wrong about it.
type simReport struct {
	message.Message
	mistake  string // "" if it is right
	field    string // where
	material string
	at       time.Time
	perPiece float64 // minutes of the machine, as reported; 0 for an issue
}

func newSim(seed uint64, rate float64) *sim {
	s := &sim{rand: rand.New(rand.NewPCG(seed, 77)), now: time.Date(2026, 1, 5, 6, 0, 0, 0, time.UTC), rate: rate}
	for i := range 14 {
		m := &simMaterial{name: fmt.Sprintf("FG-%04d", i), weight: 1 / float64(i+1), lot: s.between(20, 300)}
		if i >= 11 {
			m.weight = 0.01 // rare: a few orders a year
		}
		for j := range 1 + s.rand.IntN(3) {
			o := &simOperation{
				name: fmt.Sprintf("%04d", 10*(j+1)), cycle: s.between(0.15, 6), spread: s.between(0.03, 0.14), labour: s.between(0.3, 1.3), setup: s.between(8, 70),
				scrap: s.between(0.002, 0.04), toolLife: s.between(4000, 30000), weighing: s.between(0.005, 0.05),
			}
			if j == 0 {
				o.consumption = math.Exp(s.between(math.Log(0.02), math.Log(9)))
			}
			m.operations = append(m.operations, o)
		}
		s.materials = append(s.materials, m)
	}
	return s
}

func (s *sim) between(low, high float64) float64 { return low + (high-low)*s.rand.Float64() }

// about is a number that is right on the whole and varies as spread says, now and then by more than a bell curve has it.
func (s *sim) about(x, spread float64) float64 {
	if s.rand.Float64() < 0.05 {
		spread *= 2
	}
	return x * math.Exp(spread*s.rand.NormFloat64())
}

// order is all that is reported of one order, in the order in which it is entered.
func (s *sim) order() []simReport {
	m := s.pick()
	id := fmt.Sprintf("o%d", s.n)
	var all []simReport
	for _, o := range m.operations {
		var last time.Time
		for lot := range 2 + s.rand.IntN(6) {
			pieces := math.Max(1, math.Round(s.about(m.lot, 0.35)))
			if s.rand.Float64() < 0.1 {
				pieces = math.Max(1, math.Round(pieces*s.rand.Float64())) // the rest of a shift
			}
			c := s.work(m, o, pieces, lot == 0)
			s.pass(c.minutes)
			c.order, c.at = id, s.now
			all = append(all, s.plant(c, &last)...)
			if o.consumption > 0 {
				all = append(all, s.take(id, m, o, pieces))
			}
		}
	}
	return all
}

func (s *sim) pick() *simMaterial {
	sum := 0.0
	for _, m := range s.materials {
		sum += m.weight
	}
	x := s.rand.Float64() * sum
	for _, m := range s.materials {
		if x -= m.weight; x <= 0 {
			return m
		}
	}
	return s.materials[0]
}

// pass lets the work's time go by on one of several lines; nobody works from Saturday noon to Monday morning.
func (s *sim) pass(minutes float64) {
	s.now = s.now.Add(time.Duration((5 + minutes/6) * float64(time.Minute))).Truncate(time.Second)
	if d := s.now.Weekday(); d == time.Sunday || d == time.Saturday && s.now.Hour() >= 12 {
		s.now = s.now.Truncate(24 * time.Hour).Add(time.Duration((8-int(d))%7) * 24 * time.Hour).Add(6 * time.Hour)
	}
}

// simWork is one confirmation, as numbers.
type simWork struct {
	order, material, operation           string
	yield, scrap, setup, machine, labour float64
	minutes                              float64
	hours                                bool // it is entered in hours
	at                                   time.Time
}

// work is what making so many pieces takes: the season, the shift, the state of the tool, and now and then a stoppage.
func (s *sim) work(m *simMaterial, o *simOperation, pieces float64, first bool) simWork {
	year := 2 * math.Pi * float64(s.now.YearDay()) / 365
	season := 1 + 0.08*math.Sin(year)
	if h := s.now.Hour(); h < 6 || h >= 22 {
		season *= 1.06
	}
	o.wear += pieces
	if o.wear > o.toolLife {
		o.wear = 0
	}
	worn := o.wear / o.toolLife
	share := o.scrap * (1 + 2*worn*worn) * math.Exp(0.3*s.rand.NormFloat64())
	if s.now.Weekday() == time.Monday && s.now.Hour() < 10 {
		share *= 2
	}
	w := simWork{material: m.name, operation: o.name, hours: s.rand.Float64() < 0.1}
	for range int(pieces) {
		if s.rand.Float64() < share {
			w.scrap++
		}
	}
	w.yield = pieces - w.scrap
	w.machine = s.about(o.cycle*season*(1+0.25*worn), o.spread) * pieces
	w.labour = s.about(o.labour*o.cycle*season, o.spread*1.3) * pieces
	if s.rand.Float64() < 0.012 {
		stop := s.between(1.2, 3)
		w.machine, w.labour = w.machine*stop, w.labour*stop
	}
	if first {
		w.setup = s.about(o.setup, 0.25)
	}
	w.minutes = w.machine + w.setup
	return w
}

// plant gives a confirmation as it is entered, with an error now and then, and sometimes twice.
func (s *sim) plant(w simWork, last *time.Time) []simReport {
	if s.rand.Float64() >= s.rate {
		*last = w.at
		return []simReport{s.confirm(w, "", "")}
	}
	mistake := mistakes()[s.rand.IntN(len(mistakes()))]
	field := ""
	switch mistake {
	case slip:
		field = s.slip(&w)
	case mixUp:
		field = "times"
		if w.hours { // what was meant as hours is taken for minutes, or the other way round
			w.machine, w.labour, w.setup = w.machine/60, w.labour/60, w.setup/60
		} else {
			w.machine, w.labour, w.setup = w.machine*60, w.labour*60, w.setup*60
		}
	case swapped:
		if last.IsZero() {
			return []simReport{s.confirm(w, "", "")}
		}
		w.at = last.Add(-time.Duration(1+s.rand.IntN(30)) * time.Minute)
		return []simReport{s.confirm(w, mistake, "")}
	case negative:
		w.machine = -w.machine
	case duplicate:
		*last = w.at
		again := w
		again.at = w.at.Add(time.Duration(5+s.rand.IntN(40)) * time.Second)
		return []simReport{s.confirm(w, "", ""), s.confirm(again, mistake, "")}
	}
	return []simReport{s.confirm(w, mistake, field)}
}

// slip moves the point of one number, up or down.
func (s *sim) slip(w *simWork) string {
	by := []float64{10, 0.1}[s.rand.IntN(2)]
	fields := []struct {
		name string
		at   *float64
	}{{"yield", &w.yield}, {"machine", &w.machine}, {"labour", &w.labour}, {"setup", &w.setup}, {"scrap", &w.scrap}}
	for {
		f := fields[s.rand.IntN(len(fields))]
		if *f.at <= 0 || f.name == "scrap" && (by < 1 || *f.at < 2) || f.name == "yield" && *f.at < 10 {
			continue
		}
		if *f.at *= by; f.name == "yield" {
			*f.at = math.Round(*f.at)
		}
		return f.name
	}
}

// text is a number as a person enters it.
func text(x float64, places int) string { return strconv.FormatFloat(x, 'f', places, 64) }

func (s *sim) confirm(w simWork, mistake, field string) simReport {
	s.n++
	unit, by := "MIN", 1.0
	if w.hours {
		unit, by = "HUR", 1.0/60
	}
	c := map[string]any{
		"operation": w.operation, "booked": map[string]any{"yield": text(w.yield, 0), "scrap": text(w.scrap, 0), "rework": "0", "unit": "PCE"},
		"setupTime": text(w.setup*by, 3), "machineTime": text(w.machine*by, 3), "labourTime": text(w.labour*by, 3), "timeUnit": unit, "postedAt": w.at,
	}
	m, err := message.New(fmt.Sprintf("e%d", s.n), "operation.confirmed", w.order, w.at, map[string]any{
		"order": map[string]any{"id": w.order, "material": w.material, "unit": "PCE"}, "confirmation": c,
	})
	if err != nil {
		panic(err) // numbers and text can be written
	}
	return simReport{Message: m, mistake: mistake, field: field, material: w.material + "/" + w.operation, at: w.at, perPiece: w.machine / (w.yield + w.scrap)}
}

// take is what an order's component loses for the pieces of its last confirmation, in kilograms.
func (s *sim) take(order string, m *simMaterial, o *simOperation, pieces float64) simReport {
	s.n++
	damp := 1 + 0.03*math.Cos(2*math.Pi*float64(s.now.YearDay())/365)
	kg := s.about(o.consumption*damp, o.weighing) * pieces
	mistake, field := "", ""
	if s.rand.Float64() < s.rate {
		field = "consumption"
		switch s.rand.IntN(3) {
		case 0:
			mistake, kg = slip, kg*[]float64{10, 0.1}[s.rand.IntN(2)]
		case 1:
			mistake, kg = mixUp, kg*[]float64{1000, 0.001, 2.2046}[s.rand.IntN(3)] // grams, tonnes, pounds
		default:
			mistake, kg = negative, -kg
		}
	}
	msg, err := message.New(fmt.Sprintf("e%d", s.n), "goods.issued", order, s.now, map[string]any{
		"order": map[string]any{"id": order, "material": m.name, "unit": "PCE"},
		"movement": map[string]any{"postedAt": s.now, "items": []any{
			map[string]any{"item": "0001", "material": "RM-" + m.name, "operation": o.name, "baseQuantity": text(kg, 4), "baseUnit": "KG"},
		}},
	})
	if err != nil {
		panic(err) // as above
	}
	return simReport{Message: msg, mistake: mistake, field: field, material: m.name + "/" + o.name, at: s.now}
}
