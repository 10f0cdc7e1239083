package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// errNoRow says that the database does not have what was asked for.
var errNoRow = errors.New("no such row")

// insertSandbox adds a row; false means that the name, or the ID, is taken.
func (s *store) insertSandbox(ctx context.Context, sandbox *pb.Sandbox, createdAtMS int64) (bool, error) {
	record, err := proto.Marshal(sandbox)
	if err != nil {
		return false, fmt.Errorf("encode sandbox %q: %w", sandbox.GetName(), err)
	}
	result, err := s.write.ExecContext(ctx, `INSERT INTO sandboxes VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		string(sandbox.GetId()), string(sandbox.GetName()), createdAtMS, record)
	if err != nil {
		return false, fmt.Errorf("insert sandbox %q: %w", sandbox.GetName(), err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// sandboxRow is a row with its creation time, which only a list tells to clients.
type sandboxRow struct {
	*pb.Sandbox
	createdAtMS int64
}

func (s *store) sandboxByID(ctx context.Context, id string) (sandboxRow, error) {
	return scanSandbox(s.read.QueryRowContext(ctx, `SELECT created_at_ms, record FROM sandboxes WHERE id = ?`, id))
}

func (s *store) sandboxByName(ctx context.Context, name string) (sandboxRow, error) {
	return scanSandbox(s.read.QueryRowContext(ctx, `SELECT created_at_ms, record FROM sandboxes WHERE name = ?`, name))
}

// listSandboxes returns rows by age; a limit below 0 is none.
func (s *store) listSandboxes(ctx context.Context, limit, offset int) ([]sandboxRow, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT created_at_ms, record FROM sandboxes ORDER BY created_at_ms, name LIMIT ? OFFSET ?`, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	var list []sandboxRow
	for rows.Next() {
		row, err := scanSandbox(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, rows.Err()
}

// updateSandbox changes a row; false means that change left it as it was.
func (s *store) updateSandbox(ctx context.Context, id string, change func(*pb.Sandbox)) (bool, error) {
	changed := false
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		row, err := scanSandbox(tx.QueryRowContext(ctx, `SELECT created_at_ms, record FROM sandboxes WHERE id = ?`, id))
		if err != nil {
			return err
		}
		before := proto.CloneOf(row.Sandbox)
		change(row.Sandbox)
		if proto.Equal(before, row.Sandbox) {
			return nil
		}
		changed = true
		record, err := proto.Marshal(row.Sandbox)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE sandboxes SET record = ? WHERE id = ?`, record, id)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("update sandbox %s: %w", id, err)
	}
	return changed, nil
}

// deleteSandbox drops a row; false means that there was none.
func (s *store) deleteSandbox(ctx context.Context, id string) (bool, error) {
	result, err := s.write.ExecContext(ctx, `DELETE FROM sandboxes WHERE id = ?`, id)
	if err != nil {
		return false, fmt.Errorf("delete sandbox %s: %w", id, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func scanSandbox(row interface{ Scan(...any) error }) (sandboxRow, error) {
	r := sandboxRow{Sandbox: &pb.Sandbox{}}
	var record []byte
	if err := row.Scan(&r.createdAtMS, &record); errors.Is(err, sql.ErrNoRows) {
		return r, errNoRow
	} else if err != nil {
		return r, fmt.Errorf("read a sandbox: %w", err)
	}
	if err := proto.Unmarshal(record, r.Sandbox); err != nil {
		return r, fmt.Errorf("decode a sandbox: %w", err)
	}
	return r, nil
}
