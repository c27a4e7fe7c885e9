package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

// loader reads files and gathers every mistake.
type loader struct {
	fsys     fs.FS
	name     string
	mistakes []error
}

// row is one row of a file.
type row struct {
	l     *loader
	file  string
	line  int
	cells map[string]string
}

func (l *loader) wrong(at, why, hint string) {
	l.mistakes = append(l.mistakes, &problem.Error{Kind: problem.Invalid, What: l.name + "/" + at, Why: why, Hint: hint})
}

// each reads a file row by row. A column that is missing or not known is one mistake, and no row is read then.
func (l *loader) each(file string, columns []string, take func(r row)) {
	text, err := fs.ReadFile(l.fsys, file)
	if err != nil {
		l.wrong(file, "it cannot be read: "+why(err), "a data set has this file, if only with its first row: "+strings.Join(columns, ","))
		return
	}
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))) // spreadsheets write a mark
	in.TrimLeadingSpace = true
	head, err := in.Read()
	if err != nil || !slices.Equal(head, columns) {
		l.wrong(file+":1", "the first row must name the columns", "write "+strings.Join(columns, ","))
		return
	}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		line, _ := in.FieldPos(0)
		if err != nil {
			if p, ok := errors.AsType[*csv.ParseError](err); ok {
				line, err = p.Line, p.Err
			}
			l.wrong(fmt.Sprintf("%s:%d", file, line), err.Error(), "give one value for each of: "+strings.Join(columns, ","))
			if !errors.Is(err, csv.ErrFieldCount) {
				return
			}
			continue
		}
		r := row{l, file, line, map[string]string{}}
		for i, c := range columns {
			r.cells[c] = strings.TrimSpace(cells[i])
		}
		take(r)
	}
}

func why(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "there is no such file"
	}
	return err.Error()
}

func (r row) wrong(column, why, hint string) {
	r.l.wrong(fmt.Sprintf("%s:%d: %s", r.file, r.line, column), why, hint)
}

// text is a cell that must be there and no longer than an ERP keeps.
func (r row) text(column string, most int) string {
	s := r.cells[column]
	switch {
	case s == "":
		r.wrong(column, "it is empty", "give it")
	case len([]rune(s)) > most:
		r.wrong(column, fmt.Sprintf("it has more than %d characters", most), "shorten it")
	}
	return s
}

// among is a cell that has one of some values.
func (r row) among(column string, values ...string) string {
	s := r.cells[column]
	if !slices.Contains(values, s) {
		r.wrong(column, fmt.Sprintf("%q is none of %s", s, strings.Join(values, ", ")), "write one of them")
	}
	return s
}

// number is a decimal above zero; with optional an empty cell is 0.
func (r row) number(column string, optional bool) decimal.Decimal {
	s := r.cells[column]
	if s == "" && optional {
		return decimal.Decimal{}
	}
	d, err := decimal.Parse(s)
	switch {
	case err != nil:
		r.wrong(column, fmt.Sprintf("%q is no decimal number", s), "write it with a point, such as 12.500")
	case d.Sign() <= 0:
		r.wrong(column, s+" is not above zero", "give a quantity above zero")
	case d.Scale() > 6:
		r.wrong(column, s+" has more than six places", "ERPs keep six at most")
	}
	return d
}

// whole is a whole number between low and high; empty is low.
func (r row) whole(column string, low, high int) int {
	s := r.cells[column]
	if s == "" {
		return low
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		r.wrong(column, fmt.Sprintf("%q is no whole number from %d to %d", s, low, high), "correct it")
	}
	return n
}

// four is a number of four digits, as items and operations have.
func (r row) four(column string) string {
	s := r.cells[column]
	if n, err := strconv.Atoi(s); err != nil || n <= 0 || len(s) != 4 {
		r.wrong(column, fmt.Sprintf("%q has no four digits", s), "write 0010, 0020 and so on; spreadsheets drop leading zeros unless the column is text")
	}
	return s
}
