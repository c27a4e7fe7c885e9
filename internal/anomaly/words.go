package anomaly

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"holdfast/internal/store"
)

// words explain a doubt to a person.
func (f *facts) words(ctx context.Context, tx *store.Tx, field Field, p Profile, factor float64) (words, by string, err error) {
	total, err := countOf(ctx, tx, f, p.Level)
	if err != nil {
		return "", "", err
	}
	r := field.rules()
	unit := r.unit
	if f.unit != "" && (field == Yield || field == Consumption) {
		unit = " " + f.unit + unit
	}
	words = fmt.Sprintf("%s %s%s; usual %s to %s over %d %s", r.words, short(field.shown(f.Values)), unit, short(p.Low), short(p.High), total, f.counted(p.Level))
	if factor == 0 {
		return words, "", nil
	}
	by = short(factor)
	if factor >= 1 {
		return words + fmt.Sprintf(": %s times too much, %s", by, looks(factor)), by, nil
	}
	return words + fmt.Sprintf(": %s times too little, %s", short(1/factor), looks(1/factor)), by, nil
}

// counted names what a profile was made of.
func (f *facts) counted(l Level) string {
	what := "confirmations"
	if f.Kind == kindIssue {
		what = "issues"
	}
	switch l {
	case OfMaterial:
		return what + " of the material in any operation"
	case OfPlant:
		return what + " of any material, since this one is new"
	default:
		return what
	}
}

// looks says what a factor looks like.
func looks(factor float64) string {
	if slices.Contains([]string{"10", "100", "1000"}, short(factor)) {
		return "as if a decimal point had slipped or the unit were another"
	}
	return "as if the unit were another"
}

// short is a number as people are told it, with three digits that count.
func short(x float64) string {
	if math.Abs(x) >= 1000 {
		return strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	}
	s := strconv.FormatFloat(x, 'g', 3, 64)
	if y, err := strconv.ParseFloat(s, 64); err == nil {
		return strconv.FormatFloat(y, 'f', -1, 64)
	}
	return s
}
