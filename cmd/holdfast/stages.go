package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/problem"
)

// part is one thing that runs until it is told to end.
type part struct {
	name string
	run  func(context.Context) error
}

// runStages runs every part until ctx ends or one of them fails. Then it ends them stage by stage, in the order given: a stage is
// told to end only after the one before it has, so that nothing new comes in while what is under way is finished below. A stage that
// has not ended within bound does not hold up the next: it is named in the error, and left to the end of the process.
func runStages(ctx context.Context, bound time.Duration, log *slog.Logger, stages ...[]part) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ends := make([]func() error, 0, len(stages))
	for _, s := range stages {
		ends = append(ends, begin(ctx, stop, s))
	}
	<-running.Done()
	errs := make([]error, 0, len(stages))
	for i, end := range ends {
		ended := make(chan error, 1)
		go func() { ended <- end() }()
		late := time.NewTimer(bound)
		select {
		case err := <-ended:
			errs = append(errs, err)
		case <-late.C:
			err := stuck(stages[i], bound)
			log.ErrorContext(ctx, "a part of the program does not end", "err", err)
			errs = append(errs, err)
		}
		late.Stop()
	}
	return errors.Join(errs...)
}

// begin starts the parts of a stage and returns what ends them and waits for it. The first that fails calls stop.
func begin(ctx context.Context, stop func(), parts []part) (end func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	for _, p := range parts {
		g.Go(func() error {
			err := p.run(ctx)
			if err == nil {
				return nil
			}
			stop()
			return fmt.Errorf("run %s: %w", p.name, err)
		})
	}
	return func() error {
		cancel()
		return g.Wait()
	}
}

func stuck(parts []part, bound time.Duration) error {
	names := make([]string, 0, len(parts))
	for _, p := range parts {
		names = append(names, p.name)
	}
	return &problem.Error{
		Kind: problem.Internal, What: fmt.Sprintf("end %v", names), Why: fmt.Sprintf("it had not ended %s after it was told to", bound),
		Hint: "nothing that was accepted is lost: the next start asks for what may have been sent; please report it with the log",
	}
}
