package main

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/internal/mes"
)

// TestRoutesMayNameWhatTheLibraryMaps: a kind that has a mapping and is missing from the plant's kinds could not be routed.
func TestRoutesMayNameWhatTheLibraryMaps(t *testing.T) {
	files, err := fs.Glob(mapping.Library(), "erp-out/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{mes.OrderStartedKind} // the plain ERP has no document for it
	for _, f := range files {
		kind := strings.TrimSuffix(strings.TrimPrefix(f, "erp-out/"), ".yaml")
		if !strings.HasSuffix(kind, ".example") {
			got = append(got, kind)
		}
	}
	want := plantKinds()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the library maps %q, routes may name %q", got, want)
	}
}
