//go:build linux && cgo

package gpu

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

// TestMain is also the process that asks a library, which may end it.
func TestMain(m *testing.M) {
	if root := os.Getenv("TEST_PROBE_ROOT"); root != "" {
		_ = json.NewEncoder(os.Stdout).Encode(Probe(root, os.Getenv("TEST_PROBE_LIBRARY")))
		os.Exit(0)
	}
	alone.Main(m)
}

// fake is a double of libnvidia-ml.so.1, after nvml.h, whose behaviour macros choose.
const fake = `
#include <string.h>
#include <unistd.h>
typedef int ret;
typedef struct { unsigned long long total, free, used; } memory;
#ifndef GPUS
#define GPUS 1
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef MEMORY
#define MEMORY 0
#endif
ret nvmlInit_v2(void) {
#ifdef HANGS
	pause();
#endif
	return INIT;
}
ret nvmlInitWithFlags(unsigned int flags) { return nvmlInit_v2(); }
ret nvmlShutdown(void) { return 0; }
ret nvmlDeviceGetCount_v2(unsigned int *n) { *n = GPUS; return 0; }
ret nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **d) { *d = (void *)(unsigned long)(i + 1); return 0; }
ret nvmlDeviceGetName(void *d, char *name, unsigned int n) { strncpy(name, "NVIDIA GeForce RTX 4090", n); return 0; }
#ifdef MIG
ret nvmlDeviceGetMigMode(void *d, unsigned int *now, unsigned int *next) { *now = *next = 1; return 0; }
ret nvmlDeviceGetMaxMigDeviceCount(void *d, unsigned int *n) { *n = 7; return 0; }
ret nvmlDeviceGetMigDeviceHandleByIndex(void *d, unsigned int i, void **part) { *part = (void *)(unsigned long)(i + 1); return i < 2 ? 0 : 6; }
#endif
#ifndef OLD
ret nvmlDeviceGetMemoryInfo(void *d, memory *m) {
	m->total = 24ull << 30; m->free = (unsigned long)d << 30; m->used = m->total - m->free;
	return MEMORY;
}
#endif
`

// library builds the double; empty text makes a library with nothing in it.
func library(t *testing.T, text string, macros ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, path := filepath.Join(dir, "fake.c"), filepath.Join(dir, "libnvidia-ml.so.1")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-shared", "-fPIC", "-o", path, source}
	for _, m := range macros {
		args = append(args, "-D"+m)
	}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// card is a tree of sysfs with one NVIDIA GPU.
func card(t *testing.T, status string) (root string) {
	t.Helper()
	root = t.TempDir()
	for file, text := range map[string]string{"class": "0x030000\n", "vendor": "0x10de\n", "power/runtime_status": status + "\n"} {
		path := filepath.Join(root, "sys/bus/pci/devices/0000:01:00.0", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func read(t *testing.T, root, library string) ([]Device, error) {
	t.Helper()
	t.Setenv("TEST_PROBE_ROOT", root)
	t.Setenv("TEST_PROBE_LIBRARY", library)
	return Read(context.Background(), os.Args[0])
}

func TestNVIDIAsLibrary(t *testing.T) {
	tests := []struct {
		name   string
		root   string
		lib    func() string
		count  int
		why    string
		failed string
	}{
		{"one GPU", "active", func() string { return library(t, fake) }, 1, "", ""},
		{"eight GPUs", "active", func() string { return library(t, fake, "GPUS=8") }, 8, "", ""},
		{"a GPU cut into two", "active", func() string { return library(t, fake, "MIG") }, 2, "", ""},
		{"no library", "active", func() string { return "/nowhere/libnvidia-ml.so.1" }, 1, "libnvidia-ml.so.1 is not installed", ""},
		{"a library with nothing in it", "active", func() string { return library(t, "int nothing;") }, 0, "", "is broken or much too old"},
		{"an old driver", "active", func() string { return library(t, fake, "OLD") }, 1, "it has no nvmlDeviceGetMemoryInfo", ""},
		{"a driver that is not loaded", "active", func() string { return library(t, fake, "INIT=9") }, 1, "its kernel module is not loaded", ""},
		{"a driver of another version", "active", func() string { return library(t, fake, "INIT=18") }, 1, "reboot", ""},
		{"memory that is not told", "active", func() string { return library(t, fake, "MEMORY=3") }, 1, "it does not support that", ""},
		{"a driver that hangs", "active", func() string { return library(t, fake, "HANGS") }, 0, "", "does not answer"},
		{"a GPU that sleeps, and a driver that hangs", "suspended", func() string { return library(t, fake, "HANGS") }, 1, "it is asleep", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			devices, err := read(t, card(t, tt.root), tt.lib())
			if tt.failed != "" {
				if err == nil || !strings.Contains(err.Error(), tt.failed) || time.Since(begin) > probeTime+2*time.Second {
					t.Errorf("%v after %s", err, time.Since(begin))
				}
				return
			}
			if err != nil || len(devices) != tt.count {
				t.Fatalf("%+v %v", devices, err)
			}
			for i, d := range devices {
				switch {
				case tt.why != "" && (!strings.Contains(d.Why, tt.why) || d.Total != -1 || d.Free != -1):
					t.Errorf("%+v", d)
				case tt.why == "" && (!strings.HasPrefix(d.Name, "NVIDIA GeForce RTX 4090") || d.Total != 24<<30 || d.Free != int64(i+1)<<30):
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

func TestNoGPUAtAll(t *testing.T) {
	if devices, err := read(t, t.TempDir(), "/nowhere/lib.so"); err != nil || len(devices) != 0 || Free(devices) != -1 {
		t.Errorf("%+v %v", devices, err)
	}
}

// A process that the library ended is told, and nothing else happens.
func TestAProbeThatDies(t *testing.T) {
	if _, err := Read(context.Background(), "/bin/sh", "-c", "exit 3"); err == nil || !strings.Contains(err.Error(), "cannot be asked") {
		t.Error(err)
	}
	if _, err := Read(context.Background(), "/bin/echo", "{"); err == nil {
		t.Error("garbage is devices")
	}
}

func TestAMDsFiles(t *testing.T) {
	const gib = 1 << 30
	tree := func(files map[string]string) string {
		root := t.TempDir()
		files["class"], files["vendor"] = "0x030000", "0x1002"
		for file, text := range files {
			path := filepath.Join(root, "sys/bus/pci/devices/0000:03:00.0", file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return root
	}
	tests := []struct {
		name  string
		files map[string]string
		want  Device
	}{
		{"a card of its own", map[string]string{"mem_info_vram_total": fmt.Sprint(16 * gib), "mem_info_vram_used": fmt.Sprint(5 * gib), "mem_info_gtt_total": fmt.Sprint(32 * gib), "mem_info_gtt_used": "0"},
			Device{Name: "AMD GPU", Maker: AMD, Total: 16 * gib, Free: 11 * gib}},
		{"an APU", map[string]string{"mem_info_vram_total": fmt.Sprint(gib / 2), "mem_info_vram_used": fmt.Sprint(gib / 4), "mem_info_gtt_total": fmt.Sprint(64 * gib), "mem_info_gtt_used": fmt.Sprint(4 * gib)},
			Device{Name: "AMD GPU", Maker: AMD, Total: 64 * gib, Free: 60 * gib, Unified: true}},
		{"another driver", map[string]string{}, Device{Name: "AMD GPU", Maker: AMD, Total: -1, Free: -1, Why: "the driver does not report its memory"}},
		{"asleep", map[string]string{"power/runtime_status": "suspended", "mem_info_vram_total": "1", "mem_info_vram_used": "0"}, Device{Name: "AMD GPU", Maker: AMD, Total: -1, Free: -1, Asleep: true, Why: "it is asleep"}},
	}
	for _, tt := range tests {
		devices := Probe(tree(tt.files), "/nowhere/lib.so")
		if len(devices) != 1 || devices[0] != tt.want {
			t.Errorf("%s: %+v", tt.name, devices)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	b.Setenv("TEST_PROBE_ROOT", b.TempDir())
	for b.Loop() {
		if _, err := Read(context.Background(), os.Args[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func TestIntelIsUnknown(t *testing.T) {
	root := card(t, "active")
	nvidia := filepath.Join(root, "sys/bus/pci/devices/0000:01:00.0/vendor")
	if err := os.WriteFile(nvidia, []byte("0x8086\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := Probe(root, ""); len(d) != 1 || d[0].Maker != Intel || d[0].Total != -1 || d[0].Free != -1 || d[0].Why == "" {
		t.Errorf("%+v", d)
	}
}
