package engine

import (
	"path/filepath"

	"github.com/docker/docker/client"
)

// daemon is Docker's API, by Docker's own client. This file alone knows which client that is.
type daemon = client.Client

const defaultHost = client.DefaultDockerHost

func (d *Docker) api() (*daemon, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client != nil {
		return d.client, nil
	}
	opts := []client.Opt{client.WithHost(d.Host), client.WithAPIVersionNegotiation()}
	if d.certs != "" {
		opts = append(opts, client.WithTLSClientConfig(filepath.Join(d.certs, "ca.pem"), filepath.Join(d.certs, "cert.pem"), filepath.Join(d.certs, "key.pem")))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, &Error{Code: NoDocker, Why: "the Docker address " + d.Host + " cannot be used: " + err.Error(), Remedy: "correct DOCKER_HOST or the Docker context", Err: err}
	}
	d.client = c
	return c, nil
}

// noConnection reports whether an error is that the daemon cannot be reached.
func noConnection(err error) bool { return client.IsErrConnectionFailed(err) }
