// Switchyard keeps Claude Code on the right track: the cloud, or a model on this machine.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"

	"github.com/switchyard-app/switchyard/cli"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/tray"
)

// version is set by the linker in releases.
var version string

func main() {
	// A process that stays for weeks: memory counts for more than the collector's time (make bench shows both).
	debug.SetGCPercent(50)
	libraries := new(tray.LibraryLog)
	log.SetOutput(libraries)
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, libraries)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, libraries *tray.LibraryLog) int {
	home, err := os.UserHomeDir()
	if err != nil {
		fmt.Fprintf(os.Stderr, "switchyard: no home folder: %v; set HOME\n", err)
		return 1
	}
	folder, err := os.Getwd()
	if err != nil {
		folder = "" // a folder that was removed: no project decides then
	}
	return cli.Run(ctx, cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd())), Interactive: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		Folder: folder, Home: home, Environ: os.Environ(),
		Paths: config.UserPaths(), Program: machine.Executable(), Version: version,
		Tray: func(ctx context.Context, m *machine.Machine) error { return tray.Run(ctx, m, libraries) },
	}, os.Args[1:])
}
