package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/problem"
)

// NewSchema makes an empty schema in the PostgreSQL database at rawURL and returns a URL whose connections work in it alone. drop
// removes it with all that is in it. Tests and torture use it: each run has a plant of its own.
func NewSchema(ctx context.Context, rawURL, name string) (schemaURL string, drop func(context.Context) error, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", nil, errors.New("the URL of the database cannot be read") // its text may hold a password
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	quoted := pgx.Identifier{name}.Sanitize()
	drop = func(ctx context.Context) error { return onePostgres(ctx, rawURL, "DROP SCHEMA "+quoted+" CASCADE") }
	return u.String(), drop, onePostgres(ctx, rawURL, "CREATE SCHEMA "+quoted)
}

// Address is where the database at rawURL is called, as its driver reads the URL; host is empty for a file and for a socket of this machine. The
// URL, which may hold a password, is in no error.
func Address(rawURL string) (host string, port int, err error) {
	if strings.HasPrefix(rawURL, "sqlite:") {
		return "", 0, nil
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return "", 0, &problem.Error{Kind: problem.Invalid, What: "read the address of the database", Why: "it is no URL of PostgreSQL", Hint: "write postgres://user@host:5432/database"}
	}
	if strings.HasPrefix(cfg.Host, "/") {
		return "", 0, nil
	}
	return cfg.Host, int(cfg.Port), nil
}

// onePostgres runs one statement on a connection of its own.
func onePostgres(ctx context.Context, rawURL, statement string) error {
	conn, err := pgx.Connect(ctx, rawURL)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", answered(ctx, err))
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(answered(ctx, err), conn.Close(ctx))
}
