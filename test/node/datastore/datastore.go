// Package datastore serves etcd's API from a SQLite file, as k3s does: kine in
// the supervisor's process, reached through a unix socket.
package datastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
)

const (
	// pragmas make SQLite survive a kill at any moment (WAL) without a sync
	// per write, and let writers queue instead of fail.
	pragmas = "_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=30000&_txlock=immediate&_stmt_cache_size=20&cache=shared"

	// emulatedVersion is the etcd release whose features the API server may
	// expect.
	emulatedVersion = "3.5.13"

	notifyInterval = 5 * time.Second

	// maxMessage is etcd's default limit of one request (1.5 MiB) and half a
	// MiB for its envelope.
	maxMessage = 2 << 20
)

// Store is a serving datastore.
type Store struct {
	server *grpc.Server
	cancel context.CancelFunc
	wait   *sync.WaitGroup
}

// Start opens or makes the database file and serves it on the socket, both
// given by absolute paths. A file that cannot be opened is tried for minutes, or
// until opening ends.
func Start(opening context.Context, database, socket string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(database), 0o700); err != nil {
		return nil, err
	}
	// Each watch that a stop cuts off would be a warning of its own.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, os.Stderr))
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{cancel: cancel, wait: &sync.WaitGroup{}}
	defer context.AfterFunc(opening, cancel)()
	if err := s.start(ctx, database, socket); err != nil {
		cancel()
		return nil, fmt.Errorf("open the datastore %s: %w", database, err)
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, database, socket string) error {
	_, backend, err := sqlite.New(ctx, s.wait, &drivers.Config{
		DataSourceName:   database + "?" + pragmas,
		CompactInterval:  5 * time.Minute,
		CompactTimeout:   5 * time.Second,
		CompactMinRetain: 1000,
		CompactBatchSize: 1000,
		PollInterval:     time.Second,
		PollBatchSize:    500,
	})
	if err != nil {
		return err
	}
	if err := backend.Start(ctx); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s.server = grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(1<<30))
	server.New(backend, "unix", notifyInterval, emulatedVersion).Register(s.server)
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		if err := s.server.Serve(listener); err != nil {
			logrus.Errorf("The datastore no longer serves: %v", err)
		}
	}()
	return nil
}

// Stop ends all requests at once and closes the database, which folds its
// write-ahead log into the file.
func (s *Store) Stop() {
	s.server.Stop()
	s.cancel()
	s.wait.Wait()
}
