package mapping

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestShippedTablesOfUnitsAreOfTheRightCodes holds each row of a shipped table of units against the units that Holdfast knows: the plant's side is
// UN/CEFACT's code (Recommendations 20 and 21), SAP's the one that it has for the same unit, as people see it in English or internally.
func TestShippedTablesOfUnitsAreOfTheRightCodes(t *testing.T) {
	var u units
	if err := u.fill(); err != nil {
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
