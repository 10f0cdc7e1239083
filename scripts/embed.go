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

// State sets a gateway's state aside inside its volume, and brings it back. It runs in
// a container of its own while no node uses the volume.
//
//go:embed cluster-state.sh
var State []byte
