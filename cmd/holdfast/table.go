package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// table prints rows in columns. Where they are wider than the terminal, each row is folded into several lines at the same columns as
// its head, and the words of the last column are wrapped: nothing is cut off that somebody may have to copy.
func table(w io.Writer, head string, rows []string) error {
	cells := make([][]string, 0, len(rows)+1)
	for _, r := range append([]string{head}, rows...) {
		cells = append(cells, strings.Split(r, "\t"))
	}
	width := terminal(w)
	lines := fold(cells, width)
	var b strings.Builder
	for _, row := range cells {
		for i, l := range lines {
			b.WriteString(l.print(row, i > 0, width))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// gap is what stands between columns, and what a folded line begins with.
const gap = "  "

// tableLine is some columns of a table that stand in one line.
type tableLine struct {
	first  int // column
	widths []int
	last   bool // it ends the row
}

// fold puts columns into lines, in their order and as many into each as the width takes. The last column needs only the width of its
// head: its words are wrapped.
func fold(cells [][]string, width int) []tableLine {
	var lines []tableLine
	now, used := tableLine{}, 0
	columns := len(cells[0])
	for c := range columns {
		wide := 0
		for _, row := range cells {
			wide = max(wide, utf8.RuneCountInString(row[c]))
		}
		needs := wide
		if c == columns-1 && strings.Contains(widest(cells, c), " ") {
			needs = min(wide, max(roomForWords, utf8.RuneCountInString(cells[0][c])))
		}
		if len(now.widths) > 0 && used+len(gap)+needs > width {
			lines = append(lines, now)
			now, used = tableLine{first: c}, len(gap)
		}
		now.widths = append(now.widths, wide)
		used += len(gap) + wide
	}
	now.last = true
	return append(lines, now)
}

// roomForWords is the width in which words are still worth wrapping.
const roomForWords = 30

func widest(cells [][]string, column int) (widest string) {
	for _, row := range cells {
		if len(row[column]) > len(widest) {
			widest = row[column]
		}
	}
	return widest
}

// print is the part of a row that stands in this line.
func (l tableLine) print(row []string, folded bool, width int) string {
	var b strings.Builder
	if folded {
		b.WriteString(gap)
	}
	for i, wide := range l.widths {
		cell := row[l.first+i]
		if i == len(l.widths)-1 {
			used := utf8.RuneCountInString(b.String())
			if l.last {
				cell = wrap(cell, width-used, used)
			}
			return b.String() + cell + "\n"
		}
		fmt.Fprintf(&b, "%-*s%s", wide, cell, gap)
	}
	return b.String()
}

// wrap breaks a text between words, so that no line is longer than width where its words allow it; the lines after the first begin at
// indent.
func wrap(text string, width, indent int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && used+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = 0
		case i > 0:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}

// endless is the width of what is no terminal: a program reads it.
const endless = 1 << 20

// terminal is the width of the terminal that w writes to. COLUMNS overrides it, as everywhere.
func terminal(w io.Writer) int {
	if there, ok := w.(interface{ columns() int }); ok {
		return there.columns()
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	f, ok := w.(*os.File)
	if !ok {
		return endless
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return endless
	}
	return cmp.Or(int(size.Col), endless)
}

// sentence prints a text for a person, wrapped to the terminal. A command at its end stays whole, so that it can be copied.
func sentence(w io.Writer, format string, args ...any) error {
	text, width := fmt.Sprintf(format, args...), terminal(w)
	if i := strings.LastIndex(text, ": holdfast "); i >= 0 && utf8.RuneCountInString(text) > width {
		_, err := fmt.Fprintf(w, "%s\n%s%s\n", wrap(text[:i+1], width, len(gap)), gap, text[i+2:])
		return err
	}
	_, err := fmt.Fprintln(w, wrap(text, width, len(gap)))
	return err
}

// count is a number of things with its word, and its verb where there is one: 1 message waits, 2 messages wait.
func count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
