package main

import (
	"context"
	"fmt"
	"os"
)

// contestant is one way of doing a work. Its turn prepares the work, measures it, clears up, and gives the figure.
type contestant struct {
	name string
	turn func(ctx context.Context) (float64, error)
}

// contest has all take turns and gives each one's median. A first round, where there are several, only warms up.
func contest(ctx context.Context, rounds int, all ...contestant) (map[string]float64, error) {
	figures := map[string][]float64{}
	first := 0
	if rounds > 1 {
		first = -1
	}
	for round := first; round < rounds; round++ {
		for _, c := range all {
			f, err := c.turn(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Fprintf(os.Stderr, "bench: round %2d  %-28s %10.4g\n", round+1, c.name, f)
			if round >= 0 {
				figures[c.name] = append(figures[c.name], f)
			}
		}
	}
	medians := make(map[string]float64, len(all))
	for name, f := range figures {
		medians[name] = median(f)
	}
	return medians, nil
}
