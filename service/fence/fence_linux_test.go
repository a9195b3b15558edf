//go:build amd64 || arm64

package fence

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

const (
	become = "FENCE_BECOME" // set: the test's program puts up the fence and becomes its arguments
	dial   = "FENCE_DIAL"   // set: it connects there, as a Go program does
)

func TestMain(m *testing.M) {
	if os.Getenv(become) != "" {
		_ = os.Unsetenv(become)
		path, err := exec.LookPath(os.Args[1])
		if err == nil {
			err = Become(path, os.Args[1:], os.Environ())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
	if to := os.Getenv(dial); to != "" {
		network, address, _ := strings.Cut(to, "/")
		conn, err := net.Dial(network, address)
		if err == nil {
			_, err = conn.Write([]byte("hello"))
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	alone.Main(m)
}

// fenced runs a command and returns what is reported of it.
func fenced(t *testing.T, seen func(int, string), environ []string, args ...string) (Report, string, error) {
	t.Helper()
	if err := Available(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(append(os.Environ(), environ...), become+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	report, err := Run(t.Context(), cmd, seen)
	return report, out.String(), err
}

// texts are the attempts without how often, which is the programs' affair.
func texts(r Report) (all []string) {
	for _, a := range r.Attempts {
		text, _, _ := strings.Cut(a.String(), ",")
		all = append(all, text)
	}
	return all
}

func TestAProgramIsKeptOnThisMachine(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		want    string // an attempt; empty: none
		fails   bool
	}{
		{name: "nothing", args: []string{"true"}},
		{name: "its exit code", args: []string{"false"}, fails: true},
		{name: "an address", args: []string{"bash", "-c", "echo >/dev/tcp/192.0.2.1/80"}, want: "bash tried to connect to 192.0.2.1:80", fails: true},
		{name: "an address by UDP", args: []string{"bash", "-c", "echo >/dev/udp/192.0.2.1/80"}, want: "bash tried to connect to 192.0.2.1:80 (udp)", fails: true},
		{name: "an address of IPv6", args: []string{"bash", "-c", "echo >/dev/tcp/2001:db8::1/80"}, want: "bash tried to connect to [2001:db8::1]:80", fails: true},
		{name: "a child's child", args: []string{"sh", "-c", "sh -c 'bash -c \"echo >/dev/tcp/192.0.2.1/80\"'; true"}, want: "bash tried to connect to 192.0.2.1:80"},
		{name: "a name by glibc", args: []string{"getent", "ahosts", "claude.example"}, want: "getent tried to look up claude.example", fails: true},
		{name: "a name by Go", environ: []string{"GODEBUG=netdns=go", dial + "=tcp/claude.example:443"}, args: []string{self}, want: "tried to look up claude.example", fails: true},
		{name: "a resolver by TCP", environ: []string{dial + "=tcp/127.0.0.1:53"}, args: []string{self}, want: "tried to look up a name that could not be read", fails: true},
		{name: "an address by Go", environ: []string{dial + "=tcp/192.0.2.1:443"}, args: []string{self}, want: "tried to connect to 192.0.2.1:443", fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, out, err := fenced(t, nil, c.environ, c.args...)
			if (err != nil) != c.fails {
				t.Errorf("it ended with %v\n%s", err, out)
			}
			got := texts(report)
			if c.want == "" && len(got) != 0 || c.want != "" && !slices.ContainsFunc(got, func(text string) bool { return strings.HasSuffix(text, c.want) }) {
				t.Errorf("tried %q, want %q\n%s", got, c.want, out)
			}
		})
	}
}

// What is on this machine is reached, and reported with the process that reached it.
func TestThisMachineIsReached(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 16)
		n, _ := conn.Read(buffer)
		got <- string(buffer[:n])
	}()
	var mu sync.Mutex
	var who []int
	address := listener.Addr().String()
	report, out, err := fenced(t, func(pid int, at string) {
		mu.Lock()
		defer mu.Unlock()
		if at == address {
			who = append(who, pid)
		}
	}, []string{dial + "=tcp/" + address}, self)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := <-got; text != "hello" {
		t.Errorf("it sent %q", text)
	}
	if len(report.Attempts) != 0 || len(who) != 1 || who[0] <= 0 {
		t.Errorf("attempts %v, by %v", report.Attempts, who)
	}
	if !slices.Contains(report.Local, Local{address, 1}) {
		t.Errorf("reached %v", report.Local)
	}
}

// A child that outlives its command is cut off with it.
func TestWhoOutlivesTheCommandReachesNobody(t *testing.T) {
	dir := t.TempDir()
	wait, tell := dir+"/wait", dir+"/tell"
	if out, err := exec.CommandContext(t.Context(), "mkfifo", wait, tell).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, out, err := fenced(t, nil, nil, "sh", "-c", "setsid bash -c 'read x <"+wait+"; (echo >/dev/tcp/127.0.0.1/9) 2>&1 | cat >"+tell+"' >/dev/null 2>&1 &")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(wait, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(tell)
	if err != nil || !strings.Contains(string(said), "not implemented") {
		t.Errorf("afterwards it heard %q, %v", said, err)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]verdict{
		"127.0.0.1:12480": allow, "127.9.9.9:80": allow, "[::1]:80": allow, "0.0.0.0:80": allow, "[::ffff:127.0.0.1]:80": allow,
		"127.0.0.53:53": lookup, "192.0.2.1:53": lookup, "[::1]:53": lookup,
		"192.0.2.1:80": refuse, "10.0.0.1:443": refuse, "169.254.1.1:80": refuse, "[fe80::1]:80": refuse, "[::ffff:192.0.2.1]:80": refuse,
	} {
		if got := judge(netip.MustParseAddrPort(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for path, want := range map[string]verdict{"/run/systemd/resolve/io.systemd.Resolve": refuse, "/var/run/nscd/socket": refuse, "/run/avahi-daemon/socket": lookup, "/run/user/1000/bus": allow, "@x": allow} {
		if got := judgeSocket(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// FuzzAddress: what a program hands over is read without a crash, whatever it is.
func FuzzAddress(f *testing.F) {
	f.Add([]byte{2, 0, 0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x01\x00/run/user/1000/bus\x00"))
	query := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("claude.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	packed, err := query.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, b []byte) {
		family, to, _, ok := parseAddress(b)
		if ok && (family == familyInet || family == familyInet6) && !to.IsValid() {
			t.Errorf("%v: an address that is none", b)
		}
		if name := question(b); name == "" {
			return
		}
		if reply := refusal(b); len(reply) > 0 && question(reply) != question(b) {
			t.Errorf("%v: the reply is about something else", b)
		}
	})
}
