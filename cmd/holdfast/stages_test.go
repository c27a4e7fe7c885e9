package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStagesEndInTheirOrder has each part take two seconds for its end.
func TestStagesEndInTheirOrder(t *testing.T) {
	broken := errors.New("the address is taken")
	tests := []struct {
		name string
		fail string // the part that fails after a second, "" if the program is told to end then
		hang string // the part that never ends
		want string // parts in the order of their end, with the second
	}{
		{"told to end", "", "", "[api 3 inbox 5 relay 7 store 9]"},
		{"the first fails", "api", "", "[api 1 inbox 3 relay 5 store 7]"},
		{"the last fails", "store", "", "[store 1 api 3 inbox 5 relay 7]"},
		{"one does not end", "", "inbox", "[api 3 relay 15 store 17]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				ended := make(chan string, 5)
				never, giveUp := context.WithCancel(t.Context())
				named := func(name string) []part {
					return []part{{name, func(ctx context.Context) (err error) {
						defer func() { ended <- fmt.Sprintf("%s %.0f", name, time.Since(begun).Seconds()) }()
						if name == tt.fail {
							time.Sleep(time.Second)
							return broken
						}
						<-ctx.Done()
						if name == tt.hang {
							<-never.Done()
						}
						time.Sleep(2 * time.Second)
						return nil
					}}}
				}
				ctx, cancel := context.WithCancel(t.Context())
				if tt.fail == "" {
					time.AfterFunc(time.Second, cancel)
				}
				defer cancel()
				err := runStages(ctx, 10*time.Second, slog.New(slog.DiscardHandler), named("api"), named("inbox"), named("relay"), named("store"))
				var got []string
				for len(ended) > 0 {
					got = append(got, <-ended)
				}
				giveUp()
				time.Sleep(3 * time.Second) // for what hung
				if fmt.Sprint(got) != tt.want {
					t.Errorf("ended %v, want %s", got, tt.want)
				}
				if errors.Is(err, broken) != (tt.fail != "") || (err != nil && strings.Contains(err.Error(), "end ["+tt.hang+"]")) != (tt.hang != "") {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}
