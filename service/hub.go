package service

import (
	"context"
	"slices"
	"sync"

	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// hub hands facts to the loop, and the State to all subscribers.
type hub struct {
	machine *machine.Machine
	updates chan func(*known) // what became known, applied in the loop

	mu          sync.Mutex
	subscribers []chan state.State
	last        state.State
	tasks       int // counts the tasks
	looks       int // counts the looks at the files
}

// State returns the newest State.
func (h *hub) State() state.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Subscribe returns a channel that always holds the newest State, beginning
// with the current one. A State that was not received in time is replaced.
func (h *hub) Subscribe() <-chan state.State {
	c := make(chan state.State, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	c <- h.last
	h.subscribers = append(h.subscribers, c)
	return c
}

// update has the loop apply a change to what is known.
func (h *hub) update(ctx context.Context, f func(*known)) {
	select {
	case h.updates <- f:
	case <-ctx.Done():
	}
}

func (h *hub) publish(state state.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = state
	for _, c := range h.subscribers {
		select {
		case <-c:
		default:
		}
		c <- state
	}
}

// sync returns when all earlier updates are in the State.
func (h *hub) sync(ctx context.Context) { h.update(ctx, func(*known) {}) }

// failed puts the failure of a command into the State; title says what failed.
func (h *hub) failed(ctx context.Context, title string, err error) {
	text := h.machine.Tilde(fault.Text(err))
	h.update(ctx, func(k *known) {
		k.failed++
		k.failures = append(slices.Clone(k.failures), state.Failure{N: k.failed, Title: title, Text: text})
		k.failures = k.failures[max(0, len(k.failures)-state.KeptFailures):]
	})
}

// task is something in progress that the menu shows. Several may run at a time; the
// newest is shown.
type task struct {
	id   int
	text string
	hub  *hub
}

// startTask puts a task into the State, until end is called.
func (h *hub) startTask(ctx context.Context, text string) task {
	h.mu.Lock()
	h.tasks++
	t := task{h.tasks, text, h}
	h.mu.Unlock()
	h.update(ctx, func(k *known) { k.tasks = append(k.tasks, t) })
	return t
}

// setText replaces what the menu shows.
func (t task) setText(ctx context.Context, text string) {
	t.hub.update(ctx, func(k *known) {
		for i := range k.tasks {
			if k.tasks[i].id == t.id {
				k.tasks[i].text = text
			}
		}
	})
}

func (t task) end(ctx context.Context) { t.hub.update(ctx, func(k *known) { k.finish(t.id) }) }

// nextLook numbers a look at the files that begins now.
func (h *hub) nextLook() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	return h.looks
}
