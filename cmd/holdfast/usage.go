package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/problem"
)

// explainMistakes makes cmd and each command below it tell what is wrong with its words and flags as every other mistake is told:
// what, why, and what to write instead. cobra's own words differ from place to place, and a command that only holds others passes
// over a word that it does not know.
func explainMistakes(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		explainMistakes(c)
	}
	cmd.SetFlagErrorFunc(wrongFlag)
	if !cmd.Runnable() {
		cmd.DisableFlagsInUseLine = true
		cmd.Args = unknownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		return
	}
	fits := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := fits(cmd, args); err != nil || cmd.ValidateRequiredFlags() != nil {
			return wrongWords(cmd, args, err)
		}
		return nil
	}
}

// helpCommand is help of any command; a word that is none is told.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if c.HasAvailableSubCommands() && len(rest) > 0 {
				return unknownCommand(c, rest)
			}
			c.InitDefaultHelpFlag() // so that the text has it
			return c.Help()
		},
	}
}

// misuse is a mistake in how cmd was called, with its usage line; of is the word or flag that it is about.
func misuse(cmd *cobra.Command, of, why, hint string) error {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	usage := "usage: " + cmd.UseLine() + "; more: " + cmd.CommandPath() + " --help"
	if cmd.DisableFlagsInUseLine { // it only holds others
		usage = "usage: " + cmd.CommandPath() + " COMMAND; all of them: " + cmd.CommandPath() + " --help"
	}
	return &problem.Error{Kind: problem.Invalid, What: strings.TrimSpace(name + " " + of), Why: why, Hint: strings.TrimSpace(hint + " " + usage)}
}

// unknownCommand tells that cmd has no command of the name that stands first in args; nil if there is none.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := ""
	if near := strict.Nearest(args[0], names); near != "" {
		hint = "did you mean " + cmd.CommandPath() + " " + near + "?"
	}
	return misuse(cmd, args[0], "there is no such command", hint)
}

// wrongWords tells which words and flags are missing, all at once, or which word is one too many. The usage line has the names of
// the words that a command takes; those in brackets may be left out. What it cannot explain is told in cobra's words, as err.
func wrongWords(cmd *cobra.Command, args []string, err error) error {
	takes := slices.DeleteFunc(strings.Fields(cmd.Use)[1:], func(w string) bool { return w == "[flags]" })
	if len(args) > len(takes) {
		if cmd.HasAvailableSubCommands() {
			return unknownCommand(cmd, args)
		}
		return misuse(cmd, "", fmt.Sprintf("%q is a word too many", args[len(takes)]), "")
	}
	missing := slices.DeleteFunc(takes[len(args):], func(w string) bool { return strings.HasPrefix(w, "[") })
	var hints []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, required := f.Annotations[cobra.BashCompOneRequiredFlag]; required && !f.Changed {
			missing = append(missing, "--"+f.Name)
			hints = append(hints, "--"+f.Name+": "+f.Usage+".")
		}
	})
	hint := strings.Join(hints, " ")
	switch len(missing) {
	case 0:
		return misuse(cmd, "", err.Error(), "")
	case 1:
		return misuse(cmd, "", missing[0]+" is missing", hint)
	default:
		return misuse(cmd, "", strings.Join(missing[:len(missing)-1], ", ")+" and "+missing[len(missing)-1]+" are missing", hint)
	}
}

// wrongFlag tells which flag is not there or cannot be read. Behind a word that is no command nobody can tell which flags there are.
func wrongFlag(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasAvailableSubCommands() && len(words) > 0 {
		return unknownCommand(cmd, words)
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, e)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return misuse(cmd, "--"+e.GetFlag().Name, "its value is missing", "--"+e.GetFlag().Name+": "+e.GetFlag().Usage+".")
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return misuse(cmd, "--"+e.GetFlag().Name, fmt.Sprintf("%q is %s", e.GetValue(), notOf(e.GetFlag().Value.Type())), "--"+e.GetFlag().Name+": "+e.GetFlag().Usage+".")
	}
	return misuse(cmd, "", err.Error(), "")
}

func unknownFlag(cmd *cobra.Command, e *pflag.NotExistError) error {
	if e.GetSpecifiedShortnames() != "" {
		return misuse(cmd, "-"+e.GetSpecifiedName(), "there is no such flag", "")
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	hint := ""
	if near := strict.Nearest(e.GetSpecifiedName(), names); near != "" {
		hint = "did you mean --" + near + "?"
	}
	return misuse(cmd, "--"+e.GetSpecifiedName(), "there is no such flag", hint)
}

// notOf says what a text is not that cannot be read as a flag of some type.
func notOf(flagType string) string {
	switch flagType {
	case "int", "int64", "uint64":
		return "no whole number"
	case "duration":
		return "no length of time, such as 500ms, 30s or 1h"
	case "bool":
		return "neither true nor false"
	default:
		return "no " + flagType
	}
}
