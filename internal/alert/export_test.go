package alert

// ClockProbe looks for a clock that was put forward or back.
var ClockProbe = clockProbe //nolint:gochecknoglobals // a function under another name
