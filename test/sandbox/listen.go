package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"
)

// prefaceTimeout bounds the wait for the handshake's line.
const prefaceTimeout = 10 * time.Second

func listenTCP(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the server: %w", err)
	}
	log.Printf("listening on %s", listener.Addr())
	return listener, nil
}

// listenSocket listens on a Unix socket that only this user can reach.
func listenSocket(path string) (net.Listener, error) {
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	// The directory may be older, with another mode.
	if err := os.Chmod(directory, 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the relay: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	log.Printf("listening on %s", path)
	return listener, nil
}

// serveTCP serves SSH to whoever proves to be the server.
func serveTCP(ctx context.Context, listener net.Listener, verifier *verifier, ssh *sshServer) error {
	return accept(ctx, listener, func(conn net.Conn) {
		if err := answer(conn, verifier); err != nil {
			log.Printf("%s: handshake refused: %v", conn.RemoteAddr(), err)
			conn.Close()
			return
		}
		ssh.serve(conn)
	})
}

// answer reads the handshake's line and says what became of it.
func answer(conn net.Conn, verifier *verifier) error {
	if err := conn.SetDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return err
	}
	line, err := readPreface(conn)
	if err != nil {
		return err
	}
	if err := verifier.verify(line); err != nil {
		_, writeErr := conn.Write([]byte("ERR\n"))
		return errors.Join(err, writeErr)
	}
	if _, err := conn.Write([]byte("OK\n")); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// accept hands each connection to its own goroutine until the context ends.
func accept(ctx context.Context, listener net.Listener, handle func(net.Conn)) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept a connection: %w", err)
		}
		go handle(conn)
	}
}
