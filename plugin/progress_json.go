package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// jsonProgress writes each event as one line of JSON, for programs that show
// progress in their own way.
type jsonProgress struct{ w io.Writer }

func (p jsonProgress) event(e gateway.Event) {
	line, err := json.Marshal(e)
	if err != nil {
		warn(p.w, "an event could not be encoded: %v", err)
		return
	}
	fmt.Fprintf(p.w, "%s\n", line)
}

func (jsonProgress) close() {}
