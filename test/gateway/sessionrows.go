package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// session is what the database knows of an SSH session: the sum of its token, never
// the token, so that neither the database nor /sessions can open a tunnel.
type session struct {
	TokenSHA256 string `json:"tokenSHA256"`
	// Sandbox is the sandbox's name.
	Sandbox   string `json:"sandbox"`
	SandboxID string `json:"-"`
	ExpiresAt int64  `json:"-"`
	Revoked   bool   `json:"revoked"`
}

func tokenSum(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// insertSession adds a session, and drops those that have expired.
func (s *store) insertSession(ctx context.Context, n session) error {
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE expires_at_ms <= ?`, time.Now().UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO sessions VALUES (?, ?, ?, ?, ?)`, n.TokenSHA256, n.SandboxID, n.Sandbox, n.ExpiresAt, n.Revoked)
		return err
	})
	if err != nil {
		return fmt.Errorf("store an SSH session of %q: %w", n.Sandbox, err)
	}
	return nil
}

func (s *store) sessionOf(ctx context.Context, token string) (session, error) {
	n := session{TokenSHA256: tokenSum(token)}
	err := s.read.QueryRowContext(ctx, `SELECT sandbox_id, sandbox, expires_at_ms, revoked FROM sessions WHERE token_sha256 = ?`, n.TokenSHA256).
		Scan(&n.SandboxID, &n.Sandbox, &n.ExpiresAt, &n.Revoked)
	if errors.Is(err, sql.ErrNoRows) {
		return n, errNoRow
	} else if err != nil {
		return n, fmt.Errorf("read an SSH session: %w", err)
	}
	return n, nil
}

// revokeSession returns the session, revoked; errNoRow for an unknown token.
func (s *store) revokeSession(ctx context.Context, token string) (session, error) {
	if _, err := s.write.ExecContext(ctx, `UPDATE sessions SET revoked = 1 WHERE token_sha256 = ?`, tokenSum(token)); err != nil {
		return session{}, fmt.Errorf("revoke an SSH session: %w", err)
	}
	return s.sessionOf(ctx, token)
}

// deleteSessions drops the sessions of a sandbox.
func (s *store) deleteSessions(ctx context.Context, sandboxID string) error {
	if _, err := s.write.ExecContext(ctx, `DELETE FROM sessions WHERE sandbox_id = ?`, sandboxID); err != nil {
		return fmt.Errorf("delete the SSH sessions of %s: %w", sandboxID, err)
	}
	return nil
}

func (s *store) sessions(ctx context.Context) ([]session, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT token_sha256, sandbox_id, sandbox, expires_at_ms, revoked FROM sessions ORDER BY sandbox, token_sha256`)
	if err != nil {
		return nil, fmt.Errorf("list the SSH sessions: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	list := []session{}
	for rows.Next() {
		var n session
		if err := rows.Scan(&n.TokenSHA256, &n.SandboxID, &n.Sandbox, &n.ExpiresAt, &n.Revoked); err != nil {
			return nil, fmt.Errorf("read an SSH session: %w", err)
		}
		list = append(list, n)
	}
	return list, rows.Err()
}
