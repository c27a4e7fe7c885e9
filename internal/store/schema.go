package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
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

// onePostgres runs one statement on a connection of its own.
func onePostgres(ctx context.Context, rawURL, statement string) error {
	conn, err := pgx.Connect(ctx, rawURL)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", answered(ctx, err))
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(answered(ctx, err), conn.Close(ctx))
}
