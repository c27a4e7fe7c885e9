package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/message"
)

// TestShippedTablesOfUnitsAreOfTheRightCodes holds each row of a shipped table of units against the units that Holdfast knows: the plant's side is
// UN/CEFACT's code (Recommendations 20 and 21), SAP's the one that it has for the same unit, as people see it in English or internally.
func TestShippedTablesOfUnitsAreOfTheRightCodes(t *testing.T) {
	var u units
	if err := u.fill(nil); err != nil {
		t.Fatal(err)
	}
	english := map[string]string{"CAR": "KAR", "DAY": "TAG", "STD": "H"}                       // as SAP shows its internal code in English; STD is another of the hour's
	same := map[string]string{"PCE": "H87", "BX": "CT", "KAR": "CT", "ST": "H87", "PC": "H87"} // a box is a carton to SAP, and a piece has several codes
	named := func(all map[string]*unit, code string) string {
		if one := all[code]; one != nil {
			return one.codes["unece"]
		}
		return ""
	}
	row := regexp.MustCompile(`"?(\w+)"?: "?(\w+)"?`)
	rows := 0
	err := fs.WalkDir(Library(), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".yaml") || !strings.HasPrefix(file, "sap-") {
			return err
		}
		text, err := fs.ReadFile(Library(), file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			name, of, _ := strings.Cut(strings.TrimSpace(line), ": ")
			_, of, has := strings.Cut(of, "rows: {")
			if !slices.Contains([]string{"unit", "iso"}, name) || !has {
				continue
			}
			for _, m := range row.FindAllStringSubmatch(of, -1) {
				plant, sap := m[1], m[2]
				if strings.Contains(file, "-in/") {
					plant, sap = sap, plant
				}
				rows++
				ours, theirs := named(u.byCode["unece"], plant), named(u.byCode["sap"], sap)
				if internal, ok := english[sap]; ok {
					theirs = named(u.byCode["sap"], internal)
				}
				if name == "iso" {
					theirs = named(u.byCode["unece"], sap)
				}
				for _, code := range []*string{&ours, &theirs} {
					if one, ok := same[*code]; ok {
						*code = one
					}
				}
				if ours == "" || ours != theirs {
					t.Errorf("%s, table %s: the plant's %s is UN/CEFACT's %q, SAP's %s is %q", file, name, plant, ours, sap, theirs)
				}
			}
		}
		return nil
	})
	if err != nil || rows < 200 {
		t.Errorf("%d rows of units, %v", rows, err)
	}
}

// TestTheShippedUnitsAreOfTheVersion: another factor in the shipped table is another version of each mapping, in whatever release.
//
// It fails at its end if somebody edited units.csv. Then leave firstUnits as it is: versions change with the table, sets that were kept without a table
// are no longer asked for by their versions (LoadKept), and CHANGELOG.md says so. Put the new digest into the test.
func TestTheShippedUnitsAreOfTheVersion(t *testing.T) {
	m := &fstest.MapFile{Data: []byte("from: {kind: test.happened}\nto: {operation: post}\nfields: {a: 'convert(decimal(src.a), \"LTR\", \"MLT\")'}")}
	load := func(table []byte, own fstest.MapFS) (version, made string) {
		t.Helper()
		first := fstest.MapFS{"m.yaml": m}
		if table != nil {
			first[KeptUnits] = &fstest.MapFile{Data: table}
		}
		s, err := LoadKept(first, own)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Try(t.Context(), "m", message.Message{ID: "1", Kind: "test.happened", Version: 1, Body: []byte(`{"a":"1"}`)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out.Version, string(out.Body)
	}
	row := regexp.MustCompile(`(?m)^(LTR,.*),1,1,litre$`)
	if !row.Match(shippedUnits) {
		t.Fatal("the shipped table has no row of the litre with the factor 1")
	}
	other := row.ReplaceAll(shippedUnits, []byte("$1,2,1,litre"))
	today, made := load(nil, nil)
	if same, _ := load(shippedUnits, nil); same != today || today != "m@cd749d57238b" {
		t.Errorf("by the first table the version is %s and %s, want that of the releases before", today, same)
	}
	if version, otherwise := load(other, nil); version == today || otherwise == made {
		t.Errorf("by another table %s makes %s, by the first %s makes %s", version, otherwise, today, made)
	}
	if one, two := version(load(other, nil)), version(load(nil, fstest.MapFS{"units.csv": {Data: other}})); one == two {
		t.Errorf("the shipped table as the plant's own is the version %s too", one)
	}
	if digest := sha256.Sum256(shippedUnits); hex.EncodeToString(digest[:]) != firstUnits || UnitsToKeep() != nil {
		t.Errorf("units.csv has the digest %x now: see above", digest)
	}
}

func version(version, _ string) string { return version }

// TestUnitsOfSAPAreWhatTheGuidesSay: OData has the codes that people see in English, IDocs and the scheme sap the internal ones, and both guides say so.
// What comes in may have either.
func TestUnitsOfSAPAreWhatTheGuidesSay(t *testing.T) {
	var u units
	if err := u.fill(nil); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{"CT": "KAR", "DAY": "TAG", "H87": "ST", "PCE": "PC"} {
		if got, err := u.code(code, "unece", "sap"); got != want || err != nil {
			t.Errorf("unitCode(%q, unece, sap) is %q, %v, want %q", code, got, err, want)
		}
	}
	for file, never := range map[string][]string{
		"sap-out/goods.issued.yaml": {"KAR", "TAG", "ST"}, "sap-out/operation.confirmed.yaml": {"KAR", "TAG", "ST"}, "sap-out/order.created.yaml": {"KAR", "TAG", "ST"},
		"sap-idoc-out/goods.issued.yaml": {"CAR"}, "sap-idoc-out/operation.confirmed.yaml": {"CAR"},
	} {
		text, err := fs.ReadFile(Library(), file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range never {
			if regexp.MustCompile(`: ` + code + `[,}]`).Match(text) {
				t.Errorf("%s writes %s", file, code)
			}
		}
	}
	for _, file := range []string{"sap-in/material.yaml", "sap-in/production-order.yaml"} {
		text, err := fs.ReadFile(Library(), file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"PC", "ST", "DAY", "TAG", "CAR", "KAR"} {
			if !regexp.MustCompile(`[{ ]` + code + `: `).Match(text) {
				t.Errorf("%s does not read %s", file, code)
			}
		}
	}
	for _, guide := range []string{"mapping-guide.md", "sap-guide.md"} {
		text, err := os.ReadFile("../../docs/" + guide)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "(PC, DAY, CAR; internally ST, TAG, KAR)") {
			t.Errorf("%s does not say which codes SAP's OData services have", guide)
		}
	}
}
