//go:build unix

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// desktopDouble is Docker Desktop as far as it is used: its socket, with Model
// Runner's API below a prefix, and the docker desktop command. A double, made after
// docs.docker.com/ai/model-runner/get-started, docs.docker.com/desktop/features/desktop-cli
// and cmd/cli/desktop in docker/model-runner v1.2.6.
type desktopDouble struct {
	dir    string
	env    map[string]string
	server *http.Server
}

// newDesktopDouble runs the socket when the file "up" is there, and the API when
// "enabled" is; the command makes and removes them, and notes how it was called.
func newDesktopDouble(t *testing.T, files ...string) *desktopDouble {
	t.Helper()
	dir, err := os.MkdirTemp("", "desk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &desktopDouble{dir: dir, env: map[string]string{"DOCKER_HOST": "unix://" + filepath.Join(dir, "docker.sock"), "PATH": dir + ":/usr/bin:/bin"}}
	for _, f := range files {
		write(t, filepath.Join(dir, f), "")
	}
	write(t, filepath.Join(dir, "docker"), fmt.Sprintf(`#!/bin/sh
cd %s
echo "$*" >> called
case "$*" in
"desktop start") touch up ;;
"desktop enable model-runner --tcp "*) [ -e refuses ] && { echo 'docker: unknown command: docker desktop' >&2; exit 1; }; touch enabled ;;
"desktop disable model-runner") rm -f enabled ;;
esac
`, dir))
	d.listen(t)
	t.Cleanup(func() { _ = d.server.Close() })
	return d
}

// listen opens the socket, again where it was closed.
func (d *desktopDouble) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(d.dir, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.48")
		switch {
		case !d.has("up"):
			http.Error(w, "starting", http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, "/_ping"):
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			fmt.Fprint(w, "[]")
		case strings.HasSuffix(r.URL.Path, "/info"):
			fmt.Fprint(w, `{"OperatingSystem":"Docker Desktop"}`)
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case r.URL.Path == desktopPrefix+"/models" && d.has("enabled"):
			fmt.Fprint(w, "[]")
		case strings.HasPrefix(r.URL.Path, desktopPrefix+"/logs") && d.has("enabled"):
			fmt.Fprintln(w, "a line of its log")
		default:
			http.NotFound(w, r)
		}
	})}
	d.server = server
	go func() { _ = server.Serve(listener) }()
}

func (d *desktopDouble) has(file string) bool { return exists(filepath.Join(d.dir, file)) }

func (d *desktopDouble) called() string {
	data, _ := os.ReadFile(filepath.Join(d.dir, "called"))
	return strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", "; ")
}

func (d *desktopDouble) engine(t *testing.T) Engine {
	t.Helper()
	e, err := Find(t.Context(), Search{Getenv: from(d.env), Home: d.dir, Wanted: Desktop})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDockerDesktop(t *testing.T) {
	t.Run("it does not run", func(t *testing.T) {
		d := newDesktopDouble(t)
		e := d.engine(t)
		seen := e.Look(t.Context())
		if seen.State != Stopped || !seen.Meant || seen.Problem == nil || seen.Problem.Code != DesktopDown {
			t.Errorf("%+v", seen)
		}
		if err := e.Start(t.Context()); err != nil || d.called() != "desktop start; desktop enable model-runner --tcp 12434" {
			t.Errorf("%v, called %q", err, d.called())
		}
	})
	t.Run("Model Runner is not enabled", func(t *testing.T) {
		d := newDesktopDouble(t, "up")
		e := d.engine(t)
		if seen := e.Look(t.Context()); seen.State != Stopped || seen.Problem == nil || seen.Problem.Code != NotInstalled || !strings.Contains(seen.Problem.Remedy, "docker desktop enable model-runner --tcp 12434") {
			t.Errorf("%+v", seen)
		}
		if err := e.(Installer).Install(t.Context(), Install{Port: 12555}, func(string) {}); err != nil || d.called() != "desktop enable model-runner --tcp 12555" {
			t.Errorf("%v, called %q", err, d.called())
		}
		// The double opens no TCP port: the socket is what is left.
		if seen := e.Look(t.Context()); seen.State != Running || seen.URL != "http://localhost"+desktopPrefix || seen.Socket == "" {
			t.Errorf("%+v", seen)
		}
	})
	t.Run("it runs", func(t *testing.T) {
		d := newDesktopDouble(t, "up", "enabled")
		e := d.engine(t)
		if seen := e.Look(t.Context()); seen.State != Running || seen.Problem != nil {
			t.Errorf("%+v", seen)
		}
		var log bytes.Buffer
		if err := e.Logs(t.Context(), &log, 10, false); err != nil || log.String() != "a line of its log\n" {
			t.Errorf("%v %q", err, log.String())
		}
		if err := errors.Join(e.Restart(t.Context()), e.Stop(t.Context())); err != nil {
			t.Error(err)
		}
		if want := "desktop disable model-runner; desktop enable model-runner --tcp 12434; desktop disable model-runner"; d.called() != want {
			t.Errorf("called %q", d.called())
		}
	})
	t.Run("a command line that is too old", func(t *testing.T) {
		d := newDesktopDouble(t, "up", "refuses")
		var e *Error
		if err := d.engine(t).Start(t.Context()); !errors.As(err, &e) || !strings.Contains(e.Why, "unknown command") || !strings.Contains(e.Remedy, "Settings") {
			t.Errorf("%v", err)
		}
	})
	t.Run("it goes and comes", func(t *testing.T) {
		d := newDesktopDouble(t, "up", "enabled")
		e := d.engine(t)
		ctx, stop := context.WithCancel(t.Context())
		changed, ended := make(chan struct{}, 100), make(chan struct{})
		go func() {
			defer close(ended)
			e.Watch(ctx, func() { changed <- struct{}{} })
		}()
		<-changed
		if err := d.server.Close(); err != nil {
			t.Fatal(err)
		}
		<-changed
		if seen := e.Look(t.Context()); seen.State != Stopped {
			t.Errorf("Docker Desktop went, and it is %+v", seen)
		}
		d.listen(t)
		<-changed
		if seen := e.Look(t.Context()); seen.State != Running {
			t.Errorf("Docker Desktop came, and it is %+v", seen)
		}
		stop()
		<-ended
	})
}
