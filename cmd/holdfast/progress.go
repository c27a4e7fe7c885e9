package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// newProgress is a bar on a terminal, which must have something to do; anywhere else nothing is drawn, so that a log stays readable.
func newProgress(w io.Writer, total int, what string) *progressbar.ProgressBar {
	if !isTerminal(w) {
		w = io.Discard
	}
	return progressbar.NewOptions(max(1, total), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
}
