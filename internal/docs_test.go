package internal

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// documents are those whose commands and links are checked.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/security/*.md", "../deploy/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			texts[file] = read(t, file)
		}
	}
	return texts
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	block  = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	fenced = regexp.MustCompile("(?ms)^```.*?^```$")
	inline = regexp.MustCompile("`((?:holdfast|make) [^`]+)`")
)

// commands finds the command lines of a document: each line of a sh block, and
// each inline holdfast or make command.
func commands(text string) []string {
	var found []string
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(b[1], "\\\n", " ")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				found = append(found, line)
			}
		}
	}
	for _, c := range inline.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		found = append(found, c[1])
	}
	return found
}

func TestCommandsInDocumentsWork(t *testing.T) {
	tree(t) // so that the test cache knows what the program is built from
	program := buildProgram(t)
	makefile := read(t, "../Makefile")
	for file, text := range documents(t) {
		for _, line := range commands(text) {
			if wrong := wrongCommand(t.Context(), program, makefile, line); wrong != "" {
				t.Errorf("%s: %q: %s", file, line, wrong)
			}
		}
	}
}

// buildProgram builds cmd/holdfast once, as a user would.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "holdfast")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/holdfast")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return program
}

var substituted = regexp.MustCompile(`^eval "\$\((.*)\)"$`)

// wrongCommand says what is wrong with a command line of a document, "" if nothing.
func wrongCommand(ctx context.Context, program, makefile, line string) string {
	if inner := substituted.FindStringSubmatch(line); inner != nil {
		line = inner[1]
	}
	args := shellWords(line)
	for len(args) > 0 && strings.Contains(args[0], "=") {
		args = args[1:] // a variable of the environment
	}
	switch {
	case len(args) == 0:
		return "there is no command"
	case args[0] == "holdfast", args[0] == "bin/holdfast":
		return wrongCall(ctx, program, args[1:])
	case len(args) > 2 && slices.Equal(args[:3], []string{"go", "run", "./cmd/holdfast"}):
		return wrongCall(ctx, program, args[3:])
	case args[0] == "make":
		return wrongTarget(makefile, args[1:])
	case strings.HasPrefix(args[0], "deploy/"), strings.HasPrefix(args[0], ".ci/"):
		return wrongScript(args)
	}
	return "no test can check this command: fence the block as console if it is only to be read"
}

// shellWords splits a line as a shell does, as far as documents need it.
func shellWords(line string) []string {
	var quote rune
	return strings.FieldsFunc(strings.Map(func(r rune) rune {
		switch {
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
			return -1
		case r == quote:
			quote = 0
			return -1
		case quote != 0 && unicode.IsSpace(r):
			return '\u00a0' // keeps the word together
		}
		return r
	}, line), func(r rune) bool { return r == ' ' || r == '\t' })
}

var usage = regexp.MustCompile(`(?m)^Usage:\n\s+holdfast(.*)$`)

// wrongCall asks the program itself: with --help at its end a command line
// parses all its flags and values, and does nothing.
func wrongCall(ctx context.Context, program string, args []string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // a flag at the end that lacks its value takes --help for it, and the command runs
	defer cancel()
	out, err := exec.CommandContext(ctx, program, append(slices.Clone(args), "--help")...).CombinedOutput()
	if err != nil {
		return "holdfast refuses it: " + strings.TrimSpace(string(out))
	}
	found := usage.FindStringSubmatch(string(out))
	if found == nil {
		return "its help shows no usage"
	}
	return wrongWords(strings.Fields(found[1]), args, strings.Contains(string(out), "Available Commands:"))
}

// wrongWords compares the words of a call with those of the usage line that the
// help shows: "erp mock [flags]" or "lane resume LINK LANE [flags]".
func wrongWords(shown, args []string, group bool) string {
	given := args
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }); i >= 0 {
		given = args[:i]
	}
	for len(shown) > 0 && len(given) > 0 && shown[0] == given[0] {
		shown, given = shown[1:], given[1:]
	}
	shown = slices.DeleteFunc(shown, func(w string) bool { return w == "[flags]" || w == "[command]" })
	switch {
	case len(given) > 0 && (group || len(shown) == 0):
		return "there is no such command: " + given[0]
	case len(shown) > 0 && strings.ToLower(shown[0]) == shown[0] && !strings.HasPrefix(shown[0], "["):
		return "it is not the command whose help it shows: " + shown[0]
	}
	return ""
}

// wrongTarget looks for make's targets and variables in the Makefile.
func wrongTarget(makefile string, args []string) string {
	for _, arg := range args {
		name, _, variable := strings.Cut(arg, "=")
		want := `(?m)^` + regexp.QuoteMeta(name) + `:`
		if variable {
			want = `(?m)^` + regexp.QuoteMeta(name) + `\s*[?:]?=`
		}
		if !regexp.MustCompile(want).MatchString(makefile) {
			return "the Makefile has no " + name
		}
	}
	return ""
}

// wrongScript looks whether the script is there, can be run, and has that subcommand or step.
func wrongScript(args []string) string {
	info, err := os.Stat(filepath.Join("..", args[0]))
	if err != nil || info.Mode()&0o111 == 0 {
		return "there is no such script that can be run"
	}
	text, err := os.ReadFile(filepath.Join("..", args[0]))
	if err != nil {
		return err.Error()
	}
	if len(args) > 1 && !regexp.MustCompile(`(?m)^\s*`+regexp.QuoteMeta(args[1])+`\)`).Match(text) {
		return "the script does not know " + args[1]
	}
	return ""
}

func TestWrongWords(t *testing.T) {
	tests := []struct {
		name, shown, call string
		group             bool
		want              string
	}{
		{"a command with flags", "demo [flags]", "demo --once", false, ""},
		{"one below another", "erp mock [flags]", "erp mock --spec x", false, ""},
		{"arguments", "lane resume LINK LANE [flags]", "lane resume sap 1000042", false, ""},
		{"a word too many", "demo [flags]", "demo now", false, "no such command: now"},
		{"no such command below a group", "erp [command]", "erp mok", true, "no such command: mok"},
		{"a group alone", "erp [command]", "erp", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := wrongWords(strings.Fields(tt.shown), strings.Fields(tt.call), tt.group)
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWrongCommand(t *testing.T) {
	const makefile = "PKG ?= ./...\ntest: ## all\n"
	tests := []struct{ name, line, want string }{
		{"a target", "make test", ""},
		{"a target and a variable", "make test PKG=./x", ""},
		{"no such target", "make tset", "no tset"},
		{"no such variable", "make test PACKAGE=./x", "no PACKAGE"},
		{"a script in eval", `eval "$(deploy/dev/services env)"`, ""},
		{"a word that the script does not know", "deploy/dev/services start", "does not know start"},
		{"no such script", "deploy/dev/service up", "no such script"},
		{"what nobody can check", "curl example.org", "no test can check"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := wrongCommand(t.Context(), "", makefile, tt.line)
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	text := "Say `holdfast demo` or `make x`, not `go vet`.\n\n```sh\n# why\na \\\n  b\n\nc 'd e'\n```\n\n```console\n$ `make y`\n```\n"
	want := []string{"a    b", "c 'd e'", "holdfast demo", "make x"}
	if got := commands(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	for file, text := range documents(t) {
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), l[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, l[1])
			}
		}
	}
}
