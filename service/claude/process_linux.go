package claude

import (
	"os"
	"strconv"
	"strings"
)

// arguments and environment are nil where the system does not tell.
func arguments(pid int) []string { return procStrings(pid, "cmdline") }

func environment(pid int) []string { return procStrings(pid, "environ") }

// procStrings reads a file of strings that each end with a zero byte.
func procStrings(pid int, file string) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}
