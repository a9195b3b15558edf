package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
)

// remake puts a new container in the old one's place that differs only in what is
// asked for. When it does not start, the old one is back.
func (c *containerEngine) remake(ctx context.Context, old *container.InspectResponse, how Install, progress func(string)) error {
	api, err := c.docker.api()
	if err != nil {
		return err
	}
	if how.Pull {
		if err := pull(ctx, api, old.Config.Image, progress); err != nil {
			return c.failed("the image "+old.Config.Image+" cannot be pulled", err)
		}
	}
	config, host := *old.Config, *old.HostConfig
	config.Hostname = "" // the old one's id
	rebind(&host, how)
	progress("stopping the old container")
	name := strings.TrimPrefix(old.Name, "/")
	if err := api.ContainerStop(ctx, old.ID, container.StopOptions{}); err != nil {
		return c.failed("Model Runner's container does not stop", err)
	}
	aside := name + "-before"
	if err := api.ContainerRename(ctx, old.ID, aside); err != nil {
		return c.failed("Model Runner's container cannot be set aside", err)
	}
	progress("starting the new container")
	if err := c.replace(ctx, api, old, &config, &host, name); err != nil {
		// The way back is open also when the caller has left.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = api.ContainerRename(ctx, old.ID, name)
		if old.State.Running {
			_ = api.ContainerStart(ctx, old.ID, container.StartOptions{})
		}
		return err
	}
	_ = api.ContainerRemove(context.WithoutCancel(ctx), old.ID, container.RemoveOptions{Force: true})
	return nil
}

// replace makes and starts the new container. When that fails, it leaves nothing of it.
func (c *containerEngine) replace(ctx context.Context, api *client.Client, old *container.InspectResponse, config *container.Config, host *container.HostConfig, name string) error {
	first, others := networks(old)
	made, err := api.ContainerCreate(ctx, config, host, first, nil, name)
	if err != nil {
		return c.failed("the new container cannot be made", err)
	}
	discard := func() {
		_ = api.ContainerRemove(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{Force: true})
	}
	for network, how := range others { // older Dockers take one at the creation
		if err := api.NetworkConnect(ctx, network, made.ID, how); err != nil {
			discard()
			return c.failed("the new container cannot be connected to its networks", err)
		}
	}
	if err := api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		discard()
		return c.starting(err, &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{HostConfig: host}})
	}
	return nil
}

// rebind changes where the container's port is published.
func rebind(host *container.HostConfig, how Install) {
	bindings := nat.PortMap{}
	for port, list := range host.PortBindings {
		if port.Port() == tlsPort {
			bindings[port] = list
			continue
		}
		list = slices.Clone(list)
		for i := range list {
			if how.Port > 0 {
				list[i].HostPort = strconv.Itoa(how.Port)
			}
			if ip := net.ParseIP(list[i].HostIP); how.Host != "" && (ip == nil || ip.IsLoopback() || ip.IsUnspecified()) {
				list[i].HostIP = how.Host
			}
		}
		if ip := net.ParseIP(how.Host); ip != nil && ip.IsUnspecified() { // it covers the others
			list = slices.DeleteFunc(list, func(b nat.PortBinding) bool { return b.HostIP != how.Host })
		}
		slices.SortFunc(list, func(a, b nat.PortBinding) int {
			return cmp.Or(cmp.Compare(a.HostIP, b.HostIP), cmp.Compare(a.HostPort, b.HostPort))
		})
		bindings[port] = slices.Compact(list)
	}
	host.PortBindings = bindings
}

// networks are the old container's, without the addresses that Docker gave it: the
// first one, and those to connect it to afterwards.
func networks(old *container.InspectResponse) (first *network.NetworkingConfig, others map[string]*network.EndpointSettings) {
	first, others = &network.NetworkingConfig{}, map[string]*network.EndpointSettings{}
	main := old.HostConfig.NetworkMode.NetworkName()
	if old.NetworkSettings != nil {
		for name, e := range old.NetworkSettings.Networks {
			short := old.ID[:min(12, len(old.ID))]
			aliases := slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a == short })
			endpoint := &network.EndpointSettings{Aliases: aliases, Links: e.Links, DriverOpts: e.DriverOpts, IPAMConfig: e.IPAMConfig}
			if name == main || len(old.NetworkSettings.Networks) == 1 {
				first.EndpointsConfig = map[string]*network.EndpointSettings{name: endpoint}
			} else {
				others[name] = endpoint
			}
		}
	}
	return first, others
}

func pull(ctx context.Context, api *client.Client, ref string, progress func(string)) error {
	stream, err := api.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	for dec := json.NewDecoder(stream); ; {
		var line struct{ Status, ID, Progress, Error string }
		switch err := dec.Decode(&line); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
		progress(strings.Join(strings.Fields(line.ID+" "+line.Status+" "+line.Progress), " "))
	}
}
