package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serviceAccountDir is where Kubernetes puts a pod's credentials.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// cluster is a client of the Kubernetes API, as small as this server needs it.
type cluster struct {
	base, namespace string
	// tokenFile is read for each request: Kubernetes replaces the token in it.
	tokenFile string
	http      *http.Client
}

// object is a Kubernetes object as JSON, for those that are written.
type object = map[string]any

// newCluster returns a client for the cluster in which the server runs.
func newCluster(namespace, dir string, getenv func(string) string) (*cluster, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no Kubernetes pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority of Kubernetes: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s/ca.crt holds no certificate", dir)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		// A watch is silent for long; pings find out that the other side is gone.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		TLSHandshakeTimeout: 10 * time.Second,
	}
	return &cluster{
		base:      "https://" + net.JoinHostPort(host, port),
		namespace: namespace,
		tokenFile: filepath.Join(dir, "token"),
		http:      &http.Client{Transport: transport},
	}, nil
}

// sandboxesPath is where the namespace's sandboxes are.
func (c *cluster) sandboxesPath() string {
	return "/apis/" + sandboxGroup + "/namespaces/" + url.PathEscape(c.namespace) + "/sandboxes"
}

func (c *cluster) eventsPath() string {
	return "/api/v1/namespaces/" + url.PathEscape(c.namespace) + "/events"
}

// statusError is an answer of the Kubernetes API that is no success.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return e.message }

// hasStatus tells whether err is an answer with this HTTP status.
func hasStatus(err error, code int) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.code == code
}

// call sends a request and decodes the answer, unless out is nil.
func (c *cluster) call(ctx context.Context, method, path string, query url.Values, in, out any) (err error) {
	body, err := c.open(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
		return err
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	return nil
}

// open sends a request and returns the body of a successful answer.
func (c *cluster) open(ctx context.Context, method, path string, query url.Values, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("ask the Kubernetes API: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the service account's token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the Kubernetes API: %w", err)
	}
	if res.StatusCode < 300 {
		return res.Body, nil
	}
	return nil, errors.Join(readStatus(res), res.Body.Close())
}

// readStatus makes an error of an answer that is no success.
func readStatus(res *http.Response) error {
	e := &statusError{code: res.StatusCode, message: "the Kubernetes API answered " + res.Status}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return errors.Join(e, err)
	}
	var status struct{ Message string }
	// Proxies answer in other forms; the HTTP status says enough then.
	if json.Unmarshal(text, &status) == nil && status.Message != "" {
		e.message = status.Message
	}
	return e
}
