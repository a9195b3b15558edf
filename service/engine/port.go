package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/go-connections/nat"
)

// tlsPort is where a container that serves TLS does so, besides plain HTTP.
const tlsPort = "12444"

// published is where the container's plain HTTP port is reached from here, and an
// address among them that other machines reach; the Docker bridge's is none.
func published(bindings nat.PortMap) (address, exposed string) {
	address = fmt.Sprintf("http://127.0.0.1:%d", Port)
	chosen := false
	for _, port := range slices.SortedFunc(maps.Keys(bindings), func(a, b nat.Port) int { return cmp.Compare(a, b) }) {
		if port.Port() == tlsPort || port.Proto() != "tcp" {
			continue
		}
		for _, b := range bindings[port] {
			host := b.HostIP
			ip := net.ParseIP(host)
			if ip == nil || ip.IsUnspecified() {
				exposed = net.JoinHostPort(cmp.Or(host, "0.0.0.0"), b.HostPort)
				host = "127.0.0.1"
			}
			if b.HostPort == "" || b.HostPort == "0" || chosen && !Loopback(host) {
				continue
			}
			address = "http://" + net.JoinHostPort(host, b.HostPort)
			chosen = true
			if Loopback(host) {
				return address, exposed
			}
		}
	}
	return address, exposed
}

// PortOf is the port that an address names; 0 when it names none.
func PortOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(u.Port())
	return n
}

var portError = regexp.MustCompile(`(?i)port is already allocated|address already in use|ports are not available|only one usage of each socket address`)

func portTaken(port int, err error) *Error {
	return &Error{Code: PortTaken, Port: port, Why: fmt.Sprintf("port %d is taken", port),
		Remedy: fmt.Sprintf("stop what uses it, or move Model Runner: switchyard runner install --port %d", port+1), Err: err}
}

// PublishedBy names the container that publishes a port; empty when none does.
func PublishedBy(ctx context.Context, getenv func(string) string, home, system string, port int) string {
	docker, err := FindDocker(getenv, home, system)
	if err != nil || docker.ping(ctx) != nil {
		return ""
	}
	api, err := docker.api()
	if err != nil {
		return ""
	}
	all, err := api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("publish", strconv.Itoa(port)))})
	if err != nil || len(all) == 0 || len(all[0].Names) == 0 {
		return ""
	}
	return strings.TrimPrefix(all[0].Names[0], "/")
}
