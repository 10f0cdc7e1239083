package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// secretVariable holds the handshake secret, which no child may get.
const secretVariable = "OPENSHELL_SSH_HANDSHAKE_SECRET"

// settings is what the server puts into the environment of a sandbox's pod.
type settings struct {
	sandboxID string
	// command is what runs in the sandbox besides SSH sessions.
	command         []string
	user, directory string

	// listen is the address for servers that connect to the sandbox. They prove
	// with the secret that they are the server.
	listen string
	secret []byte
	skew   time.Duration

	// socket is where SSH is served for the relay, by which the sandbox connects to
	// the server at the endpoint.
	socket, endpoint string
	ca, cert, key    string
}

func readSettings(getenv func(string) string) (*settings, error) {
	s := &settings{
		sandboxID: getenv("OPENSHELL_SANDBOX_ID"),
		command:   strings.Fields(getenv("OPENSHELL_SANDBOX_COMMAND")),
		user:      "sandbox",
		directory: "/sandbox",
		listen:    getenv("OPENSHELL_SSH_LISTEN_ADDR"),
		secret:    []byte(getenv(secretVariable)),
		skew:      300 * time.Second,
		socket:    getenv("OPENSHELL_SSH_SOCKET_PATH"),
		endpoint:  getenv("OPENSHELL_ENDPOINT"),
		ca:        getenv("OPENSHELL_TLS_CA"),
		cert:      getenv("OPENSHELL_TLS_CERT"),
		key:       getenv("OPENSHELL_TLS_KEY"),
	}
	if len(s.command) == 0 {
		s.command = []string{"sleep", "infinity"}
	}
	if text := getenv("OPENSHELL_SSH_HANDSHAKE_SKEW_SECS"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("read OPENSHELL_SSH_HANDSHAKE_SKEW_SECS: %w", err)
		}
		s.skew = time.Duration(seconds) * time.Second
	}
	switch {
	case s.listen == "" && s.socket == "":
		return nil, errors.New("neither OPENSHELL_SSH_LISTEN_ADDR nor OPENSHELL_SSH_SOCKET_PATH is set")
	case s.listen != "" && len(s.secret) == 0:
		return nil, errors.New(secretVariable + " is not set")
	case s.socket != "" && s.endpoint == "":
		return nil, errors.New("OPENSHELL_ENDPOINT is not set")
	case s.socket != "" && s.sandboxID == "":
		return nil, errors.New("OPENSHELL_SANDBOX_ID is not set")
	}
	return s, nil
}
