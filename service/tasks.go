package service

import (
	"context"
	"slices"
)

// task is something in progress that the menu shows. Several may run at a time; the
// newest is shown.
type task struct {
	id   int
	text string
	s    *Supervisor
}

// startTask puts a task into the State, until end is called.
func (s *Supervisor) startTask(ctx context.Context, text string) task {
	s.mu.Lock()
	s.taskCount++
	t := task{s.taskCount, text, s}
	s.mu.Unlock()
	s.update(ctx, func(k *known) { k.tasks = append(k.tasks, t) })
	return t
}

// setText replaces what the menu shows.
func (t task) setText(ctx context.Context, text string) {
	t.s.update(ctx, func(k *known) {
		for i := range k.tasks {
			if k.tasks[i].id == t.id {
				k.tasks[i].text = text
			}
		}
	})
}

func (t task) end(ctx context.Context) { t.s.update(ctx, func(k *known) { k.finish(t.id) }) }

func (k *known) finish(id int) {
	k.tasks = slices.DeleteFunc(k.tasks, func(t task) bool { return t.id == id })
}

// busy is the text of the newest task.
func (k *known) busy() string {
	if len(k.tasks) == 0 {
		return ""
	}
	return k.tasks[len(k.tasks)-1].text
}
