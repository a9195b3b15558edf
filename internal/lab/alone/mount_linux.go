package alone

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Mounts reports whether this process may mount file systems. Where only root may, it
// runs the test as the root of a namespace instead, and returns false.
func Mounts(t *testing.T) bool {
	t.Helper()
	if os.Getuid() == 0 {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = Outside() // it cleans its own
	out, err := cmd.CombinedOutput()
	if strings.HasPrefix(string(out), "unshare: ") {
		t.Skipf("needs root, or a system that lets anybody make namespaces: %s", out)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
