package mapping

import (
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/schema"
)

func TestWhatAPatternTakes(t *testing.T) {
	for _, tt := range []struct {
		pattern, by      string
		all, some, known bool
	}{
		{`^[0-9]{4}$`, numberForm, true, true, true},
		{`^-?[0-9]{1,13}([.][0-9]{1,6})?$`, numberForm, true, true, true},
		{`^\d+$`, numberForm, false, true, true},
		{`^[0-9]+$`, `^[0-9]+$`, true, true, true},
		{`[0-9]{4}`, numberForm, false, true, true},
		{`^[A-Z]{3}$`, numberForm, false, false, true},
		{`^[A-Z0-9]{1,3}$`, numberForm, false, true, true},
		{`^[0-9]{4}$`, compactForm, false, true, true}, // 0000 is no day
		{`^[1-9]{4}$`, compactForm, false, false, true},
		{`(?s)^.{0,6}$`, timeForm, false, false, true},
		{`(?s).*`, timeForm, false, true, true},
		{`(?i)^(true|false)$`, boolForm, false, true, true},
		{`^(true|false)$`, boolForm, true, true, true},
		{`^(?:1|0)$`, boolForm, true, true, true},
		{`^20[0-9]{2}-[01][0-9]-[0-3][0-9]$`, dayForm, true, true, true},
		{`^[0-9]\b`, numberForm, false, false, false},
		{`[`, numberForm, false, false, false},
		{`^1|2$`, `^[12]$`, false, true, true},
		{`^$`, numberForm, false, false, true},
		{`ü+`, `.`, true, true, true},
	} {
		if all, some, known := covered(tt.pattern, tt.by); all != tt.all || some != tt.some || known != tt.known {
			t.Errorf("%s by %s: %t, %t, %t, want %t, %t, %t", tt.pattern, tt.by, all, some, known, tt.all, tt.some, tt.known)
		}
	}
}

// TestCoveredAgreesWithRegexp: of texts that two patterns take, what covered says holds.
func TestCoveredAgreesWithRegexp(t *testing.T) {
	patterns := []string{`^[0-9]{1,3}$`, `a|b`, `^a`, `b$`, `^(ab)*$`, `[^a]`, `^a?b?$`, `.`, `^.{2}$`, `(?i)A`, numberForm, wholeForm}
	texts := []string{""}
	for range 4 {
		for _, s := range texts {
			for _, r := range "ab1.-B" {
				texts = append(texts, s+string(r))
			}
		}
		if len(texts) > 5000 {
			break
		}
	}
	for _, a := range patterns {
		for _, b := range patterns {
			all, some, known := covered(a, b)
			if !known {
				t.Errorf("%s by %s is not known", a, b)
			}
			fitsA, fitsB := regexp.MustCompile(a), regexp.MustCompile(b)
			for _, s := range texts {
				inA, inB := fitsA.MatchString(s), fitsB.MatchString(s)
				if inA && inB && !some || inA && !inB && all {
					t.Errorf("%s by %s: all %t, some %t, and %q fits %t, %t", a, b, all, some, s, inA, inB)
				}
			}
		}
	}
}

// TestHardPatternsEndAfterSoManySteps: in classes with a thousand borders, in repetitions, and in both. What is said of them is that nothing is known.
func TestHardPatternsEndAfterSoManySteps(t *testing.T) {
	const overrun = 20_000 // what is looked at between two looks at the count
	for _, tt := range []struct {
		pattern, by string
		most        steps
		known       bool
	}{
		{`^[\pL\pN]{1,40}$`, `^[\pL\pN _-]{0,80}$`, 20_000, true},
		{`^[\pL\d]{0,500}$`, `(?s)^.{0,1000}$`, 50_000, true},
		{`(?s)^.{0,1000}$`, timeForm, 5_000, true},
		{`^(\pL\pN?){300}$`, `^(\pN?\pL){300}$`, maxSteps + overrun, true},
		{`(?i)(\pL|\pN|\pP|\pS){250}x`, `\pL{900}`, maxSteps + overrun, false},
		{`\pL.{300}\pN.{300}$`, `\pN.{300}\pL.{300}$`, maxSteps + overrun, false},
		{`^` + strings.Repeat(`[^a\pL]?[^b\pN]?`, 200) + `$`, `^\PZ{0,900}x$`, maxSteps + overrun, false},
		{strings.Repeat(`a{1000}`, 400), numberForm, 10, false},
	} {
		left := steps(maxSteps)
		all, some, known := left.walked(tt.pattern, tt.by)
		if took := maxSteps - left; took > tt.most || known != tt.known || !known && (all || some) {
			t.Errorf("%.60s by %.60s: %d steps, want %d at most; %t, %t, %t", tt.pattern, tt.by, took, tt.most, all, some, known)
		}
	}
}

func TestTheLongestTextOfAPattern(t *testing.T) {
	for pattern, want := range map[string]int{
		`^[0-9]{4}$`: 4, `^[A-Z]{1,3}([.][0-9]{2})?$`: 6, `^(ab|c)$`: 2, `^ab$`: 2, `[0-9]{4}`: 0, `^[0-9]+$`: 0, `^a|b$`: 0, `^(?:[0-9]{2}|x)y?$`: 3,
	} {
		if got, bounded := longestOf(pattern); got != want || bounded != (want > 0) {
			t.Errorf("%s: %d, %t, want %d", pattern, got, bounded, want)
		}
	}
	for want, of := range map[int]schema.Type{12: {Pattern: `^[A-Z]{2}[0-9]{10}$`}, 10: {Pattern: `^[A-Z]{2}[0-9]{10}$`, MaxLength: 10}, 3: {Pattern: `^(ab|[0-9]{3})$`, MaxLength: 40}} {
		if of.Kind = schema.Text; shapeOf(&of).length != want {
			t.Errorf("%s of at most %d: %d characters, want %d", of.Pattern, of.MaxLength, shapeOf(&of).length, want)
		}
	}
}
