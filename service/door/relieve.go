package door

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
)

// relieve takes the listeners from a guard, if one is serving the gateway, and ends it.
func relieve(ctx context.Context, m *machine.Machine) (listeners []net.Listener, relieved bool) {
	conn, err := control.Dial(ctx, m)
	if err != nil {
		return nil, false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(localrunner.Quick))
	if _, err := io.WriteString(conn, "POST /yield HTTP/1.1\r\nHost: switchyard\r\n\r\n"); err != nil {
		return nil, false
	}
	return takeOver(conn)
}
