package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
)

// Origin says who made an object.
type Origin string

// The origins.
const (
	OriginOurs     Origin = "docker-openshell"
	OriginUpstream Origin = "openshell" // the openshell CLI: same names, no labels
	OriginForeign  Origin = "foreign"
)

// Observed is everything that a plan is made from, read once.
type Observed struct {
	Name      string
	Container *ObservedContainer
	Volume    *ObservedVolume
	// Networks are all networks of our name: the daemon allows several.
	Networks []ObservedNetwork
	// Record is the recorded configuration and RecordFrom where it was found:
	// "volume", "container" (derived from what the container was made with), or
	// "files" (derived from the client's metadata). Both are empty when nothing is
	// recorded.
	Record     *Record
	RecordFrom string
	// FilesCurrent says that the container holds this plugin's files.
	FilesCurrent bool
	// Stopping says that a command asked for a stop of the container, and did not see
	// its end: it may be under way.
	Stopping bool
	// Registered says that the client's files know this gateway, and the endpoint
	// that they name.
	Registered         bool
	RegisteredEndpoint string
	// Others are the other gateways on this daemon.
	Others []string
	// VolumeUsers are other containers that mount the volume.
	VolumeUsers []string
	// Old is the container that a recreate keeps, and Pending how far a recreate or a
	// restore has come; both are nil unless one was cut off.
	Old     *ObservedContainer
	Pending *pending
}

// ObservedContainer is what matters of a container.
type ObservedContainer struct {
	ID           string
	Name         string
	Origin       Origin
	Status       container.ContainerState
	Health       container.HealthStatus // "" without a health check
	HealthOutput string
	HealthTest   []string // the health check, as the daemon keeps it
	Image        string
	ImageID      string
	Created      time.Time
	StartedAt    time.Time
	FinishedAt   time.Time
	ExitCode     int
	Error        string
	Restarts     int
	Policy       string
	Bind         string
	Port         int
	Plaintext    bool
	NetworkID    string
	Volume       string
	// Recreate is the snapshot that was made when this container was.
	Recreate string
}

// ObservedVolume is what matters of a volume.
type ObservedVolume struct {
	Name    string
	Origin  Origin
	Created time.Time
	// Image is the node image that the volume's label names.
	Image string
}

// ObservedNetwork is what matters of a network.
type ObservedNetwork struct {
	ID     string
	Origin Origin
}

// observedContainer reads the facts out of an inspection.
func observedContainer(name string, in container.InspectResponse) *ObservedContainer {
	c := &ObservedContainer{
		ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"), Image: in.Config.Image, ImageID: in.Image,
		Created: parseTime(in.Created), Restarts: in.RestartCount, Recreate: in.Config.Labels[labelRecreate],
	}
	if in.State != nil {
		c.Status, c.ExitCode, c.Error = in.State.Status, in.State.ExitCode, in.State.Error
		c.StartedAt, c.FinishedAt = parseTime(in.State.StartedAt), parseTime(in.State.FinishedAt)
		if h := in.State.Health; h != nil && h.Status != container.NoHealthcheck {
			c.Health = h.Status
			if n := len(h.Log); n > 0 {
				c.HealthOutput = strings.TrimSpace(h.Log[n-1].Output)
			}
		}
	}
	if in.Config.Healthcheck != nil {
		c.HealthTest = in.Config.Healthcheck.Test
	}
	if in.HostConfig != nil {
		c.Policy = string(in.HostConfig.RestartPolicy.Name)
		c.Bind, c.Port = published(in.HostConfig.PortBindings)
	}
	c.Plaintext = slices.Contains(in.Config.Env, "DISABLE_TLS=true")
	for _, m := range in.Mounts {
		if m.Destination == dataPath {
			c.Volume = m.Name
		}
	}
	if in.NetworkSettings != nil {
		if n := in.NetworkSettings.Networks[objectName(name)]; n != nil {
			c.NetworkID = n.NetworkID
		}
	}
	c.Origin = containerOrigin(name, in, c)
	return c
}

// containerOrigin tells our containers from those of the openshell CLI, which
// carry no labels, and both from a stranger of the same name: the CLI's container
// runs k3s on the volume of that name and publishes the server's node port.
func containerOrigin(name string, in container.InspectResponse, c *ObservedContainer) Origin {
	if in.Config.Labels[labelGateway] == name {
		return OriginOurs
	}
	_, labelled := in.Config.Labels[labelGateway]
	server := slices.Contains(in.Config.Cmd, "server") || slices.Contains(in.Args, "server")
	if !labelled && server && c.Volume == objectName(name) && c.Port != 0 {
		return OriginUpstream
	}
	return OriginForeign
}

func published(ports network.PortMap) (bind string, port int) {
	for p, bindings := range ports {
		if p.String() != nodePort || len(bindings) == 0 {
			continue
		}
		n, err := strconv.Atoi(bindings[0].HostPort)
		if err != nil {
			continue
		}
		addr := bindings[0].HostIP
		if !addr.IsValid() {
			addr = netip.IPv4Unspecified()
		}
		return addr.String(), n
	}
	return "", 0
}

func observedVolume(name string, v volume.Volume) *ObservedVolume {
	o := &ObservedVolume{Name: v.Name, Created: parseTime(v.CreatedAt), Image: v.Labels[labelImage], Origin: OriginForeign}
	switch owner, labelled := v.Labels[labelGateway]; {
	case owner == name:
		o.Origin = OriginOurs
	case !labelled && len(v.Labels) == 0:
		// The openshell CLI labels nothing: what is on the volume tells.
		o.Origin = OriginUpstream
	}
	return o
}

func observedNetwork(name string, labels map[string]string) Origin {
	switch owner, labelled := labels[labelGateway]; {
	case owner == name:
		return OriginOurs
	case !labelled && len(labels) == 0:
		return OriginUpstream
	default:
		return OriginForeign
	}
}

// derivedRecord describes a container that has no record, such as the openshell
// CLI's, from what it was made with.
func (c *ObservedContainer) derivedRecord(name string) *Record {
	r := newRecord(name)
	r.Image, r.ImageID = c.Image, c.ImageID
	r.Plaintext = c.Plaintext
	if c.Port != 0 {
		r.Bind, r.Port = c.Bind, c.Port
	}
	return &r
}

// running says that the container's main process exists, so that a resume has
// nothing to start. A container that restarts again and again counts.
func (c *ObservedContainer) running() bool {
	return c.Status == container.StateRunning || c.Status == container.StateRestarting
}

// parseTime reads the daemon's form of time; its "never" is the zero time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// lines describes what was observed, for people.
func (o Observed) lines() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if c := o.Container; c != nil {
		line := fmt.Sprintf("container  %s: %s", c.Name, c.Status)
		if c.Health != "" && c.Status == container.StateRunning {
			line += ", " + string(c.Health)
		}
		if c.Status == container.StateExited {
			line += fmt.Sprintf(" (exit code %d)", c.ExitCode)
		}
		if o.Stopping {
			line += ", perhaps being stopped"
		}
		add("%s, made by %s", line, c.Origin)
	} else {
		add("container  none")
	}
	if v := o.Volume; v != nil {
		add("volume     %s: made by %s", v.Name, v.Origin)
	} else {
		add("volume     none")
	}
	if len(o.Networks) > 0 {
		add("network    %s", objectName(o.Name))
	} else {
		add("network    none")
	}
	if o.Old != nil {
		add("recreate   cut off: the old container is %s", o.Old.Name)
	}
	if o.Pending != nil {
		add("pending    %s %s", o.Pending.Phase, o.Pending.ID)
	}
	if o.Record != nil {
		add("recorded   port %d on %s, image %s, %s (from the %s)", o.Record.Port, o.Record.Bind, o.Record.Image, o.Record.auth(), o.RecordFrom)
	}
	return out
}
