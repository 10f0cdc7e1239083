package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshTimeout bounds the key exchange and the authentication.
const sshTimeout = 30 * time.Second

// sshServer serves SSH to anyone: who may connect is decided before.
type sshServer struct {
	config  *ssh.ServerConfig
	account *account
}

// newSSHServer makes a server with a host key of its own.
func newSSHServer(account *account) (*sshServer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a host key: %w", err)
	}
	config := &ssh.ServerConfig{
		NoClientAuth: true,
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, nil
		},
		ServerVersion: "SSH-2.0-openshell-sandbox-test",
	}
	config.AddHostKey(signer)
	return &sshServer{config: config, account: account}, nil
}

// serve serves one connection until it ends.
func (s *sshServer) serve(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(sshTimeout)); err != nil {
		log.Printf("ssh: %v", err)
		return
	}
	client, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		log.Printf("ssh: %v", err)
		return
	}
	defer client.Close()
	if err := conn.SetDeadline(time.Time{}); err != nil {
		log.Printf("ssh: %v", err)
		return
	}
	// Each gets the answer "no", which is all that a keep-alive wants.
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			go serveSession(channel, s.account)
		case "direct-tcpip":
			go serveForward(channel)
		default:
			reject(channel, ssh.UnknownChannelType, "unknown channel type")
		}
	}
}

func reject(channel ssh.NewChannel, reason ssh.RejectionReason, message string) {
	if err := channel.Reject(reason, message); err != nil {
		log.Printf("ssh: refuse a channel: %v", err)
	}
}

// serveForward connects a channel with a port of the sandbox's own loopback.
func serveForward(channel ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(channel.ExtraData(), &target); err != nil {
		reject(channel, ssh.ConnectionFailed, "malformed request")
		return
	}
	if !isLoopback(target.Host) || target.Port > 65535 {
		reject(channel, ssh.Prohibited, "only loopback addresses can be reached")
		return
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
	if err != nil {
		reject(channel, ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	stream, requests, err := channel.Accept()
	if err != nil {
		log.Printf("ssh: accept a channel: %v", err)
		return
	}
	defer stream.Close()
	go ssh.DiscardRequests(requests)
	join(stream, conn.(*net.TCPConn))
}

// isLoopback says whether a host is the sandbox itself.
func isLoopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}

// halfCloser is a stream whose two directions end separately.
type halfCloser interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// join copies both ways until both have ended. An error ends both: it is how a peer
// that is gone shows, and there is nobody to tell.
func join(a, b halfCloser) {
	done := make(chan struct{}, 2)
	one := func(to, from halfCloser) {
		defer func() { done <- struct{}{} }()
		_, err := io.Copy(to, from)
		if err == nil {
			err = to.CloseWrite()
		}
		if err != nil {
			a.Close()
			b.Close()
		}
	}
	go one(a, b)
	go one(b, a)
	<-done
	<-done
}
