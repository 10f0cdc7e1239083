package gateway

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// checkOwnership refuses to go on where an object of our name is not a gateway's,
// or where something else uses the volume.
func checkOwnership(o Observed) error {
	object := objectName(o.Name)
	if c := o.Container; c != nil {
		if c.Origin == OriginForeign {
			return &Error{Cause: CauseForeign,
				Err: fmt.Errorf("container %q is not a gateway: it was made from image %q on %s by something else",
					c.Name, c.Image, c.Created.Format(time.DateTime)),
				Hint: fmt.Sprintf("rename or remove it ('docker rename %s OTHER'), or choose another gateway name", c.Name)}
		}
		if c.Volume != object {
			return &Error{Cause: CauseBroken,
				Err:  fmt.Errorf("container %q does not keep its state on volume %q", c.Name, object),
				Hint: "remove the container to have it rebuilt around the volume: docker rm -f " + c.Name}
		}
	}
	if v := o.Volume; v != nil && (v.Origin == OriginForeign || v.Origin == OriginUpstream && o.Container == nil && o.Record == nil) {
		return &Error{Cause: CauseForeign,
			Err:  fmt.Errorf("volume %q, made on %s, is not a gateway's", v.Name, v.Created.Format(time.DateTime)),
			Hint: "choose another gateway name; or, if it holds nothing that you need: docker volume rm " + v.Name}
	}
	for _, n := range o.Networks {
		attached := o.Container != nil && o.Container.NetworkID == n.ID
		upstream := n.Origin == OriginUpstream && o.Volume != nil
		if n.Origin != OriginOurs && !attached && !upstream {
			return &Error{Cause: CauseForeign,
				Err:  fmt.Errorf("network %q is not a gateway's", object),
				Hint: "choose another gateway name, or remove it: docker network rm " + object}
		}
	}
	if len(o.VolumeUsers) > 0 {
		return &Error{Cause: CauseForeign,
			Err:  fmt.Errorf("volume %q is mounted by %s too; two writers would damage the gateway's data", object, strings.Join(quoted(o.VolumeUsers), " and ")),
			Hint: "remove that container first: docker rm " + o.VolumeUsers[0]}
	}
	return nil
}

// lostVolume is for a gateway that the client's files know and the daemon does not:
// making an empty one in its place would look like success.
func lostVolume(o Observed) error {
	return &Error{Cause: CauseAbsent,
		Err: fmt.Errorf("gateway %q is registered on this machine (%s), but this daemon has neither its container nor its volume",
			o.Name, o.RegisteredEndpoint),
		Hint: fmt.Sprintf("is this the right daemon? See 'docker context ls'. If its data is lost for good, build a new one with 'docker openshell gateway start --recreate %s', or forget it with 'docker openshell gateway destroy %s'", o.Name, o.Name)}
}

// stateOf puts a container's status and health into one word.
func stateOf(c *ObservedContainer) State {
	switch c.Status {
	case container.StateRunning:
		switch c.Health {
		case container.Healthy:
			return StateHealthy
		case container.Unhealthy:
			return StateUnhealthy
		default:
			return StateStarting
		}
	case container.StateRestarting:
		return StateRestarting
	case container.StatePaused:
		return StatePaused
	case container.StateCreated:
		return StateCreated
	case container.StateDead:
		return StateDead
	case container.StateRemoving:
		return StateRemoving
	default:
		return StateStopped
	}
}
