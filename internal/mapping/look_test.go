package mapping

import (
	"strings"
	"testing"
)

// TestOneChangedMappingIsCompiledAlone: what is typed into the page is compiled, and every other mapping of the set is the one that it was.
func TestOneChangedMappingIsCompiledAlone(t *testing.T) {
	set, err := Load(Library())
	if err != nil {
		t.Fatal(err)
	}
	const name = "erp-out/operation.confirmed"
	look, _ := set.Look(name)
	next, err := set.With(name+".yaml", []byte(strings.Replace(string(look.Text), "confirmation.yield", "confirmation.scrap", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range set.Names() {
		if same := set.byName[n] == next.byName[n]; same == (n == name) {
			t.Errorf("%s is the same: %t", n, same)
		}
	}
}
