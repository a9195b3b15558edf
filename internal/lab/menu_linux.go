package lab

import (
	"context"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Row is one line of an application's menu, as a tray host gets it.
type Row struct {
	ID                       int32
	Label                    string
	Enabled, Visible, Ticked bool
	Separator                bool
	Rows                     []Row
}

// UseIcon finds the icon on a bus whose tray host is a real one, and waits for it.
func (b *Bus) UseIcon(ctx context.Context) error {
	return b.Until(ctx, "the icon", func() bool {
		var names []string
		if b.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names) != nil {
			return false
		}
		for _, n := range names {
			if strings.HasPrefix(n, "org.kde.StatusNotifierItem-") {
				b.record(func() { b.item = n })
				return true
			}
		}
		return false
	})
}

// HasName reports whether a name that begins so is on the bus.
func (b *Bus) HasName(prefix string) bool {
	var names []string
	if b.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names) != nil {
		return false
	}
	for _, n := range names {
		if strings.HasPrefix(n, prefix) {
			return true
		}
	}
	return false
}

func (b *Bus) object(path dbus.ObjectPath) dbus.BusObject {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn.Object(b.item, path)
}

// Property reads a property of the icon, such as ToolTip.
func (b *Bus) Property(name string) (dbus.Variant, error) {
	return b.object("/StatusNotifierItem").GetProperty("org.kde.StatusNotifierItem." + name)
}

type layout struct {
	ID         int32
	Properties map[string]dbus.Variant
	Children   []dbus.Variant
}

// Menu reads the icon's menu.
func (b *Bus) Menu() ([]Row, error) {
	var revision uint32
	var root layout
	err := b.object("/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{}).Store(&revision, &root)
	if err != nil {
		return nil, err
	}
	return rows(root)
}

func rows(l layout) ([]Row, error) {
	var out []Row
	for _, child := range l.Children {
		var c layout
		if err := dbus.Store([]any{child.Value()}, &c); err != nil {
			return nil, err
		}
		r := Row{ID: c.ID, Enabled: true, Visible: true}
		for name, v := range c.Properties {
			switch value := v.Value().(type) {
			case string:
				switch name {
				case "label":
					r.Label = value
				case "type":
					r.Separator = value == "separator"
				}
			case bool:
				switch name {
				case "enabled":
					r.Enabled = value
				case "visible":
					r.Visible = value
				}
			case int32:
				if name == "toggle-state" {
					r.Ticked = value == 1
				}
			}
		}
		var err error
		if r.Rows, err = rows(c); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Find returns the visible row with a label, or with a label that begins so, anywhere in a menu.
func Find(rows []Row, label string) (Row, bool) {
	for _, r := range rows {
		if !r.Visible {
			continue
		}
		if strings.HasPrefix(r.Label, label) {
			return r, true
		}
		if found, ok := Find(r.Rows, label); ok {
			return found, true
		}
	}
	return Row{}, false
}

// Open tells the application that its menu was opened.
func (b *Bus) Open() error {
	return b.object("/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.Event", 0, int32(0), "opened", dbus.MakeVariant(""), uint32(0)).Err
}

// Click clicks the visible row with a label.
func (b *Bus) Click(label string) error {
	menu, err := b.Menu()
	if err != nil {
		return err
	}
	row, ok := Find(menu, label)
	if !ok {
		return fmt.Errorf("the menu has no row %q: %v", label, menu)
	}
	return b.object("/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.Event", 0, row.ID, "clicked", dbus.MakeVariant(""), uint32(0)).Err
}
