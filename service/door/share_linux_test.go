package door

import (
	"net"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func isNonblocking(t *testing.T, l net.Listener) bool {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	if err := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); err != nil {
		t.Fatal(err)
	}
	return err == nil && flags&unix.O_NONBLOCK != 0
}

// A listener that was shared must not become blocking: nothing could close it any more.
func TestSharedListenersCanStillBeClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	release, err := inherit(cmd, []net.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Run(); err != nil || len(cmd.ExtraFiles) != 1 {
		t.Fatal(err, len(cmd.ExtraFiles))
	}
	release()
	if !isNonblocking(t, l) {
		t.Error("it blocks after a program inherited it")
	}
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	if err := handOver(ours, []net.Listener{l}); err != nil {
		t.Fatal(err)
	}
	taken, ok := takeOver(theirs)
	if !ok || len(taken) != 1 || taken[0].Addr().String() != l.Addr().String() {
		t.Fatalf("%v %v", taken, ok)
	}
	if !isNonblocking(t, l) || !isNonblocking(t, taken[0]) {
		t.Error("it blocks after it was handed over")
	}
	accepted := make(chan error, 1)
	go func() { _, err := l.Accept(); accepted <- err }()
	_ = l.Close()
	select {
	case <-accepted:
	case <-time.After(10 * time.Second):
		t.Error("Close does not end Accept")
	}
	conn, err := net.Dial("tcp", taken[0].Addr().String())
	if err != nil {
		t.Fatal("the port was closed meanwhile:", err)
	}
	_ = conn.Close()
	_ = taken[0].Close()
}

func socketPair() (a, b net.Conn, err error) {
	l, err := net.Listen("unix", "")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	b, err = l.Accept()
	return a, b, err
}
