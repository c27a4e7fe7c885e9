package edm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/odata/edm"
)

// setRead is an entity set as a parser reads it.
type setRead struct {
	Key    []string             `json:"key"`
	Fields map[string]fieldRead `json:"fields"`
	Links  []string             `json:"links"`
}

// fieldRead is a field of it.
type fieldRead struct {
	Type   string `json:"type"`
	Length int    `json:"length"`
	Null   bool   `json:"null"`
}

// TestSAPsOwnParserReadsTheSame in the documents of ours that are written after SAP's: sets, keys, fields with type, length and null, and links.
func TestSAPsOwnParserReadsTheSame(t *testing.T) {
	server := os.Getenv("HOLDFAST_TEST_CAP")
	if server == "" {
		t.Skip("no CAP server: set HOLDFAST_TEST_CAP (docs/odata.md)")
	}
	var files []string
	for _, folder := range []string{"../testdata", "../../sap/metadata"} {
		found, err := filepath.Glob(folder + "/*.xml")
		if err != nil || len(found) < 4 {
			t.Fatalf("%s has %d documents, %v", folder, len(found), err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := edm.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(reread(t, server, text), ourReading(m)); diff != "" {
				t.Errorf("SAP's reading and ours (-SAP +ours):\n%s", diff)
			}
		})
	}
}

// reread has SAP's parser read a document.
func reread(t *testing.T, server string, text []byte) (out map[string]setRead) {
	t.Helper()
	r, err := http.Post(server+"/control/edmx", "application/xml", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode == http.StatusNoContent {
		t.Skip("the CAP server is older than this tree: deploy/dev/services up")
	}
	said, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(said, &out)
	}
	if err != nil {
		t.Fatalf("%s: %v", said, err)
	}
	return out
}

// ourReading is what our own parser makes of it.
func ourReading(m *edm.Model) map[string]setRead {
	out := map[string]setRead{}
	for name, s := range m.Sets {
		if s.Singleton {
			continue
		}
		r := setRead{Key: s.Of.Key, Fields: map[string]fieldRead{}, Links: []string{}}
		for _, f := range s.Of.Fields {
			r.Fields[f.Name] = fieldRead{f.Type, f.MaxLength, f.Nullable}
		}
		for _, l := range s.Of.Links {
			r.Links = append(r.Links, l.Name)
		}
		slices.Sort(r.Links)
		out[name] = r
	}
	return out
}
