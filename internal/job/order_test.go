package job_test

import (
	"encoding/json"
	"slices"
	"strings"
)

func unmarshal(text []byte, v any) error { return json.Unmarshal(text, v) }

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// inLanes tells whether what came of each lane came in the order of its numbers.
func inLanes(got []string) bool {
	last := map[string]string{}
	for _, g := range got {
		lane, number, _ := strings.Cut(g, "-")
		if number <= last[lane] {
			return false
		}
		last[lane] = number
	}
	return true
}
