package main

import (
	"bytes"
	"testing"
)

func TestTablesFitTheTerminal(t *testing.T) {
	rows := []string{"erp\to1\tparked\tthe material does not exist in plant 1000 yet", "erp\to22\topen\t-"}
	tests := []struct {
		name    string
		columns string
		want    string
	}{
		{"wide enough", "80", "" +
			"LINK  LANE  STATE   WHY\n" +
			"erp   o1    parked  the material does not exist in plant 1000 yet\n" +
			"erp   o22   open    -\n"},
		{"words are wrapped", "56", "" +
			"LINK  LANE  STATE   WHY\n" +
			"erp   o1    parked  the material does not exist in plant\n" +
			"                    1000 yet\n" +
			"erp   o22   open    -\n"},
		{"columns are folded", "34", "" +
			"LINK  LANE  STATE\n  WHY\n" +
			"erp   o1    parked\n  the material does not exist in\n  plant 1000 yet\n" +
			"erp   o22   open\n  -\n"},
		{"a cell is never cut", "4", "" +
			"LINK\n  LANE\n  STATE\n  WHY\n" +
			"erp\n  o1\n  parked\n  the\n  material\n  does\n  not\n  exist\n  in\n  plant\n  1000\n  yet\n" +
			"erp\n  o22\n  open\n  -\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("COLUMNS", tt.columns)
			var got bytes.Buffer
			if err := table(&got, "LINK\tLANE\tSTATE\tWHY", rows); err != nil {
				t.Fatal(err)
			}
			if got.String() != tt.want {
				t.Errorf("got\n%swant\n%s", got.String(), tt.want)
			}
		})
	}
}

func TestACommandStaysWhole(t *testing.T) {
	t.Setenv("COLUMNS", "30")
	var got bytes.Buffer
	if err := sentence(&got, "its lane is paused, let it go on with: holdfast lane resume erp %s --reason …", "01a218f8-9f80-7f2d"); err != nil {
		t.Fatal(err)
	}
	want := "its lane is paused, let it go\n  on with:\n  holdfast lane resume erp 01a218f8-9f80-7f2d --reason …\n"
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}
