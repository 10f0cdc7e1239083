// Probe does nothing and succeeds: that it ran says that an Engine can run it. With
// --serve it accepts connections on port 80 until it is stopped.
package main

import (
	"net"
	"os"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "--serve" {
		return
	}
	l, err := net.Listen("tcp", ":80")
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			err = c.Close()
		}
	}
	os.Stderr.WriteString(err.Error() + "\n") //nolint:errcheck // the last words
	os.Exit(1)
}
