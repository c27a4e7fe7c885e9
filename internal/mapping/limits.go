package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

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

// beyond tells whether a value that compares so with a limit is beyond it.
func beyond(compared int, open bool) bool { return compared > 0 || open && compared == 0 }

// text looks at the length of a text and at what it may be.
func (k *checking) text(r *rule, s shape, name string, t *schema.Type, at place) {
	if s.kind == schema.Decimal || s.kind == schema.Integer {
		s.enum = nil
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
	case r.length == 0 && s.length > t.MaxLength:
		k.wrong(at, r.path, fmt.Sprintf("it can have %d characters, and %s takes %d", s.length, name, t.MaxLength), lengthHint(t))
	}
	if k.misformed(s, t) {
		say := k.wrong
		if t.Format == isUUID && s.format == unformatted {
			say = k.look // it may be one
		}
		say(at, r.path, fmt.Sprintf("it makes a %s, and %s is a %s", s.format, name, formName(t.Format)), formatHint(t))
		return
	}
	for _, v := range s.enum {
		if why := refuses(t, v); why != "" {
			takes := "it takes " + strings.Join(t.Enum, ", ")
			if t.Enum == nil {
				takes = formatHint(t)
			}
			k.wrong(at, r.path, fmt.Sprintf("it can be %q, and %s %s", v, name, why), didYouMean(v, t.Enum, takes))
			return
		}
	}
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
	if format == schema.IsCivil {
		return "day, or a time without a zone"
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

// refuses says why a text is none that a type takes, "" if it does.
func refuses(t *schema.Type, v string) string {
	if !formed(t.Format, v) {
		return "is a " + t.Format
	}
	if t.Enum != nil && !slices.Contains(t.Enum, v) {
		return "knows no such value"
	}
	return ""
}

// formed tells whether a text is of a format. Of one that is not known each is.
func formed(format, v string) bool {
	var err error
	switch format {
	case "date":
		_, err = time.Parse(time.DateOnly, v)
	case dateTime:
		_, err = time.Parse(time.RFC3339Nano, v)
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
			k.wrong(at, r.path, err.Error(), "")
			return
		}
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
		k.wrong(at, r.path, fmt.Sprintf("it can have %s, and %s takes %d", n.places(), name, t.Scale),
			fmt.Sprintf("add maxScale: %d (or scale: %d, which fills up with zeros) and round:", t.Scale, t.Scale))
	}
	if given != nil && n.digits > 0 && n.scale > int(*given) && r.round != decimal.Down && r.round != roundNever {
		n.digits++ // 9.99 is 10.0 when it is rounded
	}
	switch {
	case t.Digits == 0 || s.kind == schema.Integer:
	case r.maxDigits > t.Digits:
		k.wrong(r.at, r.path+".maxDigits", fmt.Sprintf("%d digits are more than the %d that %s takes", r.maxDigits, t.Digits, name), fmt.Sprintf("maxDigits: %d", t.Digits))
	case k.typed && r.maxDigits == 0 && (n.digits == 0 || n.digits > t.Digits):
		k.wrong(at, r.path, fmt.Sprintf("it can have %s before the point, and %s takes %d", digitsOf(n), name, t.Digits), fmt.Sprintf("add maxDigits: %d, which stops a larger one", t.Digits))
	}
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
