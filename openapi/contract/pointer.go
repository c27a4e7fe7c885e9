package contract

import (
	"net/url"
	"strconv"
	"strings"
)

// Lookup gives the value at a JSON pointer (RFC 6901) inside a decoded one; the empty pointer is the whole value.
func Lookup(v any, ptr string) (any, bool) { return find(v, tokens(ptr)) }

// find gives the value at a place inside a decoded one.
func find(v any, at []string) (any, bool) {
	for _, tok := range at {
		switch c := v.(type) {
		case map[string]any:
			n, ok := c[tok]
			if !ok {
				return nil, false
			}
			v = n
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(c) {
				return nil, false
			}
			v = c[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// escape writes one token of a JSON pointer (RFC 6901 section 3).
func escape(tok string) string {
	if !strings.ContainsAny(tok, "~/") {
		return tok
	}
	return strings.ReplaceAll(strings.ReplaceAll(tok, "~", "~0"), "/", "~1")
}

func unescape(tok string) string {
	if !strings.Contains(tok, "~") {
		return tok
	}
	return strings.ReplaceAll(strings.ReplaceAll(tok, "~1", "/"), "~0", "~")
}

// tokens takes a pointer apart; the empty pointer has none.
func tokens(ptr string) []string {
	if ptr == "" {
		return nil
	}
	toks := strings.Split(ptr[1:], "/")
	for i, t := range toks {
		toks[i] = unescape(t)
	}
	return toks
}

// join makes a pointer of tokens.
func join(toks []string) string {
	var b strings.Builder
	for _, t := range toks {
		b.WriteByte('/')
		b.WriteString(escape(t))
	}
	return b.String()
}

// pointerOf gives the pointer in the fragment of a URI.
func pointerOf(uri string) string {
	_, frag, _ := strings.Cut(uri, "#")
	if p, err := url.PathUnescape(frag); err == nil {
		frag = p
	}
	if frag != "" && frag[0] != '/' {
		return "/" + frag
	}
	return frag
}

// unescapeAll decodes the percent signs of path parameters in place.
func unescapeAll(params map[string]string) map[string]string {
	for k, v := range params {
		if p, err := url.PathUnescape(v); err == nil {
			params[k] = p
		}
	}
	return params
}
