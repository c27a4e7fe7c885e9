package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/problem"
)

// jsonFlag is -o, and --json, its short form for programs, of every command that prints what is.
func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON; the same as -o json")
	f := format("table")
	cmd.Flags().VarP(&f, "output", "o", "how to print it: table, json, ndjson (one object a line) or csv")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is defined one line above
}

// actFlag is -o and --json of a command that changes something, which says by outcome what it has done.
func actFlag(cmd *cobra.Command) { jsonFlag(cmd, new(bool)) }

// acted is what an act has done, as --json prints it.
type acted struct {
	Act    string `json:"act"`           // the command, such as msg retry
	Object string `json:"object"`        // an ID, a name or a number
	Done   string `json:"done"`          // in words
	Now    any    `json:"now,omitempty"` // the object after it, as list has it
}

// outcome prints what an act has done to an object: a sentence, or with --json that and the object as it is now.
func outcome(cmd *cobra.Command, object string, now any, format string, args ...any) error {
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), acted{verb(cmd), object, fmt.Sprintf(format, args...), now})
	}
	return sentence(cmd.OutOrStdout(), format, args...)
}

// wantsJSON tells whether a command is to print JSON.
func wantsJSON(cmd *cobra.Command) bool {
	as, err := cmd.Flags().GetBool("json")
	return err == nil && as
}

var formats = []string{"table", "json", "ndjson", "csv"}

// format is the value of -o.
type format string

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	if !slices.Contains(formats, s) {
		return errors.New("it is one of " + strings.Join(formats, ", "))
	}
	*f = format(s)
	return nil
}

// printFormats has each command below cmd that knows -o print what was asked for: ndjson and csv are made of its JSON, so that all forms
// of one command say the same.
func printFormats(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		printFormats(c)
	}
	if cmd.Flags().Lookup("output") == nil || cmd.RunE == nil {
		return
	}
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f := cmd.Flags().Lookup("output").Value.String()
		if f == "table" {
			return run(cmd, args)
		}
		if err := cmd.Flags().Set("json", "true"); err != nil {
			return err
		}
		if f == "json" {
			return run(cmd, args)
		}
		var text captured
		to := cmd.OutOrStdout()
		cmd.SetOut(&text)
		err := run(cmd, args)
		cmd.SetOut(to)
		if text.Len() == 0 {
			return err
		}
		return errors.Join(err, convert(to, &text, f))
	}
}

// captured is the JSON that a command has printed, and the members that a row of its list has: an empty list shows none.
type captured struct {
	bytes.Buffer
	head []string
}

// of notes what a list that is about to be printed has in its rows.
func (p *captured) of(v any) {
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Slice {
		p.head = columns(t.Elem())
	}
}

// columns are the members that encoding/json writes of a type, in their order.
func columns(t reflect.Type) (names []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			names = append(names, columns(f.Type)...)
		default:
			names = append(names, cmp.Or(name, f.Name))
		}
	}
	return names
}

// member is one member of a JSON object, in the place in which it was written.
type member struct {
	name  string
	value json.RawMessage
}

// convert prints a JSON list, or one object, as ndjson or csv.
func convert(w io.Writer, text *captured, as string) error {
	rows, err := objects(text.Bytes())
	if err != nil {
		return fmt.Errorf("print as %s: %w", as, err)
	}
	if as == "csv" {
		return writeCSV(w, rows, text.head)
	}
	for _, row := range rows {
		var line bytes.Buffer
		if err := json.Compact(&line, row); err != nil {
			return fmt.Errorf("print a line: %w", err)
		}
		if _, err := fmt.Fprintf(w, "%s\n", line.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// objects are those of a list, or the one that there is.
func objects(text []byte) ([]json.RawMessage, error) {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] != '[' {
		return []json.RawMessage{text}, nil
	}
	var list []json.RawMessage
	err := json.Unmarshal(text, &list)
	return list, err
}

// writeCSV prints objects in columns, one for each member that one of them has, in the order in which they come up (RFC 4180); of none at all
// the header that they would have.
func writeCSV(w io.Writer, rows []json.RawMessage, would []string) error {
	var head []string
	if len(rows) == 0 {
		head = would
	}
	all := make([][]member, 0, len(rows))
	for _, row := range rows {
		ms, err := members(row)
		if err != nil {
			return err
		}
		for _, m := range ms {
			if !slices.Contains(head, m.name) {
				head = append(head, m.name)
			}
		}
		all = append(all, ms)
	}
	out := csv.NewWriter(w)
	if len(head) == 0 {
		return nil
	}
	lines := [][]string{head}
	for _, ms := range all {
		line := make([]string, len(head))
		for _, m := range ms {
			line[slices.Index(head, m.name)] = cell(m.value)
		}
		lines = append(lines, line)
	}
	return out.WriteAll(lines)
}

// members are those of a JSON object, in their order.
func members(text json.RawMessage) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, &problem.Error{Kind: problem.Internal, What: "print a table as csv", Why: "a row of it is no object", Cause: err}
	}
	var out []member
	for d.More() {
		name, err := d.Token()
		var m member
		if err == nil {
			m.name, _ = name.(string)
			err = d.Decode(&m.value)
		}
		if err != nil {
			return nil, fmt.Errorf("read a row: %w", err)
		}
		out = append(out, m)
	}
	return out, nil
}

// cell is a JSON value as a cell: a text without its quotes, nothing for null, all else as it is. A text that a spreadsheet would take for
// a formula gets an apostrophe before it.
func cell(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		var line bytes.Buffer
		_ = json.Compact(&line, v) // it was parsed before
		return line.String()
	}
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
