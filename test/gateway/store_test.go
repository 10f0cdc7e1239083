package main

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

func TestStoreRows(t *testing.T) {
	s := newTestStore(t)
	ctx := t.Context()
	box := &pb.Sandbox{Id: []byte("1"), Name: []byte("box"), Phase: provisioning}
	if ok, err := s.insertSandbox(ctx, box, 7); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, same := range []*pb.Sandbox{{Id: []byte("1"), Name: []byte("other")}, {Id: []byte("2"), Name: []byte("box")}} {
		if ok, err := s.insertSandbox(ctx, same, 7); ok || err != nil {
			t.Errorf("%v: %v, %v", same, ok, err)
		}
	}
	change := func(x *pb.Sandbox) { x.Phase = ready }
	for _, want := range []bool{true, false} {
		if changed, err := s.updateSandbox(ctx, "1", change); changed != want || err != nil {
			t.Errorf("changed %v, %v", changed, err)
		}
	}
	if _, err := s.updateSandbox(ctx, "2", change); !errors.Is(err, errNoRow) {
		t.Error(err)
	}
	row, err := s.sandboxByName(ctx, "box")
	if err != nil || row.GetPhase() != ready || row.createdAtMS != 7 {
		t.Error(row, err)
	}
	if ok, err := s.deleteSandbox(ctx, "1"); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, err := s.sandboxByID(ctx, "1"); !errors.Is(err, errNoRow) {
		t.Error(err)
	}
}

// TestReadWhileWriting reads in the middle of a transaction that writes.
func TestReadWhileWriting(t *testing.T) {
	s := newTestStore(t)
	ctx := t.Context()
	if _, err := s.insertSandbox(ctx, &pb.Sandbox{Id: []byte("1"), Name: []byte("box")}, 7); err != nil {
		t.Fatal(err)
	}
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sandboxes`); err != nil {
			return err
		}
		_, err := s.sandboxByID(ctx, "1")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStoreSessions(t *testing.T) {
	s := newTestStore(t)
	ctx := t.Context()
	now := time.Now().UnixMilli()
	for token, expires := range map[string]int64{"old": now - 1, "new": now + 60_000} {
		if err := s.insertSession(ctx, session{TokenSHA256: tokenSum(token), SandboxID: "1", Sandbox: "box", ExpiresAt: expires}); err != nil {
			t.Fatal(err)
		}
	}
	// Another insertion drops what has expired.
	if err := s.insertSession(ctx, session{TokenSHA256: tokenSum("other"), SandboxID: "2", Sandbox: "two", ExpiresAt: now + 60_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sessionOf(ctx, "old"); !errors.Is(err, errNoRow) {
		t.Error(err)
	}
	if n, err := s.revokeSession(ctx, "new"); !n.Revoked || n.Sandbox != "box" || err != nil {
		t.Error(n, err)
	}
	if _, err := s.revokeSession(ctx, "never"); !errors.Is(err, errNoRow) {
		t.Error(err)
	}
	if err := s.deleteSessions(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	if list, err := s.sessions(ctx); len(list) != 1 || list[0].Sandbox != "two" || err != nil {
		t.Error(list, err)
	}
}
