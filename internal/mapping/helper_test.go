package mapping_test

import (
	"regexp"
	"strings"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// unversioned hides the hash, which changes with each letter of a mapping.
func unversioned(s string) string {
	return regexp.MustCompile(`@[0-9a-f]{12}`).ReplaceAllString(s, "@VERSION")
}
