package inbox

import "holdfast/internal/message"

// newerThan tells whether a version of an object comes after the one that was applied. Anything is newer than no version. A version
// that cannot be compared is an error.
func newerThan(version, applied string) (bool, error) {
	if version == "" || applied == "" {
		return true, nil
	}
	n, err := message.CompareVersions(version, applied)
	return n > 0, err
}
