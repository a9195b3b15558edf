package lab

import (
	"os"
	"path/filepath"
)

// Environ is a scratch home's environment, with nothing of the user's in it; bus
// is the address of a session bus, or empty. It makes the home's folder for
// temporary files, so that they go when the home goes.
func Environ(home, bus string) []string {
	temporary := filepath.Join(home, "tmp")
	_ = os.MkdirAll(temporary, 0o700) // a program that needs it says so itself
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C.UTF-8", "TMPDIR=" + temporary, "CLAUDE_CODE_TMPDIR=" + temporary,
		"XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "XDG_STATE_HOME=" + filepath.Join(home, ".local", "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"), "XDG_DATA_HOME=" + filepath.Join(home, ".local", "share"),
		"XDG_RUNTIME_DIR=" + filepath.Join(home, "run"), "DOCKER_HOST=unix://" + filepath.Join(home, "no-docker.sock"),
		"SWITCHYARD_GPU_ROOT=" + filepath.Join(home, "no-gpu"), "SWITCHYARD_NVML=" + filepath.Join(home, "no-nvml"), "TZ=UTC",
	}
	if port, err := freePort(); err == nil { // the usual one is the user's
		env = append(env, "SWITCHYARD_GATEWAY_PORT="+port)
	}
	if bus != "" {
		env = append(env, "DBUS_SESSION_BUS_ADDRESS="+bus)
	}
	return env
}
