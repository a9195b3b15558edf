package localrunner

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	gopsnet "github.com/shirou/gopsutil/v4/net"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/machine"
)

// PortTaken says which program uses a port, and suggests a free one.
func PortTaken(m *machine.Machine, port int) (why, remedy string) {
	ctx, cancel := context.WithTimeout(context.Background(), Quick)
	defer cancel()
	why = fmt.Sprintf("port %d is taken", port)
	if who := PortHolder(ctx, m, port); who != "" {
		why += " by " + who
	}
	remedy = "stop the program that uses it"
	if free := FreePort(port + 1); free > 0 {
		remedy += fmt.Sprintf(", or move Model Runner: switchyard runner install --port %d", free)
	}
	return why, remedy
}

// PortHolder names the program or container that listens on a TCP port; empty if
// nothing does, or it is unknown.
func PortHolder(ctx context.Context, m *machine.Machine, port int) string {
	connections, err := gopsnet.ConnectionsWithContext(ctx, "tcp")
	if err != nil {
		return ""
	}
	for _, c := range connections {
		if c.Status != "LISTEN" || int(c.Laddr.Port) != port {
			continue
		}
		if c.Pid == 0 {
			return "a program of another user"
		}
		name := programName(ctx, c.Pid)
		if name == "" {
			return fmt.Sprintf("process %d", c.Pid)
		}
		if strings.HasPrefix(name, "docker-proxy") {
			if container := engine.PublishedBy(ctx, m.Getenv, m.Home, m.Paths.Usual.Docker, port); container != "" {
				return "the container " + container
			}
		}
		return fmt.Sprintf("%s (pid %d)", name, c.Pid)
	}
	return ""
}

// FreePort is the first port, starting with from, that nothing listens on; 0 if there is
// none nearby.
func FreePort(from int) int {
	const tries = 50
	for port := from; port < from+tries && port < 1<<16; port++ {
		if !Listens(port) {
			return port
		}
	}
	return 0
}

// Listens reports whether anything listens on a port of 127.0.0.1.
func Listens(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 200*time.Millisecond)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
