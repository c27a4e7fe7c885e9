package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/adapters/rest"
	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/internal/schema"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

func newMapping() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mapping", Short: "Write, check and test what turns messages into an ERP's documents and back",
		Long: "A mapping is a YAML file in the folder mappings beside holdfast.yaml; docs/mapping-guide.md begins with the first one. Shipped mappings\n" +
			"are taken where the folder has none of the same name.",
	}
	cmd.AddCommand(mappingCheck(), mappingTest(), mappingNew(), mappingPreview(), mappingDiff(), mappingSchema(),
		mappingPublish(), mappingApprove(), mappingRollback(), mappingHistory(), mappingCanary())
	return cmd
}

// workshop is what mapping commands work with: the mappings, and the links with their contracts.
type workshop struct {
	cfg   Config
	rules *mapping.Set
	links map[string]link
}

func openWorkshop(cfg Config) (*workshop, error) {
	rules, err := loadMappings(cfg)
	if err != nil {
		return nil, err
	}
	links, err := openLinks(cfg.onlyLooking(), slog.New(slog.DiscardHandler))
	w := &workshop{cfg, rules, links}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *workshop) close() {
	for _, l := range w.links {
		l.Close()
	}
}

// inWorkshop has fn work with what the command's configuration names.
func inWorkshop(cmd *cobra.Command, fn func(ctx context.Context, w *workshop) error) error {
	cfg, err := configOf(cmd)
	if err != nil {
		return err
	}
	w, err := openWorkshop(cfg)
	if err != nil {
		return err
	}
	defer w.close()
	return fn(cmd.Context(), w)
}

func mappingCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Hold every mapping against the plant's messages and the ERP's contract",
		Long: "Check compiles every mapping and tells each mistake with its file, line and column: a field that is not there or of another type, a\n" +
			"required one that nothing makes, a value that is too long or too exact, a code without a row, a rule that is never used. What does no harm\n" +
			"and is hardly meant it shows as look: a row that no message asks for, a mapping that no route reaches. It calls no ERP.",
		Example: "  holdfast mapping check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			w, err := openWorkshop(cfg)
			if err != nil {
				return errors.Join(err, cfg.checkDraft())
			}
			defer w.close()
			return w.check(cmd.OutOrStdout())
		},
	}
}

// checkDraft is what the contracts of the links have against mappings that have mistakes beside, so that both are mended in one go. What is wrong with
// the configuration has been told.
func (c Config) checkDraft() error {
	sources, err := c.sources()
	if err != nil {
		return nil //nolint:nilerr // it has been told
	}
	rules, mistakes := mapping.LoadDraft(sources...)
	links, _ := openLinks(c.onlyLooking(), slog.New(slog.DiscardHandler))
	defer (&workshop{c, rules, links}).close()
	if rules == nil || mistakes == nil {
		return nil
	}
	found := c.fit(rules, links)
	for _, look := range c.unreached(rules) {
		found = append(found, fitKnowing(rules, links, look)...)
	}
	return c.refused(inOrder(found))
}

func (w *workshop) check(out io.Writer) error {
	if err := w.cfg.checkAgainst(w.rules, w.links); err != nil {
		return err
	}
	found := w.cfg.fit(w.rules, w.links)
	more, err := w.cfg.fitUnrouted(w.rules, w.links)
	if err := errors.Join(err, w.cfg.refused(append(found, more...))); err != nil {
		return err
	}
	impossible, err := w.impossible()
	if err != nil {
		return err
	}
	for _, m := range slices.Concat(w.cfg.unrouted(w.rules), w.rules.Idle(), impossible) {
		fmt.Fprintf(out, "look  %s:%d:%d: %s: %s (%s)\n", w.cfg.mappingFile(m.File), m.Line, m.Col, m.What, m.Why, m.Hint)
	}
	for _, f := range append(found, more...) {
		fmt.Fprintf(out, "look  %s:%d:%d: %s: link %s: %s (%s)\n", w.cfg.mappingFile(f.File), f.Line, f.Col, f.What, f.link, f.Why, f.Hint)
	}
	open := w.cfg.unheld(w.rules, w.links, w.rules.Names())
	for _, m := range open {
		fmt.Fprintf(out, "not checked  %s:%d:%d: %s: %s (%s)\n", w.cfg.mappingFile(m.File), m.Line, m.Col, m.What, m.Why, m.Hint)
	}
	compiled := count(len(w.rules.Names()), "mapping compiles", "mappings compile")
	if len(open) == 0 {
		return sentence(out, "%s, and fit what they are for", compiled)
	}
	return sentence(out, "%s, and fit what they are for as far as it is known; %s not held against the contract of their link", compiled, count(len(open), "was", "were"))
}

// impossible are the examples beside the plant's own mappings that their source never sends. They do no harm, and prove nothing.
func (w *workshop) impossible() (found []mapping.Mistake, err error) {
	for _, name := range w.rules.Names() {
		if look, _ := w.rules.Look(name); !look.Own {
			continue
		}
		wrong, err := w.rules.Impossible(name, w.document(name))
		if err != nil {
			return nil, err
		}
		found = append(found, wrong...)
	}
	return found, nil
}

func mappingNew() *cobra.Command {
	var from, to, file string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Write a mapping to begin with, with guesses that are marked, and a first example",
		Long: "New writes a mapping with every field that the target requires, and every other one for which a source was found. What is a guess says\n" +
			"so. The target is LINK:TARGET with a link of the configuration (an operationId, or SERVICE/SET), or FILE:TARGET with an OpenAPI file.",
		Example: "  holdfast mapping new --from operation.confirmed --to erp:createConfirmation --name mine/operation.confirmed",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			where, target := "", to
			if i := strings.LastIndex(to, ":"); i >= 0 {
				where, target = to[:i], to[i+1:]
			}
			target = cfg.Links[where].target(target)
			c, done, err := contractOf(cmd.Context(), cfg, where, target)
			if err != nil {
				return cfg.noPlace(where, from, err)
			}
			defer done()
			text, example, err := mapping.Scaffold(from, target, c)
			if err != nil {
				return cfg.noPlace(where, from, err)
			}
			file = cmp.Or(file, "mine/"+from)
			if !filepath.IsLocal(filepath.FromSlash(file)) {
				return &problem.Error{
					Kind: problem.Invalid, What: "write mapping " + file, Why: "its name leads out of the folder of mappings (" + cfg.Mappings + ")",
					Hint: "name it FOLDER/KIND, such as mine/" + from,
				}
			}
			at := filepath.Join(cfg.Mappings, filepath.FromSlash(file))
			if err := errors.Join(saveNew(at+".yaml", text), saveNew(at+".example.yaml", example)); err != nil {
				return err
			}
			return sentence(cmd.OutOrStdout(), "wrote %s.yaml and %s.example.yaml; go on with: holdfast mapping check, holdfast mapping test %s", at, at, file)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "kind of the plant's message, such as operation.confirmed (required)")
	cmd.Flags().StringVar(&to, "to", "", "LINK:TARGET or FILE:TARGET (required)")
	cmd.Flags().StringVar(&file, "name", "", "name of the mapping; default mine/KIND")
	for _, name := range []string{"from", "to"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

// contractOf is that of a link, asked for where the link does not know the target by a file, or an OpenAPI file's.
func contractOf(ctx context.Context, cfg Config, where, target string) (mapping.Contract, func(), error) {
	nothing := func() {}
	if l, ok := cfg.Links[where]; ok {
		opened, err := linkKinds()[l.Kind].open(cfg.onlyLooking().Links[where], cfg.secret, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, nothing, err
		}
		if c, ok := opened.(mapping.Contract); ok {
			if _, known := c.TargetType(target); !known && l.Kind != "rest" {
				err = l.unlearned(target, opened.Check(ctx)) // such a link learns its contract by it
			}
			return c, opened.Close, err
		}
		opened.Close()
		return nil, nothing, &problem.Error{
			Kind: problem.Invalid, What: "map to link " + where, Why: "it has no contract by which fields could be guessed",
			Hint: "write the file by hand, with to: {event: ROUTING.KEY} and the fields of the document (docs/mapping-guide.md), or name a link to an ERP with a contract",
		}
	}
	text := openapi.ERP()
	if where != rest.Builtin {
		var err error
		if text, err = cfg.contractFile(where, target); err != nil {
			return nil, nothing, err
		}
	}
	doc, err := contract.Load(text, where)
	if err != nil {
		return nil, nothing, invalid("read the contract "+where, err)
	}
	return mapping.FromOpenAPI(doc), nothing, nil
}

// noPlace says of a mapping that cannot be written where the ERP has no place for the kind at all, and what is done instead.
func (c Config) noPlace(where, kind string, err error) error {
	why, instead := mapping.NoTarget(map[string]string{"rest": "erp-out", "sap": "sap-out", "sap-idoc": "sap-idoc-out"}[c.Links[where].Kind], kind)
	if why == "" || c.Links[where].Kind == "rest" && c.Links[where].REST.Spec != rest.Builtin {
		return err
	}
	return &problem.Error{Kind: problem.KindOf(err), What: "write a mapping from " + kind + " for link " + where, Why: why, Hint: instead, Cause: err}
}

// contractFile reads an OpenAPI file, or says which links there are where there is neither a link nor a file.
func (c Config) contractFile(where, target string) ([]byte, error) {
	links := slices.Sorted(maps.Keys(c.Links))
	named := strings.Join(links, ", ")
	if where == "" {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "map to " + target, Why: "it names no link",
			Hint: fmt.Sprintf("write LINK:TARGET, such as %s:%s; the links are %s", cmp.Or(append(links, "erp")[0], "erp"), target, cmp.Or(named, "none yet")),
		}
	}
	hint := fmt.Sprintf("write LINK:TARGET with a link of the configuration (%s), FILE:TARGET with an OpenAPI file, or %s:TARGET", cmp.Or(named, "there is none yet"), rest.Builtin)
	text, err := os.ReadFile(where)
	switch near := strict.Nearest(where, links); {
	case errors.Is(err, fs.ErrNotExist):
		if near != "" {
			hint = fmt.Sprintf("did you mean %s:%s?", near, target)
		}
		return nil, &problem.Error{Kind: problem.NotFound, What: "read " + where, Why: "there is neither a link nor a file of this name", Hint: hint}
	case err != nil:
		return nil, &problem.Error{Kind: problem.NotFound, What: "read " + where, Why: why(err), Hint: hint}
	}
	return text, nil
}

// target is one of the link's, where it is written by the service's own name: API_BATCH_SRV/Batch for batches/Batch.
func (l LinkConfig) target(name string) string {
	service, rest, _ := strings.Cut(name, "/")
	services := l.odata().Services
	if _, ok := services[service]; ok {
		return name
	}
	for ours, s := range services {
		if theirs, _, _ := strings.Cut(path.Base(s.Path), ";"); theirs == service {
			return ours + "/" + rest
		}
	}
	return name
}

// unlearned says what is missing where a target is not known by what is at hand, and the ERP could not be asked.
func (l LinkConfig) unlearned(target string, err error) error {
	if err == nil {
		return nil
	}
	hint := "start the ERP, or save the $metadata of its services in files and name them in holdfast.yaml"
	if services := l.odata().Services; len(services) > 0 {
		hint = "the services are " + strings.Join(slices.Sorted(maps.Keys(services)), ", ") + "; write SERVICE/SET, or " + hint
	}
	return &problem.Error{
		Kind: problem.NotFound, What: "write a mapping to " + target, Why: "what is at hand of the link's contract has no such target, and the ERP cannot be asked: " + why(err),
		Hint: hint, Cause: err,
	}
}

// saveNew writes a file that is not there yet, with the folders that it needs.
func saveNew(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a team edits what is in it
		return fmt.Errorf("make the folder of %s: %w", file, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a team edits it
	if err != nil {
		return &problem.Error{Kind: problem.Conflict, What: "write " + file, Why: why(err), Hint: "choose another --name, or move the file away", Cause: err}
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func mappingPreview() *cobra.Command {
	var example string
	cmd := &cobra.Command{
		Use:     "preview MAPPING",
		Short:   "Show what a mapping makes of an example, and which rule made which part",
		Example: "  holdfast mapping preview erp-out/operation.confirmed",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inWorkshop(cmd, func(ctx context.Context, w *workshop) error {
				e, err := w.example(args[0], example)
				if err != nil {
					return err
				}
				ctx = mapping.Reading(ctx, func(_, name, _ string) *schema.Type { return w.document(name) })
				m, err := w.rules.Try(ctx, args[0], e.Message(), e.Resolve)
				if err != nil {
					return err
				}
				if err := printPreview(cmd.OutOrStdout(), e, m); err != nil || m.LeftOut || m.Waits != "" {
					return err
				}
				return refusedByContract(args[0], w.fits(args[0], e, m))
			})
		},
	}
	cmd.Flags().StringVar(&example, "example", "", "name of the example; default the first")
	return cmd
}

// example is one of a mapping by its name; "" is the first.
func (w *workshop) example(name, example string) (mapping.Example, error) {
	missing := func(why, hint string) error {
		return &problem.Error{Kind: problem.NotFound, What: "preview " + name, Why: why, Hint: hint}
	}
	if _, ok := w.rules.Look(name); !ok {
		hint := "the mappings are: " + strings.Join(w.rules.Names(), ", ")
		if near := strict.Nearest(name, w.rules.Names()); near != "" {
			hint = "did you mean " + near + "?"
		}
		return mapping.Example{}, missing("there is no such mapping", hint)
	}
	examples, err := w.rules.Examples(name)
	if err != nil {
		return mapping.Example{}, err
	}
	names := make([]string, 0, len(examples))
	for _, e := range examples {
		if example == "" || e.Name == example {
			return e, nil
		}
		names = append(names, e.Name)
	}
	near := strict.Nearest(example, names)
	switch {
	case len(names) == 0:
		return mapping.Example{}, missing("it has no example", "write one beside it: "+name+".example.yaml")
	case near != "":
		return mapping.Example{}, missing(fmt.Sprintf("it has no example %q", example), fmt.Sprintf("did you mean %q?", near))
	}
	return mapping.Example{}, missing(fmt.Sprintf("it has no example %q", example), "its examples are: "+strings.Join(names, ", "))
}

// refusedByContract is the problem of a document that a link's contract does not take; nil if each takes it.
func refusedByContract(name string, wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: "preview " + name, Why: "the contract does not take what it makes: " + strings.Join(wrong, "; "), Hint: "mend the rule that made it, which is named above",
	}
}

// printPreview shows each value with the rule that made it.
func printPreview(w io.Writer, e mapping.Example, m mapping.Made) error {
	switch {
	case m.LeftOut:
		return sentence(w, "%s: the mapping leaves it out", e.Name)
	case m.Waits != "":
		return sentence(w, "%s: it waits for the ERP's number of %s", e.Name, m.Waits)
	}
	fmt.Fprintf(w, "%s by %s: %s%s %s\n", e.Name, m.Version, m.Target, m.Kind, m.Key)
	rows := make([]string, 0, len(m.From))
	for _, o := range m.From {
		if part := string(m.Body[o.Start:o.End]); !strings.HasPrefix(part, "{") {
			rows = append(rows, o.Rule+"\t"+part+"\t"+o.Place)
		}
	}
	return table(w, "RULE\tVALUE\tPLACE", rows)
}

func mappingSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of mapping files, for completion in an editor",
		Example: "  holdfast mapping schema > mapping.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(mapping.FileSchema())
			return err
		},
	}
}
