// Command registry serves Model Runner's own test registry on a free loopback
// port, with models in it: registry [NAME=FILE.gguf]... It prints its address,
// "localhost:PORT", when the models are there, and ends with its standard input.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/docker/model-runner/pkg/distribution/builder"
	"github.com/docker/model-runner/pkg/distribution/registry"
	"github.com/docker/model-runner/pkg/distribution/registry/testregistry"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: testregistry.New(), ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	// Only "localhost" gets plain http from Model Runner.
	address := fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	for _, arg := range os.Args[1:] {
		name, file, ok := strings.Cut(arg, "=")
		if !ok {
			log.Fatalf("%s: want NAME=FILE.gguf", arg)
		}
		if err := push(address+"/"+name, file); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
	fmt.Println(address)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func push(reference, file string) error {
	model, err := builder.FromPath(file)
	if err != nil {
		return err
	}
	target, err := registry.NewClient().NewTarget(reference)
	if err != nil {
		return err
	}
	return model.Build(context.Background(), target, nil)
}
