package wake

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/fsnotify/fsnotify"
)

func TestAFileThatAppearsIsTold(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	appeared := OnFile(ctx, &watching, filepath.Join(dir, "socket"), fsnotify.Create)
	for _, name := range []string{"another", "socket"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	<-appeared
	if err := os.Remove(filepath.Join(dir, "socket")); err != nil {
		t.Fatal(err)
	}
	stop()
	watching.Wait()
	if len(appeared) > 0 {
		t.Error("another file or its end was told as well")
	}
}

func TestAFolderThatIsNotThereNeverTells(t *testing.T) {
	var watching sync.WaitGroup
	told := OnFile(t.Context(), &watching, filepath.Join(t.TempDir(), "none", "socket"), fsnotify.Create)
	watching.Wait()
	if len(told) > 0 {
		t.Error("it told")
	}
}
