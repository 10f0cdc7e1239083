package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"os"
	"time"
)

// boot is one start of the server.
type boot struct {
	ID        string `json:"id"`
	StartedAt string `json:"startedAt"`
	// Secret and Certificate are SHA-256 sums, hex; Certificate is "" in plaintext.
	Secret      string `json:"secret"`
	Certificate string `json:"certificate"`
	Pod         string `json:"pod"`
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
	_, err = s.write.ExecContext(ctx, `INSERT INTO boots VALUES (?, ?, ?, ?, ?)`,
		hex.EncodeToString(id), time.Now().UTC().Format(time.RFC3339Nano), hex.EncodeToString(sum[:]), certificate, pod)
	return err
}

func (s *store) boots(ctx context.Context) ([]boot, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, started_at, secret, certificate, pod FROM boots ORDER BY started_at`)
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
	_, err := s.write.ExecContext(ctx, `INSERT INTO marks VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

func (s *store) marks(ctx context.Context) (map[string]string, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT name, value FROM marks`)
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
