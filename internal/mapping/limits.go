package mapping

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// elements looks at how many elements a list of the document has, and may have in the target.
func (k *checking) elements(path string, s shape, name string, t *schema.Type, at place) {
	if s.typ == nil || s.typ.Kind != schema.List || s.made || !k.typed {
		return
	}
	from, most := s.typ.MinItems, "any number of"
	if s.typ.MaxItems > 0 {
		most = fmt.Sprint(s.typ.MaxItems)
	}
	switch {
	case t.MaxItems > 0 && from > t.MaxItems:
		k.wrong(at, path, fmt.Sprintf("the list has at least %d elements, and %s takes %d", from, name, t.MaxItems), "take those that are meant: src.….filter(x, …)")
	case s.typ.MaxItems > 0 && s.typ.MaxItems < t.MinItems:
		k.wrong(at, path, fmt.Sprintf("the list has at most %d elements, and %s needs %d", s.typ.MaxItems, name, t.MinItems), "go through another list")
	case k.binds: // a message with too many or too few stops at the rule
		return
	case t.MaxItems > 0 && (s.typ.MaxItems == 0 || s.typ.MaxItems > t.MaxItems):
		k.look(at, path, fmt.Sprintf("the list can have %s elements, and %s takes %d", most, name, t.MaxItems), "a message with more would be refused by the contract")
	}
	if from < t.MinItems && (s.typ.MaxItems == 0 || s.typ.MaxItems >= t.MinItems) {
		k.look(at, path, fmt.Sprintf("the list can have %d elements, and %s needs %d", from, name, t.MinItems), "leave the field out of such a message: when: size(…) > 0")
	}
}

// within looks at the least and the most of a number. What is the same for every message is refused; what comes may be beyond a limit.
func (k *checking) within(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Text {
		s = s.number()
	}
	if t.Kind == schema.Integer && s.kind == schema.Decimal && s.digits > 0 && s.digits < wholeDigits {
		s = s.wholly()
	}
	if r.maxDigits > 0 {
		s = s.within(r.maxDigits)
	}
	say := k.look
	switch {
	case s.least != nil && s.most != nil && s.least.Cmp(*s.most) == 0:
		say = k.wrong
	case k.binds:
		return
	}
	if least := bound(t.Least); least != nil && s.least != nil && beyond(least.Cmp(*s.least), t.Least.Open) {
		say(at, r.path, fmt.Sprintf("it can be %s, and %s is at least %s", s.least, name, t.Least), "a message with less would be refused by the contract")
	}
	if most := bound(t.Most); most != nil && s.most != nil && beyond(s.most.Cmp(*most), t.Most.Open) {
		say(at, r.path, fmt.Sprintf("it can be %s, and %s is at most %s", s.most, name, t.Most), "a message with more would be refused by the contract")
	}
}

// within is a number that is stopped where it has more digits before the point.
func (s shape) within(digits int) shape {
	all := shape{digits: digits}.wholly()
	if s.least != nil && s.least.Cmp(*all.least) < 0 {
		s.least = all.least
	}
	if s.most != nil && s.most.Cmp(*all.most) > 0 {
		s.most = all.most
	}
	return s
}

// beyond tells whether a value that compares so with a limit is beyond it.
func beyond(compared int, open bool) bool { return compared > 0 || open && compared == 0 }

// text looks at the length of a text and at what it may be.
func (k *checking) text(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Decimal || s.kind == schema.Integer {
		places := s.scale
		if r.scale != nil && int(*r.scale) > places {
			places = int(*r.scale) // it is filled up with zeros
		}
		if s.length = s.digits + max(0, places) + len("-."); s.digits == 0 || s.scale == schema.AnyScale {
			s.length = 0
		}
	}
	switch {
	case t.MaxLength == 0 || r.length == 0 && (s.theirs || !k.typed):
	case r.length > t.MaxLength:
		k.wrong(r.at, r.path+".maxLength", fmt.Sprintf("%d characters are more than the %d that %s takes", r.length, t.MaxLength, name), fmt.Sprintf("maxLength: %d", t.MaxLength))
	case r.length == 0 && s.length == 0:
		k.wrong(at, r.path, fmt.Sprintf("it can be of any length, and %s takes %d characters", name, t.MaxLength), lengthHint(t))
	case r.length == 0 && s.length > t.MaxLength && !k.tooLong(r, s, name, t):
		k.wrong(at, r.path, fmt.Sprintf("it can have %d characters, and %s takes %d", s.length, name, t.MaxLength), lengthHint(t))
	}
	if k.misformed(s, t) {
		say := k.wrong
		if s.format == unformatted { // earlier releases took what was cut from one
			say = k.advise
		}
		if t.Format == isUUID && s.format == unformatted {
			say = k.look // it may be one
		}
		say(at, r.path, fmt.Sprintf("it makes a %s, and %s is a %s", formName(s.format), name, formName(t.Format)), formatHint(t))
		return
	}
	if why, hint := k.never(r, s, name, t); why != "" {
		k.advise(at, r.path, why, hint)
	}
	k.said(r, s, name, t, at)
}

// said looks at the texts and numbers that stand in the mapping and its tables: each must be one that the target takes.
func (k *checking) said(r *rule, s shape, name string, t *schema.Type, at place) {
	if (t.Kind != schema.Text || t.Format == schema.IsDecimal) && s.kind == schema.Text && r.as != "number" && !r.numeric() {
		k.exponents(r, s, name, at)
	}
	if t.Kind != schema.Text {
		if d, ok := r.exactly(s); ok {
			if why := notTaken(t, d); why != "" {
				k.wrong(at, r.path, fmt.Sprintf("it can be %s, and %s %s", d, name, why), fitHint)
			}
		}
		return
	}
	refuses := refusing(t)
	told := 0
	for _, v := range r.texts(s) {
		why, hint := refuses(v)
		here, stands := s.stands[v]
		switch {
		case why == "" || told == mostCodes:
		case stands:
			told++
			k.wrong(here, r.path, fmt.Sprintf("it can be %q, and %s %s", clip(v), name, why), hint)
		default:
			k.wrong(at, r.path, fmt.Sprintf("it can be %q, and %s %s", clip(v), name, why), hint)
			return
		}
	}
}

// fitHint is what to do about a value that stands in the mapping.
const fitHint = "write it as the contract has it, here or in the table's row"

// exactly is the number that a rule writes into every document, if there is one.
func (r *rule) exactly(s shape) (decimal.Decimal, bool) {
	n := s
	if s.kind == schema.Text {
		n = s.number()
	}
	if n.least == nil || n.most == nil || n.least.Cmp(*n.most) != 0 || n.scale == schema.AnyScale {
		return decimal.Decimal{}, false
	}
	d, err := r.scaled(*n.least)
	return d, err == nil
}

// texts are those that a rule is known to write.
func (r *rule) texts(s shape) (all []string) {
	if d, ok := r.exactly(s); ok && (s.kind != schema.Text || r.numeric()) {
		return []string{d.String()}
	}
	for _, v := range slices.Concat(s.enum, s.some) {
		if v, err := r.fit(v); err == nil && !r.numeric() {
			all = append(all, v)
		}
	}
	return all
}

// notTaken says why a number is none that a type takes, "" if it does. Its least and most are looked at elsewhere.
func notTaken(t *schema.Type, d decimal.Decimal) string {
	same := func(n string) bool { o, err := decimal.Parse(n); return err == nil && o.Cmp(d) == 0 }
	if t.Numbers != nil && !slices.ContainsFunc(t.Numbers, same) {
		return "takes " + strings.Join(t.Numbers, ", ")
	}
	step, ok1 := new(big.Rat).SetString(t.Step)
	n, ok2 := new(big.Rat).SetString(d.String())
	if ok1 && ok2 && step.Sign() != 0 && !n.Quo(n, step).IsInt() {
		return "goes in steps of " + t.Step
	}
	return ""
}

// misformed tells whether a text is known to be of another format than a day or a time is.
func (k *checking) misformed(s shape, t *schema.Type) bool {
	switch t.Format {
	case "date", dateTime, isUUID:
	case schema.IsCivil:
		if s.format == "date" {
			return false
		}
	default:
		return false
	}
	if s.enum != nil || s.format == "" || s.format == t.Format {
		return false
	}
	return s.format != unformatted || k.forms
}

// formName is what a person calls a format.
func formName(format string) string {
	switch format {
	case schema.IsCivil:
		return "day, or a time without a zone"
	case timeOfDay:
		return "time of day"
	case schema.IsDecimal:
		return "number"
	case schema.IsUnit:
		return "unit of measure"
	case schema.IsZone:
		return "time zone"
	}
	return format
}

func formatHint(t *schema.Type) string {
	switch t.Format {
	case isUUID:
		return "make it of what has one, such as event.id"
	case "date", schema.IsCivil:
		return "make it one: date(…, \"Europe/Berlin\") of a time, with the plant's zone"
	}
	return "make it one: localTime(day, clock, \"Europe/Berlin\"), with the plant's zone"
}

func lengthHint(t *schema.Type) string {
	return fmt.Sprintf("add maxLength: %d, which stops a longer one, and cut: true if the rest may be lost", t.MaxLength)
}

// refusing says why a text is none that a type takes, "" if it does, and what to do. A pattern that Go cannot compile matches all, as it does
// where a document is held against the contract.
func refusing(t *schema.Type) func(v string) (why, hint string) {
	pattern := sync.OnceValue(func() *regexp.Regexp {
		p, err := regexp.Compile(t.Pattern)
		if err != nil {
			p = regexp.MustCompile("")
		}
		return p
	})
	return func(v string) (why, hint string) {
		switch {
		case t.Format == "time" && !formed(t.Format, v):
			return "is a time", fitHint
		case !formed(t.Format, v):
			return "is a " + t.Format, formatHint(t)
		case t.Enum != nil && !slices.Contains(t.Enum, v):
			return "knows no such value", didYouMean(v, t.Enum, "it takes "+strings.Join(t.Enum, ", "))
		case utf8.RuneCountInString(v) < t.MinLength:
			return fmt.Sprintf("takes at least %d characters", t.MinLength), fitHint
		case !pattern().MatchString(v):
			return "takes what matches " + t.Pattern, fitHint
		}
		return "", ""
	}
}

// formed tells whether a text is of a format. Of one that is not known each is.
func formed(format, v string) bool {
	var err error
	switch format {
	case "date":
		_, err = time.Parse(time.DateOnly, v)
	case dateTime:
		_, err = time.Parse(time.RFC3339Nano, v)
	case "time": // with an offset, as JSON Schema has it, or without one, as ERPs do
		if _, err = time.Parse(time.TimeOnly, v); err != nil {
			_, err = time.Parse("15:04:05.999999999Z07:00", v)
		}
	case isUUID:
		if _, err = uuid.Parse(v); err == nil && len(v) != len(uuid.Nil.String()) {
			return false
		}
	}
	return err == nil
}

// digits looks at the places of a number on both sides of the point.
func (k *checking) digits(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Text && len(s.enum) == 1 {
		if _, err := decimal.Parse(s.enum[0]); err != nil {
			why, hint := noNumber(s.enum[0], err)
			k.wrong(at, r.path, why, hint)
			return
		}
	}
	if k.typed && s.kind == schema.Text && s.digits == 0 && s.enum == nil && !s.amount && s.format == unformatted && !r.numeric() && (t.Scale != schema.AnyScale || t.Digits > 0) {
		k.wrong(at, r.path, fmt.Sprintf("it is a text that need hold no number, and %s is one", name), "write decimal(…), of a text that holds a number")
		return
	}
	n := s
	if s.kind != schema.Integer {
		n = s.number()
	}
	given := r.scale
	if given == nil {
		given = r.maxScale
	}
	switch {
	case t.Scale == schema.AnyScale:
	case given != nil && int(*given) > t.Scale:
		k.wrong(r.at, r.path+".scale", fmt.Sprintf("%d places are more than the %d that %s takes", *given, t.Scale, name), fmt.Sprintf("scale: %d", t.Scale))
	case k.typed && given == nil && (n.scale == schema.AnyScale || n.scale > t.Scale):
		say := k.wrong
		if n.scale == schema.AnyScale && r.unscaled() {
			say = k.advise
		}
		say(at, r.path, fmt.Sprintf("it can have %s, and %s takes %d", n.places(), name, t.Scale),
			fmt.Sprintf("add maxScale: %d (or scale: %d, which fills up with zeros) and round:", t.Scale, t.Scale))
	}
	if given != nil && n.digits > 0 && n.scale > int(*given) && r.round != decimal.Down && r.round != roundNever {
		n.digits++ // 9.99 is 10.0 when it is rounded
	}
	switch {
	case t.Digits == 0 || s.kind == schema.Integer && (s.least == nil || s.most == nil):
	case r.maxDigits > t.Digits:
		k.wrong(r.at, r.path+".maxDigits", fmt.Sprintf("%d digits are more than the %d that %s takes", r.maxDigits, t.Digits, name), fmt.Sprintf("maxDigits: %d", t.Digits))
	case k.typed && r.maxDigits == 0 && s.kind == schema.Integer && n.digits > t.Digits:
		k.advise(at, r.path, fmt.Sprintf("it can have %s before the point, and %s takes %d", digitsOf(n), name, t.Digits), fmt.Sprintf("add maxDigits: %d, which stops a larger one", t.Digits))
	case k.typed && r.maxDigits == 0 && (n.digits == 0 || n.digits > t.Digits):
		k.wrong(at, r.path, fmt.Sprintf("it can have %s before the point, and %s takes %d", digitsOf(n), name, t.Digits), fmt.Sprintf("add maxDigits: %d, which stops a larger one", t.Digits))
	}
}

// unscaled tells whether a rule has a quotient whose places were looked at by no earlier release.
func (r *rule) unscaled() bool {
	return r.value != nil && r.value.shape.unscaled || r.absent != nil && r.absent.shape.unscaled
}

func digitsOf(n shape) string {
	if n.digits == 0 {
		return "any number of digits"
	}
	return fmt.Sprintf("%d digits", n.digits)
}

// number is what is known of a decimal's digits, whether it is one or stands in a text.
func (s shape) number() shape {
	out := shape{kind: schema.Decimal, digits: s.digits, scale: s.scale, least: s.least, most: s.most}
	if s.kind == schema.Text && s.digits == 0 {
		out.scale = schema.AnyScale
		if len(s.enum) == 1 {
			if d, err := decimal.Parse(s.enum[0]); err == nil {
				out.scale, out.least, out.most = int(d.Scale()), &d, &d
				whole, _, _ := strings.Cut(strings.TrimPrefix(d.String(), "-"), ".")
				out.digits = len(whole)
			}
		}
	}
	return out
}

// places says how many places a number can have behind the point.
func (s shape) places() string {
	if s.scale == schema.AnyScale {
		return "any number of places behind the point"
	}
	return fmt.Sprintf("%d places behind the point", s.scale)
}
