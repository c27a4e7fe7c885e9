//go:build race

package mapping_test

// raceDetector tells that the race detector allocates too.
const raceDetector = true
