package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"holdfast/internal/problem"
)

// secrets finds what references name; relative files begin beside the configuration. The secret itself is in no error.
func (c Config) secret(_ context.Context, reference string) (string, error) {
	kind, name, _ := strings.Cut(reference, ":")
	bad := &problem.Error{Kind: problem.Invalid, What: "find the secret " + reference}
	switch kind {
	case "env":
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		bad.Why, bad.Hint = "the environment has no such variable, or it is empty", "set "+name+" where holdfast is started"
		return "", bad
	case "file":
		b, err := os.ReadFile(c.beside(name))
		if err == nil && strings.TrimSpace(string(b)) != "" {
			return strings.TrimRight(string(b), "\r\n"), nil
		}
		bad.Why, bad.Hint = "the file is empty", "write the secret into it"
		if err != nil {
			bad.Why, bad.Hint = why(err), "write the secret into the file and let the user that runs holdfast read it"
		}
		return "", bad
	case "credential":
		return systemdCredential(name)
	default:
		bad.What, bad.Why, bad.Hint = "find a secret", kind+": references are not in this version", "use env:NAME or file:PATH"
		return "", bad
	}
}

// databaseURL is the URL to open, with its password where a reference brings one. It must not be printed.
func (c Config) databaseURL(ctx context.Context) (string, error) {
	if strings.HasPrefix(c.Database.URL, "env:") || strings.HasPrefix(c.Database.URL, "file:") {
		return c.secret(ctx, c.Database.URL)
	}
	return c.Database.URL, nil
}

// why words an error of the file system without its path, which the caller has named.
func why(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "it may not be read by this user"
	case errors.Is(err, fs.ErrExist):
		return "it is there already"
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
