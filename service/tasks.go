package service

import (
	"context"
	"slices"
)

// task is something that is being done. Several may be at a time.
type task struct {
	id   int
	text string
	s    *Supervisor
}

// begin puts a task into the State.
func (s *Supervisor) startTask(ctx context.Context, text string) task {
	s.mu.Lock()
	s.taskCount++
	t := task{s.taskCount, text, s}
	s.mu.Unlock()
	s.update(ctx, func(k *known) { k.tasks = append(k.tasks, t) })
	return t
}

// say tells how far it is.
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

// busy is what the newest task says.
func (k *known) busy() string {
	if len(k.tasks) == 0 {
		return ""
	}
	return k.tasks[len(k.tasks)-1].text
}
