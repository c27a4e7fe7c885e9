package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "See what the tokens of sensitive values stand for, and find those of a value",
		Long: "Where the configuration has sensitive, tokens stand for personnel numbers and whatever else it names: in messages, records and logs.\n" +
			"Each look at what one stands for is recorded with its reason, and so is each search; the record has the token, never the value.",
	}
	cmd.AddCommand(tokenShow(), tokenFind(), tokenRotate())
	return cmd
}

func tokenShow() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "show TOKEN",
		Short:   "Show the value that a token stands for",
		Long:    "One person looks up so many tokens in an hour as sensitive.looks_per_hour says. Nothing is shown that is not recorded.",
		Example: "  holdfast token show tok_mfrggzdfmztwq2lknnwg23tpoa --reason 'accident report 17'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !token.Is(args[0]) {
				return &problem.Error{Kind: problem.Invalid, What: "show what a token stands for", Why: "that is no token", Hint: "copy it whole, with " + token.Prefix}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				var value string
				err := r.act(ctx, access.TokenReveal, "token/"+args[0], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					if err = r.tokens.Look(ctx, tx, r.cfg.localActor().Name); err == nil {
						_, value, err = r.tokens.Value(ctx, tx, args[0])
					}
					return err
				})
				if err != nil {
					return errors.Join(err, r.tokens.Tell(ctx, r.db))
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), value)
				return err
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func tokenFind() *cobra.Command {
	var reason, class string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "find",
		Short:   "Find the token that stands for a value, which is read from standard input",
		Long:    "By the token its messages, confirmations and movements are found. The value is no argument, since a machine shows and remembers those.",
		Example: "  holdfast token find --reason 'request 4711 of the works council' < number.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			value, err := firstLine(cmd.InOrStdin())
			if err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				var found string
				var none error // a search in vain counts too, and is recorded: else all numbers could be tried
				err := r.act(ctx, access.TokenFind, "tokens/"+class, reason, func(ctx context.Context, tx *store.Tx) (err error) {
					if err = r.tokens.Look(ctx, tx, r.cfg.localActor().Name); err == nil {
						found, err = r.tokens.Find(ctx, tx, class, value)
					}
					if problem.KindOf(err) == problem.NotFound {
						none, err = err, nil
					}
					return err
				})
				if err = errors.Join(err, none); err != nil {
					return errors.Join(err, r.tokens.Tell(ctx, r.db))
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), map[string]string{"token": found, "class": class})
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), found)
				return err
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&class, "class", "person", "what sort of value it is, as sensitive.fields names it")
	reasonFlag(cmd, &reason)
	return cmd
}

// firstLine is the first line of what a command is given.
func firstLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, 4<<10)).ReadString('\n')
	if value := strings.TrimSpace(line); value != "" {
		return value, nil
	}
	if err == nil || err == io.EOF {
		err = &problem.Error{Kind: problem.Invalid, What: "find a token", Why: "standard input has no value", Hint: "write it into a file, and the file behind <"}
	}
	return "", err
}

// leftBehind is an error of kind Integrity if a rotation has passed over tokens that do not open.
func leftBehind(done token.Rotated) error {
	switch {
	case done.Left == 0 && done.Away == 0:
		return nil
	case done.Left == 0:
		return &problem.Error{
			Kind: problem.Unavailable, What: "rotate the key of tokens", Why: count(done.Away, "token does not open", "tokens do not open") + " while the seed is away by which it is sealed",
			Hint: "rotate again once the keyring has it; if it has, somebody has altered the table tokens: restore it from a backup",
		}
	}
	more := ""
	if done.Left > len(done.Altered) {
		more = ", …"
	}
	return &problem.Error{
		Kind: problem.Integrity, What: "rotate the key of tokens", Hint: "restore their rows of the table tokens from a backup, find out who has altered them, and rotate again: the earlier key stays until then",
		Why: fmt.Sprintf("%s not what the plant has stored, and stay with the earlier key: %s%s", count(done.Left, "token is", "tokens are"), strings.Join(done.Altered, ", "), more),
	}
}

func tokenRotate() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Have the tokens found by a new key",
		Long: "The plant finds the token of a value by a key of its own. A new one takes its place, a few hundred tokens at a time while the plant runs, and\n" +
			"the earlier one is destroyed. Tokens stay as they are. If it is stopped, values are found by either key, and it goes on where it is called again.\n" +
			"A token that somebody has altered is passed over and named, with an alert, and the exit status is 1: it stays with the earlier key.",
		Example: "  holdfast token rotate --reason yearly",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.act(ctx, access.TokenRotate, "tokens", reason, func(context.Context, *store.Tx) error { return nil }); err != nil {
					return err
				}
				done, err := r.tokens.Rotate(ctx, r.db)
				if err = errors.Join(err, r.tokens.Tell(ctx, r.db)); err != nil {
					return err
				}
				return errors.Join(sentence(cmd.OutOrStdout(), "a new key finds %s", count(done.Tokens, "token", "tokens")), leftBehind(done))
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}
