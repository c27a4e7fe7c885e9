package anomaly

import "slices"

// Field is one number that is taken from a report. Its place is what is stored: new ones are added at the end.
type Field int

// The fields. Pieces and Consumed are only what others are divided by.
const (
	Yield       Field = iota // good pieces of one confirmation, in the order's unit
	Scrap                    // of one confirmation, judged as its share in Pieces
	Pieces                   // yield, scrap and rework
	Setup                    // minutes
	Machine                  // minutes a piece
	Labour                   // minutes a piece
	Duration                 // from start to end, minutes a piece
	Interval                 // minutes since the confirmation before it, of the same order and operation
	Consumed                 // of one component, in its unit of stock
	Consumption              // the same a piece that was confirmed since the issue before it
	numFields   = iota
)

// The rules that need no profile.
const (
	Negative  = "negative"  // a quantity or time below zero
	Sequence  = "sequence"  // posted before a confirmation of the same order and operation that came first
	Duplicate = "duplicate" // the same as another one of the same order, a moment apart
)

// rules are how a field is judged.
type rules struct {
	name     string
	words    string    // what it is, before its value
	unit     string    // after its value
	floor    float64   // the least spread on the field's scale: its resolution
	atLeast  float64   // a value within this factor of the median is never doubted: stoppages and part lots are no errors
	highOnly bool      // less than usual is usual: the last lot of an order
	shifts   []float64 // by which a mistake moves it
	action   Action    // where the configuration says nothing; "" is its policy
}

func (f Field) rules() rules {
	minutes := []float64{10, 100, 60, 1440}
	return [numFields]rules{
		Yield:       {name: "yield", words: "yielded", floor: 0.25, atLeast: 4, highOnly: true, shifts: []float64{10, 100, 1000, 12}},
		Scrap:       {name: "scrap", words: "scrap ratio", floor: 1, atLeast: 6, highOnly: true, shifts: []float64{10, 100, 1000}},
		Setup:       {name: "setup_time", words: "set up for", unit: " min", floor: 0.15, atLeast: 5, shifts: minutes},
		Machine:     {name: "machine_time", words: "machine ran", unit: " min a piece", floor: 0.05, atLeast: 4, shifts: minutes},
		Labour:      {name: "labour_time", words: "worked", unit: " min a piece", floor: 0.05, atLeast: 4, shifts: minutes},
		Duration:    {name: "duration", words: "took", unit: " min a piece", floor: 0.1, atLeast: 5, shifts: minutes, action: Flag},
		Interval:    {name: "interval", words: "came", unit: " min after the one before it", floor: 0.3, atLeast: 20, shifts: []float64{60, 1440}, action: Flag},
		Consumption: {name: "consumption", words: "consumed", unit: " a piece", floor: 0.03, atLeast: 1.8, shifts: []float64{10, 100, 1000, 2.2046}},
		Consumed:    {},
		Pieces:      {},
	}[f]
}

// String is the name that the configuration has for the field.
func (f Field) String() string { return f.rules().name }

// judged are the fields that are judged, in the order in which doubts are told.
func judged() []Field {
	return []Field{Yield, Scrap, Setup, Machine, Labour, Duration, Interval, Consumption}
}

// Fields are the names of all that is judged, as the configuration may name them.
func Fields() []string {
	names := []string{Negative, Sequence, Duplicate}
	for _, f := range judged() {
		names = append(names, f.String())
	}
	slices.Sort(names)
	return names
}
