package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the database driver
)

// store is the server's database.
type store struct{ db *sql.DB }

// boot is one start of the server.
type boot struct {
	ID        string `json:"id"`
	StartedAt string `json:"startedAt"`
	// Secret and Certificate are SHA-256 sums, hex; Certificate is "" in plaintext.
	Secret      string `json:"secret"`
	Certificate string `json:"certificate"`
	Pod         string `json:"pod"`
}

const schema = `
CREATE TABLE IF NOT EXISTS boots (id TEXT PRIMARY KEY, started_at TEXT NOT NULL, secret TEXT NOT NULL, certificate TEXT NOT NULL, pod TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);`

func openStore(ctx context.Context, url string) (*store, error) {
	path := strings.TrimPrefix(url, "sqlite:")
	// Writers wait for each other in place of failing: a new pod may open the file
	// while the old one still closes it.
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &store{db}, nil
}

func (s *store) close() {
	if err := s.db.Close(); err != nil {
		os.Stderr.WriteString("close the database: " + err.Error() + "\n") //nolint:errcheck // the last words
	}
}

// recordBoot writes down with what the server was started: sums, never the values.
func (s *store) recordBoot(ctx context.Context, secret string, cert *tls.Certificate) error {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(secret))
	certificate := ""
	if cert != nil {
		c := sha256.Sum256(cert.Certificate[0])
		certificate = hex.EncodeToString(c[:])
	}
	pod, err := os.Hostname()
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, `INSERT INTO boots VALUES (?, ?, ?, ?, ?)`,
		hex.EncodeToString(id), time.Now().UTC().Format(time.RFC3339Nano), hex.EncodeToString(sum[:]), certificate, pod)
	return err
}

func (s *store) boots(ctx context.Context) ([]boot, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, started_at, secret, certificate, pod FROM boots ORDER BY started_at`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	list := []boot{}
	for rows.Next() {
		var b boot
		if err := rows.Scan(&b.ID, &b.StartedAt, &b.Secret, &b.Certificate, &b.Pod); err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, rows.Err()
}

func (s *store) mark(ctx context.Context, name, value string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO marks VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

func (s *store) marks(ctx context.Context) (map[string]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name, value FROM marks`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	marks := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		marks[name] = value
	}
	return marks, rows.Err()
}
