// Package engine starts, stops and watches what keeps a Docker Model Runner
// alive: Docker Engine's container, Docker Desktop, a process of our own. Whether
// the runner answers is for its API to say, not for this package.
package engine

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Kind is a kind of engine.
type Kind string

const (
	Container Kind = "container" // Docker Engine's container
	Desktop   Kind = "desktop"   // a part of Docker Desktop
	Process   Kind = "process"   // a plain binary
	Remote    Kind = "remote"    // on another machine
	None      Kind = "none"
)

// State is what an engine says of its runner.
type State string

const (
	Running State = "running" // it was started; it may not answer yet
	Ending  State = "ending"  // it ended and Docker's restart policy starts it again
	Stopped State = "stopped"
	Absent  State = "absent"
	Unknown State = "" // only its API can tell
)

// Seen is what an engine says at one moment.
type Seen struct {
	State State
	Since time.Time // of this state; zero when unknown
	Run   string    // names one run of the runner, so that two can be told apart; empty when it does not run

	URL    string // http://host:port, or the path's prefix on a socket
	Socket string // empty for TCP

	Named      string // what named the address, for messages; empty: it was found
	Controlled bool   // it can be started and stopped from here

	Meant   bool   // stopped or removed on purpose, not by a crash
	Why     string // how the last run ended, in words; empty when unknown
	Problem *Error // why the state cannot be told, or why nothing can be started

	Exposed     string // an address that other machines reach it at
	OpenOrigins bool   // any web page may read its answers
	Tracks      bool   // it tells Docker what is used
	GPU         bool   // it was given a GPU
	Container   string // the container's name
	Store       string // the folder that its models are in, where it is on this machine
}

// Engine keeps one runner alive, or watches one that is kept by something else.
type Engine interface {
	Kind() Kind
	// Place tells one engine of a kind from another.
	Place() string
	// Look asks once, in at most a few seconds.
	Look(ctx context.Context) Seen
	// Watch calls changed whenever Look may have something else to say, until
	// the context ends. It never polls. changed must not block.
	Watch(ctx context.Context, changed func())
	// Start, Stop and Restart do not wait until the runner answers. Their errors are *Error.
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Restart(ctx context.Context) error
	// Logs writes the last lines of the runner's log, and with follow those to come.
	Logs(ctx context.Context, to io.Writer, lines int, follow bool) error
}

// Install says how a runner is to be set up.
type Install struct {
	Port int    // 0: as it was, or the usual one
	Host string // the address it listens at; empty: as it was, or 127.0.0.1
	GPU  string // auto, none, cuda, rocm …; empty: auto
	Pull bool   // also look for a newer image, when one is there already
}

// Installer is an engine that can set its runner up. progress is told what is being done.
type Installer interface {
	Install(ctx context.Context, how Install, progress func(string)) error
}

// Error is what went wrong, with what a person can do about it.
type Error struct {
	Code   string // sorts it, for doctor and tests
	Why    string
	Remedy string // a sentence, with the command where there is one
	Port   int    // for PortTaken
	Err    error
}

// Codes of an Error.
const (
	NoDocker      = "docker_missing"
	DockerDown    = "docker_down"
	DockerHangs   = "docker_hangs"
	DockerDenied  = "docker_denied"
	DockerRemote  = "docker_remote"
	DesktopDown   = "desktop_down"
	NoPlugin      = "plugin_missing"
	NotInstalled  = "runner_missing"
	TCPOff        = "tcp_off"
	PortTaken     = "port_taken"
	NoProgram     = "program_missing"
	NoLlamaServer = "llama_server_missing"
	NotOurs       = "not_ours"
	Failed        = "engine_failed"
)

func (e *Error) Error() string { return fmt.Sprintf("%s; %s", e.Why, e.Remedy) }
func (e *Error) Unwrap() error { return e.Err }

// What is usual: Model Runner's TCP port, and the socket of the machine's Docker.
const (
	Port         = 12434
	DockerSocket = "/var/run/docker.sock"
)

// quick bounds a look.
const quick = 2 * time.Second
