package store

import (
	"slices"
	"testing"
)

// TestPostgresProgramsConnectAsWeDo: what the URL says of TLS holds for pg_dump too, and nothing is weaker because it is not said.
func TestPostgresProgramsConnectAsWeDo(t *testing.T) {
	got := connectionEnv("postgres://u:p@h/d?sslmode=verify-full&sslrootcert=%2Fca.pem&search_path=s")
	slices.Sort(got)
	if want := []string{"PGSSLMODE=verify-full", "PGSSLROOTCERT=/ca.pem"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := connectionEnv("postgres://h/d"); len(got) > 0 {
		t.Errorf("got %q, want nothing said, as the environment says it", got)
	}
}
