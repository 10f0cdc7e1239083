package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	_ "modernc.org/sqlite" // the database driver
)

// store is the server's database. Writers share one connection, so that they wait
// for each other here and not in SQLite; readers have their own, which a writer does
// not hold up, because the database keeps a write-ahead log.
type store struct{ write, read *sql.DB }

// readers bounds the connections that read.
const readers = 4

const schema = `
CREATE TABLE IF NOT EXISTS boots (id TEXT PRIMARY KEY, started_at TEXT NOT NULL, secret TEXT NOT NULL, certificate TEXT NOT NULL, pod TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sandboxes (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at_ms INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (token_sha256 TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, sandbox TEXT NOT NULL, expires_at_ms INTEGER NOT NULL, revoked INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS sessions_by_sandbox ON sessions (sandbox_id);`

func openStore(ctx context.Context, url string) (*store, error) {
	// Writers wait for each other in place of failing: a new pod may open the file
	// while the old one still closes it.
	source := "file:" + strings.TrimPrefix(url, "sqlite:") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
	write, err := sql.Open("sqlite", source+"&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	write.SetMaxOpenConns(1)
	if _, err := write.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("create the tables: %w", err), write.Close())
	}
	read, err := sql.Open("sqlite", source+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database for reading: %w", err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return &store{write: write, read: read}, nil
}

func (s *store) close() {
	if err := errors.Join(s.read.Close(), s.write.Close()); err != nil {
		os.Stderr.WriteString("close the database: " + err.Error() + "\n") //nolint:errcheck // the last words
	}
}

// transaction runs f in a transaction of the writing connection.
func (s *store) transaction(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}
