package main

import (
	"context"
	"log/slog"
)

// discreet is the log of a link. One whose ERP is told sensitive values does not log what that says, since it may repeat them: the relay
// tells of the same, cleaned.
func (l LinkConfig) discreet(log *slog.Logger) *slog.Logger {
	if len(l.Reveal) == 0 {
		return log
	}
	return slog.New(discreet{log.Handler()})
}

// discreet leaves out the attributes in which adapters log an ERP's own words.
type discreet struct{ slog.Handler }

// keptBack stands for the words of an ERP.
const keptBack = "(kept back: the ERP is told sensitive values)"

// Handle implements slog.Handler.
func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" || a.Key == "said" {
			a.Value = slog.StringValue(keptBack)
		}
		clean.AddAttrs(a)
		return true
	})
	return d.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (d discreet) WithAttrs(as []slog.Attr) slog.Handler { return discreet{d.Handler.WithAttrs(as)} }

// WithGroup implements slog.Handler.
func (d discreet) WithGroup(name string) slog.Handler { return discreet{d.Handler.WithGroup(name)} }
