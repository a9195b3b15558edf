//go:build !linux

// Command crowd needs Linux: its session bus is a Linux one.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "crowd: this needs Linux")
	os.Exit(1)
}
