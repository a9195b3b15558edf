//go:build unix

package uninstall

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/machine"
)

// A Switchyard that quits without answering has quit.
func TestQuitOutlivesACutAnswer(t *testing.T) {
	short, err := os.MkdirTemp("", "sy") // a socket's path has at most a hundred characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	m := &machine.Machine{Paths: config.Paths{Runtime: short, State: t.TempDir()}}
	socket := filepath.Join(m.Paths.Runtime, "switchyard.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the listener
		for range 3 { // Find, the request, and the request again
			if conn, err := l.Accept(); err == nil {
				_ = conn.Close()
			}
		}
		_ = l.Close()
		_ = os.Remove(socket)
	}()
	if ran, err := Quit(t.Context(), m); !ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
}
