// Package scripts holds the scripts that run inside a gateway's container.
package scripts

import _ "embed"

// Entrypoint is the container's entrypoint: it prepares the node and becomes k3s.
//
//go:embed cluster-entrypoint.sh
var Entrypoint []byte

// Healthcheck is the container's health check.
//
//go:embed cluster-healthcheck.sh
var Healthcheck []byte
