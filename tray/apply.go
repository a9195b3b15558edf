package tray

import (
	"context"
	"sync"

	"fyne.io/systray"
)

// item is a row as it was last drawn.
type item struct {
	*systray.MenuItem // nil for a separator
	row               menuRow
	children          []*item
}

// applier draws the menu, and only what changed in it. All its methods are
// called from one goroutine; clicks come from others.
type applier struct {
	ctx    context.Context
	owned  *sync.WaitGroup
	clicks chan<- action
	items  []*item

	mu      sync.Mutex // guards the actions, which clicks read
	actions map[*item]action
}

func (a *applier) draw(rows []menuRow) { a.items = a.level(a.items, rows, nil) }

// level draws the rows of one (sub)menu. Rows are added, never taken away: those
// that are left over are hidden.
func (a *applier) level(items []*item, rows []menuRow, parent *systray.MenuItem) []*item {
	for i, row := range rows {
		if i == len(items) {
			items = append(items, a.add(row, parent))
		}
		a.update(items[i], row)
	}
	for _, extra := range items[len(rows):] {
		hidden := extra.row
		hidden.Hidden = true
		a.update(extra, hidden)
	}
	return items
}

func (a *applier) add(row menuRow, parent *systray.MenuItem) *item {
	it := &item{row: menuRow{Title: row.Title, Checkable: row.Checkable, Checked: row.Checked}}
	switch {
	case row.Separator && parent == nil:
		systray.AddSeparator()
		return it
	case row.Separator:
		parent.AddSeparator()
		return it
	case parent == nil && row.Checkable:
		it.MenuItem = systray.AddMenuItemCheckbox(row.Title, "", row.Checked)
	case parent == nil:
		it.MenuItem = systray.AddMenuItem(row.Title, "")
	case row.Checkable:
		it.MenuItem = parent.AddSubMenuItemCheckbox(row.Title, "", row.Checked)
	default:
		it.MenuItem = parent.AddSubMenuItem(row.Title, "")
	}
	a.owned.Go(func() { a.forward(it) })
	return it
}

// forward always has a reader on the row's clicks: the library drops those that find none.
func (a *applier) forward(it *item) {
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-it.ClickedCh:
			a.mu.Lock()
			action := a.actions[it]
			a.mu.Unlock()
			select {
			case a.clicks <- action:
			case <-a.ctx.Done():
				return
			}
		}
	}
}

// update draws one row's difference. Every setter signals, even one that sets
// what is there, and an open menu flickers.
func (a *applier) update(it *item, row menuRow) {
	if it.MenuItem == nil {
		return
	}
	a.mu.Lock()
	a.actions[it] = row.Action
	a.mu.Unlock()
	old := it.row
	if row.Title != old.Title {
		it.SetTitle(row.Title)
	}
	if row.Checked != old.Checked {
		if row.Checked {
			it.Check()
		} else {
			it.Uncheck()
		}
	}
	if row.Disabled != old.Disabled {
		if row.Disabled {
			it.Disable()
		} else {
			it.Enable()
		}
	}
	if row.Hidden != old.Hidden {
		if row.Hidden {
			it.Hide()
		} else {
			it.Show()
		}
	}
	it.children = a.level(it.children, row.Rows, it.MenuItem)
	it.row = row
}
