package edm

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// outline writes a tree in one line for each element.
func (n *node) outline(b *strings.Builder) {
	b.WriteString(n.space + " " + n.name)
	for _, a := range n.attrs {
		b.WriteString(" " + a.space + " " + a.name + "=" + a.value)
	}
	b.WriteString("\n")
	for _, c := range n.nodes {
		c.outline(b)
	}
	b.WriteString("end\n")
}

// outlineByStandard is the same outline by encoding/xml; ok is false for what it does not read.
func outlineByStandard(text []byte) (string, bool) {
	var b strings.Builder
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), true
		}
		if err != nil {
			return "", false
		}
		switch t := t.(type) {
		case xml.Directive:
			return "", false
		case xml.StartElement:
			b.WriteString(t.Name.Space + " " + t.Name.Local)
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					b.WriteString(" " + a.Name.Space + " " + a.Name.Local + "=" + a.Value)
				}
			}
			b.WriteString("\n")
		case xml.EndElement:
			b.WriteString("end\n")
		}
	}
}

// FuzzReadsAsTheStandardLibraryDoes: what both read, they read as the same tree.
func FuzzReadsAsTheStandardLibraryDoes(f *testing.F) {
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml"} {
		text, err := os.ReadFile("../testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`<a x='1"2' y = "&lt;&#65;&#x42;"><!-- c --><b:c xmlns:b="urn:b" b:d="e"/><![CDATA[ <t> ]]>text</a>`))
	f.Add([]byte(`<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"/><p:c/></p:a>`))
	for _, text := range unqualified {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := read(text)
		want, ok := outlineByStandard(text)
		if err != nil || !ok || bytes.ContainsAny(text, "\r") || strings.Contains(string(text), "xml:") {
			return
		}
		var b strings.Builder
		n.outline(&b)
		if got := b.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestTheStandardLibraryAgrees on the documents of these tests, and on what makes XML hard.
func TestTheStandardLibraryAgrees(t *testing.T) {
	texts := []string{
		`<a x='1"2' y = "&lt;&#65;&#x42;"><!-- c --><b:c xmlns:b="urn:b" b:d="e"/><![CDATA[ <t> ]]>text</a>`,
		`<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"/><p:c/></p:a>`, "<?xml version='1.0'?>\n<a  >\n</a >",
	}
	for _, file := range []string{"confirmation-v2.xml", "confirmation-v4.xml", "order-v2.xml", "material-document-v2.xml"} {
		text, err := os.ReadFile("../testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		n, err := read([]byte(text))
		want, ok := outlineByStandard([]byte(text))
		if err != nil || !ok {
			t.Fatalf("%.60s: %v, %t", text, err, ok)
		}
		var b strings.Builder
		if n.outline(&b); b.String() != want {
			t.Errorf("%.60s: got\n%s\nwant\n%s", text, b.String(), want)
		}
	}
}

// unqualified are documents with names whose colons make no QName; encoding/xml takes them for names without a prefix.
var unqualified = []string{
	`<a :="x"/>`, `<a :b="x"/>`, `<a xmlns:b="urn:b" b:="x"/>`, `<a xmlns:="x"/>`, `<a xmlns:b="urn:b" b:c:d="x"/>`,
	`<:/>`, `<:a/>`, `<a:/>`, `<b:c:d xmlns:b="urn:b"/>`,
}

func TestANameThatIsNotQualifiedIsRefused(t *testing.T) {
	for _, text := range unqualified {
		if _, err := read([]byte(text)); err == nil || !strings.Contains(err.Error(), "is no name of XML") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestWhatIsNotWellFormedIsRefusedWithItsLine: encoding/xml takes an attribute that is there twice, of which a service would mean one.
func TestWhatIsNotWellFormedIsRefusedWithItsLine(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an attribute twice", "<a>\n<b Name='x' Type='y' Name='z'/></a>", "line 2: the tag b has the attribute Name twice"},
		{"one by two prefixes", "<a xmlns:p='urn:1'\n xmlns:q='urn:1' p:x='1' q:x='2'/>", "has the attribute x twice"},
		{"a prefix twice", "<a xmlns:p='urn:1' xmlns:p='urn:2'/>", `binds the prefix "p" twice`},
		{"a prefix anew below", "<a xmlns:p='urn:1' p:x='1'><b xmlns:p='urn:2' p:x='2'/></a>", ""},
		{"the same name with and without a prefix", "<a xmlns:p='urn:1' p:x='1' x='2'/>", ""},
		{"a NUL", "<a>\n\n\x00</a>", "line 3: U+0000 is no character of XML"},
		{"a NUL as a reference", "<a x='&#0;'/>", "must be escaped"},
		{"another control as a reference", "<a x='&#x1;'/>", "must be escaped"},
		{"a tab", "<a x='\t&#9;'/>", ""},
		{"too many attributes", "<a " + strings.Repeat("x='1' ", 300) + "/>", "more than 200 attributes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read([]byte(tt.text))
			if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
