package strict

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Varied is a struct that has other keys beside its own, depending on what stands at one of them.
type Varied interface {
	// Variants names the key that chooses, and gives for each of its values a pointer to the struct whose keys go with it.
	Variants() (key string, parts map[string]any)
}

// variants are the keys of a Varied that do not go with what was chosen.
type variants struct {
	key, chosen string              // "" if none of the values was chosen
	elsewhere   map[string][]string // the values that each of the other keys goes with, in order
}

// vary adds to fields those that go with the value of the choosing key in n.
func vary(n *yaml.Node, v reflect.Value, fields map[string]reflect.Value) variants {
	out := variants{elsewhere: map[string][]string{}}
	varied, ok := v.Addr().Interface().(Varied)
	if !ok {
		return out
	}
	key, parts := varied.Variants()
	out.key = key
	for i := 0; i+1 < len(n.Content); i += 2 {
		if _, known := parts[n.Content[i+1].Value]; known && n.Content[i].Value == key {
			out.chosen = n.Content[i+1].Value
		}
	}
	for _, value := range slices.Sorted(maps.Keys(parts)) {
		for name, f := range fieldsOf(reflect.ValueOf(parts[value]).Elem()) {
			if value == out.chosen {
				fields[name] = f
			} else {
				out.elsewhere[name] = append(out.elsewhere[name], value)
			}
		}
	}
	return out
}

// misplaced reports a key that goes with another value of the choosing key, and tells whether it is one. Where nothing was chosen,
// nobody can say that it is wrong: whoever checks the value says so.
func (d *decoder) misplaced(key *yaml.Node, below string, in variants) bool {
	values, known := in.elsewhere[key.Value]
	if known && in.chosen != "" {
		d.wrong(key, below, "it does not go with "+in.key+": "+in.chosen, "leave it out; it is a key of "+in.key+": "+strings.Join(values, ", "))
	}
	return known
}
