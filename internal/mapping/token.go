package mapping

import (
	"slices"
	"strings"
	"unicode"
)

// token is a piece of an expression, for a person who wrote it in another language's words.
type token struct {
	kind      tokenKind
	text      string
	line, col int  // of its first character, from 1
	glued     bool // nothing stands between it and the one before
}

type tokenKind int

const (
	wordToken tokenKind = iota
	numberToken
	textToken
	openText // a text without its second quote
	signToken
	strayToken // a character that begins nothing
)

// endsValue tells whether a value may end with the token.
func (t token) endsValue() bool {
	return t.kind == wordToken && t.text != "in" || t.kind == numberToken || t.kind == textToken || t.is(")", "]", "}")
}

// is tells whether the token is one of these signs.
func (t token) is(signs ...string) bool { return t.kind == signToken && slices.Contains(signs, t.text) }

// beginsValue tells whether a value begins with the token, and cannot stand behind another value without an operator between.
func (t token) beginsValue() bool {
	return t.kind == wordToken && t.text != "in" || t.kind == numberToken || t.kind == textToken || t.kind == openText
}

// scanner cuts an expression into tokens.
type scanner struct {
	text      []rune
	at        int
	line, col int
}

// signs are those that are one token, the longest first. Some are of other languages.
func signs() []string {
	return []string{"===", "!==", "==", "!=", "<=", ">=", "<>", "=>", "=<", "&&", "||", "**", "??", "?.", "?:", ":=", ".?"}
}

func tokens(text string) (all []token) {
	s := &scanner{text: []rune(text), line: 1, col: 1}
	for {
		before := s.at
		s.blanks()
		if s.at == len(s.text) {
			return all
		}
		t := token{line: s.line, col: s.col, glued: before == s.at && before > 0}
		start := s.at
		t.kind = s.next()
		t.text = string(s.text[start:s.at])
		all = append(all, t)
	}
}

func (s *scanner) peek(n int) rune {
	if s.at+n < len(s.text) {
		return s.text[s.at+n]
	}
	return 0
}

func (s *scanner) skip(n int) {
	for ; n > 0 && s.at < len(s.text); n-- {
		if s.col++; s.text[s.at] == '\n' {
			s.line, s.col = s.line+1, 1
		}
		s.at++
	}
}

// blanks passes over blanks and remarks, as CEL has them.
func (s *scanner) blanks() {
	for s.at < len(s.text) {
		switch c := s.peek(0); {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			s.skip(1)
		case c == '/' && s.peek(1) == '/':
			for s.at < len(s.text) && s.peek(0) != '\n' {
				s.skip(1)
			}
		default:
			return
		}
	}
}

func (s *scanner) next() tokenKind {
	c := s.peek(0)
	switch {
	case c == '"' || c == '\'':
		return s.quoted(false)
	case strings.ContainsRune("rRbB", c) && (s.peek(1) == '"' || s.peek(1) == '\''):
		s.skip(1)
		return s.quoted(unicode.ToLower(c) == 'r')
	case letter(c):
		for letter(s.peek(0)) || digit(s.peek(0)) {
			s.skip(1)
		}
		return wordToken
	case digit(c):
		for digit(s.peek(0)) || letter(s.peek(0)) || s.peek(0) == '.' && digit(s.peek(1)) {
			s.skip(1)
		}
		return numberToken
	}
	for _, sign := range signs() {
		if strings.HasPrefix(string(s.text[s.at:min(len(s.text), s.at+3)]), sign) {
			s.skip(len(sign))
			return signToken
		}
	}
	s.skip(1)
	if strings.ContainsRune("+-*/%<>!?:.,()[]{}=", c) {
		return signToken
	}
	return strayToken
}

// quoted passes over a text to its second quote; in one that is raw a backslash is itself.
func (s *scanner) quoted(raw bool) tokenKind {
	quote := s.peek(0)
	long := s.peek(1) == quote && s.peek(2) == quote
	if s.skip(1); long {
		s.skip(2)
	}
	for s.at < len(s.text) {
		switch c := s.peek(0); {
		case c == '\\' && !raw:
			s.skip(2)
		case c == '\n' && !long:
			return openText
		case c == quote && !long:
			s.skip(1)
			return textToken
		case c == quote && s.peek(1) == quote && s.peek(2) == quote:
			s.skip(3)
			return textToken
		default:
			s.skip(1)
		}
	}
	return openText
}

func letter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func digit(c rune) bool  { return c >= '0' && c <= '9' }
