// Bare talks to a gateway with as little as it takes: what the plugin is measured
// against.
//
//	bare ENDPOINT BUNDLE ls                 list the sandboxes
//	bare ENDPOINT BUNDLE fill N             make N sandboxes that never get a pod
//	bare ENDPOINT BUNDLE session NAME FILE  make a session; its token goes to FILE
//	bare ENDPOINT BUNDLE connect ID FILE    relay standard input and output
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: bare ENDPOINT BUNDLE ls | fill N | session NAME FILE | connect ID FILE")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, endpoint, bundle, verb string, args []string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	cfg, err := config(u.Hostname(), bundle)
	if err != nil {
		return err
	}
	if verb == "connect" {
		return connect(u.Host, cfg, args[0], args[1])
	}
	conn, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(credentials.NewTLS(cfg)), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // every call has had its answer
	api := pb.NewOpenShellClient(conn)
	switch verb {
	case "ls":
		list, err := api.ListSandboxes(ctx, &pb.ListSandboxesRequest{Limit: 1000})
		if err != nil {
			return err
		}
		for _, s := range list.GetSandboxes() {
			fmt.Println(string(s.GetName()))
		}
		return nil
	case "fill":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		for i := range n {
			// No node knows this class, so there is never a pod.
			template := &pb.SandboxTemplate{RuntimeClassName: "none"}
			if _, err := api.CreateSandbox(ctx, &pb.CreateSandboxRequest{Name: fmt.Sprintf("fill-%d", i), Spec: &pb.SandboxSpec{Template: template}}); err != nil {
				return err
			}
		}
		return nil
	case "session":
		s, err := api.GetSandbox(ctx, &pb.GetSandboxRequest{Name: args[0]})
		if err != nil {
			return err
		}
		id := string(s.GetSandbox().GetId())
		session, err := api.CreateSshSession(ctx, &pb.CreateSshSessionRequest{SandboxId: id})
		if err != nil {
			return err
		}
		fmt.Println(id)
		return os.WriteFile(args[1], []byte(session.GetToken()), 0o600)
	default:
		return fmt.Errorf("there is no %q", verb)
	}
}

func config(host, bundle string) (*tls.Config, error) {
	ca, err := os.ReadFile(filepath.Join(bundle, "ca.crt"))
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(bundle, "tls.crt"), filepath.Join(bundle, "tls.key"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}

func connect(address string, cfg *tls.Config, id, file string) error {
	token, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT /connect/ssh HTTP/1.1\r\nHost: %s\r\nX-Sandbox-Id: %s\r\nX-Sandbox-Token: %s\r\n\r\n",
		cfg.ServerName, id, strings.TrimSpace(string(token))); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	go func() {
		io.Copy(conn, os.Stdin) //nolint:errcheck // the end of the other direction tells
		conn.CloseWrite()       //nolint:errcheck // the same
	}()
	_, err = io.Copy(os.Stdout, reader)
	return err
}
