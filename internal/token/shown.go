package token

import (
	"encoding/json"
	"encoding/xml"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shown is what was put in for one delivery, so that nothing of the answer to it is kept that repeats it.
type Shown []put

type put struct{ token, value string }

// leastCut is how many characters of a value are taken for it where a document has only its beginning.
const leastCut = 4

// Cuts adds the beginnings of values to which a document has cut them.
func (s Shown) Cuts(document []byte) Shown {
	all := s
	for _, p := range s {
		text := string(document)
		if strings.Contains(text, p.value) {
			continue
		}
		for n := len(p.value) - 1; n >= leastCut; n-- {
			if utf8.ValidString(p.value[:n]) && strings.Contains(text, p.value[:n]) {
				all = append(all, put{p.token, p.value[:n]})
				break
			}
		}
	}
	return all
}

// Scrub has the tokens in the place of the values wherever a text repeats them as a word of their own, as they are or as URLs, JSON and XML
// write them.
func (s Shown) Scrub(text string) string {
	for _, p := range s {
		for _, v := range written(p.value) {
			text = replaceWord(text, v, p.token)
		}
	}
	return text
}

// ScrubBody is Scrub of an answer's body, which stays JSON if it was.
func (s Shown) ScrubBody(text []byte) []byte { return s.ScrubBut(text) }

// ScrubBut is ScrubBody that leaves the values of some fields as they are.
func (s Shown) ScrubBut(text []byte, spared ...string) []byte {
	if len(s) == 0 || len(text) == 0 {
		return text
	}
	if json.Valid(text) {
		out, err := rewrite(text, func(_ []string, value string) (string, error) {
			if slices.Contains(spared, value) {
				return value, nil
			}
			return s.Scrub(value), nil
		})
		if err == nil {
			return out
		}
	}
	return []byte(s.Scrub(string(text)))
}

// written are the ways in which a value is written.
func written(value string) []string {
	var x strings.Builder
	_ = xml.EscapeText(&x, []byte(value)) // a Builder takes everything
	return []string{value, strings.Trim(string(quoted(value)), `"`), url.QueryEscape(value), url.PathEscape(value), x.String()}
}

// replaceWord replaces a word: what it is a part of stays, so that no quantity changes for the sake of a short number.
func replaceWord(text, word, by string) string {
	if word == "" || !strings.Contains(text, word) {
		return text
	}
	var out strings.Builder
	for {
		i := strings.Index(text, word)
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(word):])
		out.WriteString(text[:i])
		if i > 0 && inWord(before) || i+len(word) < len(text) && inWord(after) {
			out.WriteString(word)
		} else {
			out.WriteString(by)
		}
		text = text[i+len(word):]
	}
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
