package launch

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
)

// become waits for the session, since Windows cannot replace a process. Ctrl-C is left to the
// session.
func become(r Session) (int, error) {
	defer r.Leave()
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt)
	defer signal.Stop(ignored)
	cmd := exec.Command(r.Program, r.Args[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = r.Environ, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
