package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/adapters/odata"
	"holdfast/adapters/odata/edm"
	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/problem"
)

// explorer is a link whose ERP describes itself.
type explorer interface {
	Services() []string
	Service(name string) (*odata.Client, error)
}

func newERPExplore() *cobra.Command {
	var name string
	var rows int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explore [SERVICE[/SET]]",
		Short: "List what an OData link's ERP has: entity sets and operations, the fields of one, a few rows",
		Long: "Explore reads the $metadata of a link's services and lists their entity sets and operations; of one SERVICE/SET or\n" +
			"SERVICE/OPERATION it lists the fields with type, length and what they mean, and a few rows. Of SAP it lists the control keys of the\n" +
			"plant's released orders besides, and for which of them SAP books the receipt itself with a confirmation. A service that is not there\n" +
			"is told at the end, after what the others have. It changes nothing.",
		Example: "  holdfast erp explore --link erp\n  holdfast erp explore --link erp confirmations/ProdnOrdConf2 --rows 3",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			l, err := cfg.openExplorer(name)
			if err != nil {
				return err
			}
			defer l.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			found, missing := explore(ctx, l.(explorer), append(args, "")[0], rows)
			switch {
			case len(found) == 0 && missing != nil:
				return missing
			case asJSON:
				return errors.Join(printJSON(cmd.OutOrStdout(), found), missing)
			}
			return errors.Join(printFound(cmd.OutOrStdout(), found), missing)
		},
	}
	cmd.Flags().StringVar(&name, "link", "", "name of the link (required)")
	cmd.Flags().IntVar(&rows, "rows", 3, "how many rows of a set to read; 0 for none")
	jsonFlag(cmd, &asJSON)
	if err := cmd.MarkFlagRequired("link"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// openExplorer opens one link that can be explored.
func (c Config) openExplorer(name string) (link, error) {
	l, ok := c.onlyLooking().Links[name]
	if !ok {
		hint := "the links are: " + strings.Join(slices.Sorted(maps.Keys(c.Links)), ", ")
		if near := strict.Nearest(name, slices.Collect(maps.Keys(c.Links))); near != "" {
			hint = "did you mean " + near + "?"
		}
		return nil, &problem.Error{Kind: problem.NotFound, What: "link " + name, Why: c.file + " has no such link", Hint: hint}
	}
	opened, err := linkKinds()[l.Kind].open(l, c.secret, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, c.placed("links."+name, err)
	}
	if _, ok := opened.(explorer); !ok {
		opened.Close()
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "explore link " + name, Why: "a link of kind " + l.Kind + " has no $metadata",
			Hint: "its contract is the file that the link names; explore is for links of kind odata and sap",
		}
	}
	return opened, nil
}

// offer is what an exploration finds: a set or an operation, or a control key of SAP's orders.
type offer struct {
	Name   string           `json:"name"` // as a mapping names it
	Kind   string           `json:"kind"` // set or operation; control key
	Label  string           `json:"label,omitempty"`
	Does   string           `json:"does,omitempty"` // what the service says that it can do with it
	Fields []offerField     `json:"fields,omitempty"`
	Rows   []map[string]any `json:"rows,omitempty"`
	whole  bool             // its fields are wanted too
}

type offerField struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Says  string `json:"says,omitempty"` // key, required, filled in by the ERP …
	Label string `json:"label,omitempty"`
}

// explore reads everything, one service, or one resource of it. A service that cannot be read ends nothing: what the others have comes beside its
// error.
func explore(ctx context.Context, l explorer, what string, rows int) (out []offer, missing error) {
	service, _, _ := strings.Cut(what, "/")
	services := l.Services()
	if service != "" {
		services = []string{service}
	}
	for _, s := range services {
		found, err := exploreService(ctx, l, s, what, rows)
		out = append(out, found...)
		missing = errors.Join(missing, err)
	}
	if what == "" && len(out) > 0 {
		out = append(out, offersOfKeys(ctx, l)...)
	}
	if len(out) == 0 && missing == nil {
		return nil, &problem.Error{Kind: problem.NotFound, What: "explore " + what, Why: "the service has neither set nor operation of this name", Hint: "see: holdfast erp explore --link NAME " + service}
	}
	return out, missing
}

// exploreService reads one service, or one resource of it, with a few rows.
func exploreService(ctx context.Context, l explorer, service, what string, rows int) ([]offer, error) {
	_, name, one := strings.Cut(what, "/")
	c, err := l.Service(service)
	if err != nil {
		return nil, err
	}
	m, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	var out []offer
	for _, r := range offersOf(service, m) {
		if one && r.Name != what {
			continue
		}
		r.whole = one
		if set := m.Sets[name]; one && set != nil && !set.Singleton {
			if r.Rows, err = someRows(ctx, c, name, rows); err != nil {
				return []offer{r}, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func someRows(ctx context.Context, c *odata.Client, set string, most int) ([]map[string]any, error) {
	var out []map[string]any
	if most <= 0 {
		return nil, nil
	}
	_, err := c.All(ctx, odata.Query{Set: set, Top: most}, func(e odata.Entity) error {
		out = append(out, e.Values)
		return nil
	})
	return out, err
}

// offersOf are the sets of a service, then its operations, each in order of their names.
func offersOf(service string, m *edm.Model) []offer {
	var out []offer
	for _, name := range slices.Sorted(maps.Keys(m.Sets)) {
		set := m.Sets[name]
		r := offer{Name: service + "/" + name, Kind: "set", Label: set.Label, Does: abilities(set)}
		for _, f := range set.Of.Fields {
			r.Fields = append(r.Fields, describe(f))
		}
		for _, l := range set.Of.Links {
			one := offerField{Name: l.Name, Type: "one " + bare(l.Target.Name), Says: "nested", Label: l.Label}
			if l.Many {
				one.Type = "many " + bare(l.Target.Name)
			}
			r.Fields = append(r.Fields, one)
		}
		out = append(out, r)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
		op := m.Operations[name]
		r := offer{Name: service + "/" + name, Kind: "operation", Label: op.Label, Does: op.Method}
		if op.Bound != nil {
			r.Does += " on one " + bare(op.Bound.Name)
		}
		for _, f := range op.Params {
			r.Fields = append(r.Fields, describe(f))
		}
		out = append(out, r)
	}
	return out
}

// bare is a type's name without its namespace.
func bare(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func abilities(s *edm.Set) string {
	does := []string{"read"}
	for word, not := range map[string]bool{"create": s.NoCreate || s.Singleton, "change": s.NoUpdate, "delete": s.NoDelete} {
		if !not {
			does = append(does, word)
		}
	}
	slices.Sort(does[1:])
	if s.Versioned && !s.NoUpdate {
		does = append(does, "changes need its version")
	}
	return strings.Join(does, ", ")
}

func describe(f *edm.Field) offerField {
	t := strings.TrimPrefix(f.Type, "Edm.")
	switch {
	case f.Struct != nil:
		t = bare(f.Struct.Name)
	case f.Type == "Edm.Decimal" && f.Precision > 0 && f.Scale != edm.AnyScale:
		t += fmt.Sprintf("(%d,%d)", f.Precision, f.Scale)
	case f.MaxLength > 0:
		t += fmt.Sprintf("(%d)", f.MaxLength)
	}
	if f.Many {
		t = "many " + t
	}
	var says []string
	for _, w := range []struct {
		word string
		is   bool
	}{
		{"key", f.Key}, {"required", f.Required}, {"version", f.ETag}, {"filled in by the ERP", f.ReadOnly}, {"not searchable", f.NoFilter},
	} {
		if w.is {
			says = append(says, w.word)
		}
	}
	return offerField{Name: f.Name, Type: t, Says: strings.Join(says, ", "), Label: f.Label}
}

// printFound lists resources; one that was asked for alone with its fields and rows.
func printFound(w io.Writer, found []offer) error {
	if len(found) == 1 && found[0].whole {
		return printOffer(w, found[0])
	}
	rows := make([]string, 0, len(found))
	for _, r := range found {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s", r.Name, r.Kind, len(r.Fields), r.Does, r.Label))
	}
	return table(w, "NAME\tKIND\tFIELDS\tDOES\tLABEL", rows)
}

func printOffer(w io.Writer, r offer) error {
	if err := sentence(w, "%s: %s, %s", r.Name, r.Kind, r.Does); err != nil {
		return err
	}
	rows := make([]string, 0, len(r.Fields))
	for _, f := range r.Fields {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", f.Name, f.Type, f.Says, f.Label))
	}
	err := table(w, "FIELD\tTYPE\tIS\tLABEL", rows)
	for i, row := range r.Rows {
		err = errors.Join(err, sentence(w, "\nrow %d", i+1))
		for _, f := range r.Fields {
			if v, ok := row[f.Name]; ok && v != nil && v != "" {
				err = errors.Join(err, sentence(w, "  %s: %v", f.Name, v))
			}
		}
	}
	return err
}
