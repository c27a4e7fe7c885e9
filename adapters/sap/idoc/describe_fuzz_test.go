package idoc

import "testing"

// FuzzDescriptions reads descriptions of types, of this program's own form and of WE60: of a type that was read, documents can be read.
func FuzzDescriptions(f *testing.F) {
	f.Add("BEGIN_RECORD_SECTION\n BEGIN_IDOC LOIPRO02\n BEGIN_SEGMENT_SECTION\n  BEGIN_IDOC LOIPRO02\n   BEGIN_SEGMENT E1AFKOL\n    END_SEGMENT\n END_IDOC\nEND_RECORD_SECTION")
	f.Add("type\tLOIPRO02\tLOIPRO\tProduction order\nsegment\tE1AFKOL\t1\nfield\tAUFNR\t12\tchar")
	f.Fuzz(func(_ *testing.T, text string) {
		for _, read := range []func(Types) error{
			func(ts Types) error { return ts.readWE60("x.txt", text) }, func(ts Types) error { return ts.read("x.tsv", text) },
		} {
			types := Types{}
			if read(types) == nil {
				_, _ = ReadXML([]byte(order), types, Limits{Bytes: 1 << 16, Segments: 100, IDocs: 5}) // whatever it says of a document
			}
		}
	})
}
