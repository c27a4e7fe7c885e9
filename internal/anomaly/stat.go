package anomaly

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"holdfast/internal/decimal"
)

// Values are the numbers of one sample by field. They are floats, which only this file and the words of a finding see: they say how usual
// a report is, and none of them is ever written into a message.
type Values [numFields]float64

// nothing is a sample that says nothing.
func nothing() Values {
	var v Values
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}

// bytes is how a sample is kept.
func (v Values) bytes() []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// valuesOf reads what bytes wrote. A field that a later release has added says nothing.
func valuesOf(b []byte) Values {
	v := nothing()
	for i := range v {
		if len(b) >= 8*(i+1) {
			v[i] = math.Float64frombits(binary.BigEndian.Uint64(b[8*i:]))
		}
	}
	return v
}

// set notes an exact number.
func (v *Values) set(f Field, d decimal.Decimal) {
	if x, err := strconv.ParseFloat(d.String(), 64); err == nil {
		v[f] = x
	}
}

// per notes a quotient of two fields; nothing if either is not above zero.
func (v *Values) per(f, num, den Field) {
	if v[num] > 0 && v[den] > 0 {
		v[f] = v[num] / v[den]
	}
}

func (v Values) has(f Field) bool { return !math.IsNaN(v[f]) }

// Profile is what is usual of one field: exact median and median absolute deviation over the last samples.
type Profile struct {
	Field  string  `json:"field"`
	Level  Level   `json:"level"`  // what it was learned from
	Count  int     `json:"count"`  // samples that it was made of, at most Ring
	Median float64 `json:"median"` // in the field's own unit; of the scrap ratio the ratio of all
	Spread float64 `json:"spread"` // robust deviation on the field's scale: of the logarithm, or of the square root of a count
	Low    float64 `json:"low"`    // of what is usual, in the field's own unit
	High   float64 `json:"high"`
	Drift  float64 `json:"drift"` // by how much the newer half's median is above that of the older half, in spreads
	limit  float64
	center float64
	taught []float64
}

// Words, thresholds and reasons are in docs/anomaly.md; anomaly-report measures them.
const (
	Ring     = 256    // samples that a profile is made of at most
	fewest   = 8      // below it a profile is made of what lies above it: the material's, then the plant's
	enough   = 50     // from here on a profile has its narrowest limit
	limit    = 6.0    // robust deviations
	shifty   = 4.0    // robust deviations from which on a value is doubted that would be usual if it were shifted
	usual    = 1.5    // robust deviations within which a shifted value is usual
	normal   = 1.4826 // makes a median absolute deviation comparable to a standard deviation
	tailSide = 0.02   // of the ring that is left out on either side, of what is told as usual
)

// profile makes the profile of f from samples, the oldest first.
func profile(f Field, level Level, ring []sampled) Profile {
	p := Profile{Field: f.String(), Level: level}
	rate := 0.0
	if f == Scrap {
		rate = scrapRate(ring)
	}
	var raw, scaled []float64
	for _, s := range ring {
		x, ok := f.scale(s.values, rate)
		if !ok {
			continue
		}
		raw, scaled = append(raw, f.shown(s.values)), append(scaled, x)
		if s.taught {
			p.taught = append(p.taught, x)
		}
	}
	if p.Count = len(scaled); p.Count == 0 {
		return p
	}
	p.center, p.Spread = medianAndSpread(scaled)
	p.Spread = max(p.Spread, f.rules().floor)
	p.limit = limit * math.Sqrt(max(1, enough/float64(p.Count)))
	p.Median, _ = medianAndSpread(raw)
	if f == Scrap {
		p.Median = rate
	}
	if half := len(scaled) / 2; half >= fewest {
		before, _ := medianAndSpread(scaled[:half])
		after, _ := medianAndSpread(scaled[half:])
		p.Drift = (after - before) / p.Spread
	}
	slices.Sort(raw)
	cut := int(tailSide * float64(len(raw)))
	p.Low, p.High = raw[cut], raw[len(raw)-1-cut]
	return p
}

// scrapRate is the share of scrap in all that was made, without the tenth of the samples that had most.
func scrapRate(ring []sampled) float64 {
	type part struct{ bad, all float64 }
	var parts []part
	for _, s := range ring {
		if s.values.has(Scrap) && s.values[Pieces] > 0 {
			parts = append(parts, part{s.values[Scrap], s.values[Pieces]})
		}
	}
	slices.SortFunc(parts, func(a, b part) int {
		return sign(a.bad/a.all - b.bad/b.all)
	})
	var sum part
	for _, p := range parts[:len(parts)-len(parts)/10] {
		sum.bad, sum.all = sum.bad+p.bad, sum.all+p.all
	}
	if sum.all == 0 {
		return 0
	}
	return sum.bad / sum.all
}

func sign(x float64) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// medianAndSpread are the exact median and the median absolute deviation, the latter made comparable to a standard deviation.
func medianAndSpread(xs []float64) (median, spread float64) {
	s := slices.Clone(xs)
	median = middle(s)
	for i, x := range s {
		s[i] = math.Abs(x - median)
	}
	return median, normal * middle(s)
}

// middle sorts xs, of which there is at least one.
func middle(xs []float64) float64 {
	slices.Sort(xs)
	half := len(xs) / 2
	if len(xs)%2 == 1 {
		return xs[half]
	}
	return (xs[half-1] + xs[half]) / 2
}

// scale is the value of a field on the scale on which its deviations are alike: the logarithm, and of scrap the square root of a count
// (Anscombe) from that of what its rate leads to expect. False where the sample says nothing of it.
func (f Field) scale(v Values, rate float64) (float64, bool) {
	if f == Scrap {
		if !v.has(Scrap) || !(v[Pieces] > 0) || v[Scrap] < 0 {
			return 0, false
		}
		return 2 * (math.Sqrt(v[Scrap]+0.375) - math.Sqrt(rate*v[Pieces]+0.375)), true
	}
	if !(v[f] > 0) {
		return 0, false
	}
	return math.Log(v[f]), true
}

// shown is what people are told of a field: of scrap the ratio.
func (f Field) shown(v Values) float64 {
	if f == Scrap {
		return v[Scrap] / v[Pieces]
	}
	return v[f]
}

// judge tells whether a value is doubtful, and what factor would make it usual: 0 if none would.
func (p Profile) judge(f Field, v Values) (factor float64, doubtful bool) {
	x, ok := f.scale(v, p.Median)
	if !ok || p.Count < fewest {
		return 0, false
	}
	r, away := f.rules(), x-p.center
	if away < 0 && r.highOnly || p.near(f, v, away) || p.known(x) {
		return 0, false
	}
	z := math.Abs(away) / p.Spread
	if z <= shifty {
		return 0, false
	}
	if z > p.limit {
		return p.shift(f, v, limit), true
	}
	factor = p.shift(f, v, usual)
	return factor, factor != 0 && p.Count >= enough
}

// near tells whether a value is within the factor of what is usual that is never doubted.
func (p Profile) near(f Field, v Values, away float64) bool {
	if f == Scrap {
		return v[Scrap] < f.rules().atLeast*p.Median*v[Pieces]
	}
	return math.Abs(away) < math.Log(f.rules().atLeast)
}

// known tells whether a person has let go a value like this one.
func (p Profile) known(x float64) bool {
	return slices.ContainsFunc(p.taught, func(t float64) bool { return math.Abs(x-t) <= limit*p.Spread })
}

// shift finds the factor by which the value would be usual, within so many deviations: a decimal point that slipped, or another unit.
func (p Profile) shift(f Field, v Values, within float64) float64 {
	best, found := within, 0.0
	for _, factor := range f.rules().shifts {
		for _, by := range []float64{factor, 1 / factor} {
			w := v
			w[f] = v[f] / by
			x, ok := f.scale(w, p.Median)
			if z := math.Abs(x-p.center) / p.Spread; ok && z < best {
				best, found = z, by
			}
		}
	}
	return found
}

// toMinutes makes minutes of seconds.
func (v *Values) toMinutes(f Field) { v[f] /= 60 }

// keepRelated takes what followed from the samples before it from how it was seen then.
func (f *facts) keepRelated(was Values) {
	if f.Kind == kindConfirmation {
		f.Values[Interval] = was[Interval]
		return
	}
	f.Values[Pieces] = was[Pieces]
	f.Values.per(Consumption, Consumed, Pieces)
}
