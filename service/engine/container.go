// Package engine starts what keeps a runner alive.
package engine

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Container is Model Runner's container in a Docker Engine.
type Container struct {
	Host string // where the Docker daemon listens
	ID   string
}

// Start starts the stopped container. It does not wait until Model Runner answers.
func (c Container) Start(ctx context.Context) error {
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithHost(c.Host), client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer docker.Close()
	if err := docker.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		return fmt.Errorf("its container does not start: %w", err)
	}
	return nil
}
