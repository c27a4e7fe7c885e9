package main

import (
	"debug/buildinfo"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestABillIsHeldAgainstItsProgram, which is this test itself: a bill that is right, and one mistake at a time.
func TestABillIsHeldAgainstItsProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(bill map[string]string)
		rules  string
		want   string // part of the error; "" is for none
	}{
		{"right", func(map[string]string) {}, "allow MIT", ""},
		{"a module that is not in the program", func(b map[string]string) { b["example.com/a"] = "v1.0.0" }, "allow MIT", "module example.com/a v1.0.0 stands in the bill"},
		{"a module that is missing", func(b map[string]string) { delete(b, "std") }, "allow MIT", "is in the program and not in the bill"},
		{"another version", func(b map[string]string) { b["std"] = "go1.0" }, "allow MIT", "stands in the bill; the program has"},
		{"a licence that is not allowed", func(map[string]string) {}, "allow BSD-3-Clause", "its licence MIT is not allowed"},
		{"a licence found by eye", func(map[string]string) {}, "allow MIT\nallow BSD-3-Clause\nmodule std BSD-3-Clause # read", ""},
		{"a rule that serves for nothing", func(map[string]string) {}, "allow MIT\nmodule example.com/gone MIT", "is not in the program any more"},
		{"what must never be in", func(map[string]string) {}, "allow MIT\nnever std", "module std must not be in the program"},
		{"no rule", func(map[string]string) {}, "allow", "licences.txt:1: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bill := built(info)
			tt.change(bill)
			dir := t.TempDir()
			err := check(writeBill(t, dir, bill), self, writeText(t, dir, "licences.txt", tt.rules), "", io.Discard)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestLicencesAreListed: a line for each module of the program, none for a bill that is refused.
func TestLicencesAreListed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bill, list := writeBill(t, dir, built(info)), filepath.Join(dir, "list.txt")
	if err := check(bill, self, writeText(t, dir, "no.txt", "allow ISC"), list, io.Discard); err == nil {
		t.Error("a licence that is not allowed passed")
	}
	if _, err := os.Stat(list); !os.IsNotExist(err) {
		t.Errorf("a refused bill has a list: %v", err)
	}
	if err := check(bill, self, writeText(t, dir, "yes.txt", "allow MIT\nallow BSD-3-Clause\nmodule std BSD-3-Clause"), list, io.Discard); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(list)
	if want := "std " + info.GoVersion + " BSD-3-Clause\n"; err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("got %q, %v, want it to end in %q", got, err, want)
	}
}

func writeBill(t *testing.T, dir string, modules map[string]string) string {
	t.Helper()
	components := []any{}
	for path, version := range modules {
		components = append(components, map[string]any{"name": path, "version": version, "licenses": []any{map[string]any{"license": map[string]any{"id": "MIT"}}}})
	}
	b, err := json.Marshal(map[string]any{"components": components})
	if err != nil {
		t.Fatal(err)
	}
	return writeText(t, dir, "bill.json", string(b))
}

func writeText(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
