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

// bytesOf is what draws how much was read or written, and what ends that.
func bytesOf(w io.Writer, what string) (tell func(done, of int64), end func()) {
	bar := newProgress(w, -1, what)
	return func(done, of int64) {
		bar.ChangeMax64(of)
		_ = bar.Set64(done)
	}, func() { _ = bar.Finish() }
}
