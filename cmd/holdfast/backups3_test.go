package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/backup/s3test"
)

// TestCopiesGoToABucketByTheConfiguration alone: made, proven, listed and restored from a real S3 server, which doctor looks at.
func TestCopiesGoToABucketByTheConfiguration(t *testing.T) {
	t.Parallel()
	store := s3test.Start(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	command(t, "init", dir, "--erp", "http://127.0.0.1:1")
	ca, err := os.ReadFile(store.CA)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	place := fmt.Sprintf("    - {s3: %q, bucket: %s, folder: copies, user: %s, key: \"file:s3-key\", ca: s3-ca.pem, timeout: 20s}", store.URL, store.Bucket, store.User)
	changed := bytes.Replace(text, []byte("    - folder: backups "), []byte(place+" "), 1)
	if bytes.Equal(text, changed) {
		t.Fatalf("init writes no place any more:\n%s", text)
	}
	for name, b := range map[string][]byte{"holdfast.yaml": changed, "s3-ca.pem": ca, "s3-key": []byte(store.Key + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "migrate", "up", "--config", file)
	there := "s3+" + store.URL + "/" + store.Bucket + "/copies"
	if said := doctor(t, file); !strings.Contains(said, "ok    backups: "+there+" answers; it has 0 files\n") {
		t.Errorf("doctor says of a new bucket:\n%s", said)
	}
	command(t, "backup", "create", "--config", file, "--reason", "before the upgrade")
	if said := command(t, "backup", "verify", "--config", file); !strings.Contains(said, "is whole: fetched from "+there+", ") {
		t.Errorf("verify says: %s", said)
	}
	if said := command(t, "backup", "list", "--config", file); !strings.Contains(said, there) {
		t.Errorf("list says: %s", said)
	}
	if err := os.Remove(filepath.Join(dir, "holdfast.db")); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), "new")
	command(t, "backup", "restore", restored, "--config", file)
	if got, err := os.ReadFile(filepath.Join(restored, "s3-ca.pem")); err != nil || !bytes.Equal(got, ca) {
		t.Errorf("who vouches for the store is not in the copy: %q, %v", got, err)
	}
	command(t, "msg", "prove", "--all", "--config", filepath.Join(restored, "holdfast.yaml"))
	if err := os.WriteFile(filepath.Join(dir, "s3-key"), []byte("no-such-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := doctor(t, file); !strings.Contains(said, "bad   backups: list the backups in "+there) || strings.Contains(said, "no-such-secret") {
		t.Errorf("doctor says with another secret:\n%s", said)
	}
}

// doctor is what it says of a plant whose ERP is away.
func doctor(t *testing.T, file string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"doctor", "--config", file}, &out, &errs); status != 7 {
		t.Errorf("doctor ends with %d, want 7: %s%s", status, out.String(), errs.String())
	}
	return out.String()
}
