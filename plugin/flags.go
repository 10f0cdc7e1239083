package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// portFlag is a port number; 0 is "not given".
type portFlag int

func (*portFlag) Type() string { return "port" }
func (p *portFlag) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.Itoa(int(*p))
}

func (p *portFlag) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return errors.New("must be a number from 1 to 65535")
	}
	*p = portFlag(n)
	return nil
}

// ipFlag is an IP address; "" is "not given".
type ipFlag string

func (*ipFlag) Type() string     { return "ip" }
func (i *ipFlag) String() string { return string(*i) }
func (i *ipFlag) Set(s string) error {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return errors.New("must be an IP address, such as 127.0.0.1 or ::1")
	}
	*i = ipFlag(addr.String())
	return nil
}

// timeoutFlag bounds the wait for a gateway to become ready.
type timeoutFlag time.Duration

func (*timeoutFlag) Type() string     { return "duration" }
func (t *timeoutFlag) String() string { return short(time.Duration(*t)) }
func (t *timeoutFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("must be a positive duration, such as 90s or 10m")
	}
	*t = timeoutFlag(d)
	return nil
}

func (t *timeoutFlag) add(cmd *cobra.Command) {
	*t = timeoutFlag(gateway.DefaultTimeout)
	cmd.Flags().Var(t, "timeout", "How long to wait until the gateway is healthy")
}

// short writes a duration without the units that are zero.
func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.String()
	}
}
