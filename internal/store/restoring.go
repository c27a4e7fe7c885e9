package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/problem"
)

// restoring is the schema that a database on PostgreSQL has from before a copy is put into it until that is the plant's. Nothing starts on a database
// that has it: what was owed at the time of the copy would be sent again. A restore that is killed leaves it.
const restoring = "holdfast_restoring"

// ended refuses a database into which a restore has not ended.
func (db *DB) ended(ctx context.Context) error {
	if db.dialect != Postgres || db.cfg.Restoring {
		return nil
	}
	var is bool
	if err := db.write.GetContext(ctx, &is, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, restoring); err != nil {
		return fmt.Errorf("look whether a restore has ended: %w", err)
	}
	if is {
		return &problem.Error{
			Kind: problem.Conflict, What: "open " + db.String(), Why: "a restore into it has not ended: what it owes may have been delivered, and nobody would be asked",
			Hint: "if none is at work, drop the database, make an empty one (dropdb NAME, createdb NAME), and restore again",
		}
	}
	return nil
}

// begin says in an empty database that a restore has begun.
func begin(ctx context.Context, rawURL string) error {
	return onPostgres(ctx, rawURL, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `CREATE SCHEMA `+restoring)
		return err
	})
}

// EndRestore makes what was restored the plant's, with whatever else tx does.
func (tx *Tx) EndRestore(ctx context.Context) error {
	if tx.Dialect() != Postgres {
		return nil
	}
	if _, err := tx.Exec(ctx, `DROP SCHEMA IF EXISTS `+restoring); err != nil {
		return fmt.Errorf("end a restore: %w", err)
	}
	return nil
}

// UndoRestore empties a database on PostgreSQL into which RestoreCopy has put a copy that is not to be the plant's. One into which no restore is under way
// it leaves alone.
func UndoRestore(ctx context.Context, rawURL string) error {
	return onPostgres(ctx, rawURL, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `DROP SCHEMA `+restoring); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, `SELECT DISTINCT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
				WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S')`)
			if err != nil {
				return err
			}
			names, err := pgx.CollectRows(rows, pgx.RowTo[string])
			for _, name := range names {
				if err == nil { // it was empty when the restore began
					_, err = tx.Exec(ctx, `DROP SCHEMA `+pgx.Identifier{name}.Sanitize()+` CASCADE`)
				}
				if err == nil {
					_, err = tx.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{name}.Sanitize())
				}
			}
			return err
		})
	})
}

func onPostgres(ctx context.Context, rawURL string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, rawURL)
	if err == nil {
		err = errors.Join(do(conn), conn.Close(ctx))
	}
	if err != nil {
		return answered(ctx, fmt.Errorf("say in the database that it is being restored: %w", err))
	}
	return nil
}
