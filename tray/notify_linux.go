package tray

import (
	"bytes"
	"context"
	"image"
	"image/draw"
	"image/png"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/esiqveland/notify"
	"github.com/godbus/dbus/v5"
)

// server is the desktop's notification service, over D-Bus: it replaces, and offers
// buttons where it can. What it does in "do not disturb" is its own affair.
type server struct {
	ctx   context.Context // its end closes the connection, and so ends a call that hangs
	click func(action)

	mu      sync.Mutex // guards what follows; nothing is asked under it
	conn    *dbus.Conn
	buttons bool
	shown   map[string]uint32   // by key
	offers  map[uint32][]action // what a notification's buttons do
}

func newNotifier(ctx context.Context, click func(action)) notifier {
	return &server{ctx: ctx, click: click}
}

// connected connects to the session bus again when the connection is gone.
func (s *server) connected() (conn *dbus.Conn, buttons bool, err error) {
	s.mu.Lock()
	conn, buttons = s.conn, s.buttons
	s.mu.Unlock()
	if conn != nil && conn.Connected() {
		return conn, buttons, nil
	}
	if conn, err = connectBus(s.ctx); err != nil {
		return nil, false, err
	}
	if err := conn.AddMatchSignal(dbus.WithMatchObjectPath("/org/freedesktop/Notifications"), dbus.WithMatchInterface(notifications)); err != nil {
		_ = conn.Close()
		return nil, false, err
	}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	go func() { // ends with the connection
		for signal := range signals {
			s.heard(signal)
		}
	}()
	can, err := notify.GetCapabilities(conn)
	buttons = err == nil && slices.Contains(can, "actions")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.buttons = conn, buttons
	s.shown, s.offers = map[string]uint32{}, map[uint32][]action{}
	return conn, buttons, nil
}

const notifications = "org.freedesktop.Notifications"

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func (s *server) show(n told) error {
	conn, buttons, err := s.connected()
	if err != nil {
		return plain{s.ctx}.show(n)
	}
	note := notify.Notification{AppName: "Switchyard", Summary: n.Title, Body: markup.Replace(n.Text), ExpireTimeout: notify.ExpireTimeoutSetByNotificationServer}
	if picture, err := rgba(n.icon); err == nil {
		note.AddHint(notify.HintImageDataRGBA(picture))
	}
	note.AddHint(notify.Hint{ID: "desktop-entry", Variant: dbus.MakeVariant(id)})
	s.mu.Lock()
	note.ReplacesID = s.shown[n.Key]
	s.mu.Unlock()
	var does []action
	if buttons {
		for i, offer := range n.Offers {
			note.Actions = append(note.Actions, notify.Action{Key: strconv.Itoa(i), Label: offer.Label})
			does = append(does, offer.Action)
		}
	}
	number, err := notify.SendNotification(conn, note)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Key != "" {
		s.shown[n.Key] = number
	}
	s.offers[number] = does
	return nil
}

// heard takes what the service says: a click on a button, or that a notification is
// gone, whose number may be used again.
func (s *server) heard(signal *dbus.Signal) {
	if len(signal.Body) < 2 {
		return
	}
	number, _ := signal.Body[0].(uint32)
	s.mu.Lock()
	does := s.offers[number]
	switch signal.Name {
	case notifications + ".NotificationClosed":
		delete(s.offers, number)
		maps.DeleteFunc(s.shown, func(_ string, n uint32) bool { return n == number })
		does = nil
	case notifications + ".ActionInvoked":
	default:
		does = nil
	}
	s.mu.Unlock()
	for i, action := range does {
		if signal.Body[1] == strconv.Itoa(i) {
			s.click(action)
		}
	}
}

func rgba(icon []byte) (*image.RGBA, error) {
	picture, err := png.Decode(bytes.NewReader(icon))
	if err != nil {
		return nil, err
	}
	out := image.NewRGBA(picture.Bounds())
	draw.Draw(out, out.Bounds(), picture, picture.Bounds().Min, draw.Src)
	return out, nil
}
