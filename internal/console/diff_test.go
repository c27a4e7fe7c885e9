package console_test

import (
	"errors"
	"testing"

	"holdfast/internal/console"
	"holdfast/internal/problem"
)

// TestWhatIsNoJSONIsShownWhere it is none, as an editor counts lines and columns.
func TestWhatIsNoJSONIsShownWhere(t *testing.T) {
	for text, want := range map[string]string{
		`{"yield": "4"}`:                       "",
		`{not json`:                            "line 1, column 2 is not JSON: invalid character 'n' looking for beginning of object key string",
		"{\n  \"text\": \"für\", \"n\": 4,\n}": "line 3, column 1 is not JSON: invalid character '}' looking for beginning of object key string",
		"{\"text\": \"für\" \"n\": 4}":         "line 1, column 16 is not JSON: invalid character '\"' after object key:value pair",
		"":                                     "line 1, column 1 is not JSON: unexpected end of JSON input",
	} {
		err := console.CheckJSON("correct the message", []byte(text))
		p, _ := errors.AsType[*problem.Error](err)
		if got := why(p); got != want || p != nil && p.Kind != problem.Invalid {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func why(p *problem.Error) string {
	if p == nil {
		return ""
	}
	return p.Why
}
