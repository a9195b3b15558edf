package network

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		route        bool
		connectivity uint32
		want         Reach
	}{
		{false, 0, Offline}, {false, 4, Offline}, {true, 0, Online}, {true, 4, Online},
		{true, connectivityPortal, Portal}, {true, connectivityLimited, Offline}, {true, connectivityNone, Offline},
	} {
		if got := judge(c.route, c.connectivity); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

const inside = "TEST_INSIDE"

// The kernel's routes come and go in a network namespace of its own, a hundred times;
// NetworkManager, a double behind its real protocol, tells a portal.
func TestWatch(t *testing.T) {
	if os.Getenv(inside) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--net", self, "-test.run", "^TestWatch$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		if strings.HasPrefix(string(out), "unshare: ") && os.Getuid() != 0 {
			t.Skipf("needs root, or a system that lets anybody make namespaces: %s", out) // Ubuntu 24.04 does not
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWatch") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	ip := func(args string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	manager := startManager(t)
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan Reach, 1000)
	ended := make(chan error)
	go func() { ended <- Watch(ctx, func(r Reach) { told <- r }) }()
	want := func(what string, r Reach) {
		t.Helper()
		limit := time.After(10 * time.Second)
		for {
			select {
			case got := <-told:
				if got == r {
					return
				}
			case <-limit:
				t.Fatalf("%s: it never was %s", what, r)
			}
		}
	}
	want("the start", Offline)
	ip("link add wire type veth peer name far")
	ip("link set far up")
	ip("addr add 192.0.2.2/24 dev wire")
	for range 100 {
		ip("link set wire up")
		ip("route add default via 192.0.2.1")
		want("the route came", Online)
		ip("link set wire down")
		want("the route went", Offline)
	}
	ip("link set wire up")
	ip("route add default via 192.0.2.1")
	want("the route came again", Online)
	manager.SetMust(managerName, "Connectivity", uint32(connectivityPortal))
	want("a portal", Portal)
	manager.SetMust(managerName, "Connectivity", uint32(4))
	want("the login", Online)
	ip("route del default")
	ip("-6 addr add 2001:db8::2/64 dev wire nodad")
	want("none", Offline)
	ip("-6 route add default via 2001:db8::1")
	want("by IPv6", Online)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// However soon it is told to end, it ends.
func TestWatchEnds(t *testing.T) {
	for range 20000 {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		begun := make(chan struct{}, 1)
		go func() {
			ended <- Watch(ctx, func(Reach) {
				select {
				case begun <- struct{}{}:
				default:
				}
			})
		}()
		<-begun
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it does not end")
		}
	}
}

// startManager starts a bus with a double of NetworkManager on it.
func startManager(t *testing.T) *prop.Properties {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, []byte(`<busconfig><type>system</type><listen>unix:dir=`+dir+`</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := exec.Command("dbus-daemon", "--nofork", "--print-address", "--config-file="+config)
	out, err := bus.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bus.Process.Kill()
		_ = bus.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", strings.TrimSpace(address))
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	properties, err := prop.Export(conn, managerPath, prop.Map{managerName: {"Connectivity": {Value: uint32(4), Emit: prop.EmitTrue}}})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(managerName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return properties
}
