package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// taken keeps on record that somebody takes something out: how much, and what they chose it by. It is done before anything leaves, so that who
// stops halfway is on record too.
//
// Whoever works on the database itself reads it without Holdfast as well, so an account that may only read it, or a disk that is full, keeps nobody
// there from an export: it says that it is on no record. Whoever calls a server reads by its leave, and gets nothing without the entry.
func (r *records) taken(ctx context.Context, told io.Writer, action, object, what string, n int64, by *pflag.FlagSet) error {
	filter := []string{}
	by.Visit(func(f *pflag.Flag) {
		if f.Annotations[ofFilter] != nil {
			filter = append(filter, "--"+f.Name+"="+f.Value.String())
		}
	})
	after, err := json.Marshal(map[string]any{what: n, "filter": strings.Join(filter, " ")})
	if err != nil {
		return fmt.Errorf("write what was taken out: %w", err)
	}
	_, err = r.do(ctx, access.Act{Action: action, Actor: r.cfg.localActor(), Object: object}, func(context.Context, *store.Tx) (access.Result, error) {
		return access.Result{After: after}, nil
	})
	if err != nil && r.cfg.by == nil && (store.OnlyRead(err) || problem.KindOf(err) == problem.Full) {
		_, err = fmt.Fprintf(told, "holdfast: this export is on no record: the database takes no entry: %v\n", err)
	}
	return err
}

// ofFilter marks the flags that choose what is taken out.
const ofFilter = "holdfast_filter"

// filters marks flags as such.
func filters(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := flags.SetAnnotation(name, ofFilter, []string{"yes"}); err != nil {
			panic(err)
		}
	}
}
