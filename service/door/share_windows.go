package door

import (
	"net"
	"os/exec"
)

// inherit hands nothing over: here a guard opens the port again.
func inherit(*exec.Cmd, []net.Listener) (release func(), err error) { return func() {}, nil }

func Inherited(int) []net.Listener { return nil }

// handOver only says that the port will be free in a moment.
func handOver(conn net.Conn, _ []net.Listener) error {
	_, err := conn.Write([]byte{'.'})
	return err
}

func takeOver(conn net.Conn) (listeners []net.Listener, ok bool) {
	first := make([]byte, 1)
	n, err := conn.Read(first)
	return nil, err == nil && n == 1 && first[0] == '.'
}
