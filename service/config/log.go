package config

import (
	"log/slog"

	"gopkg.in/natefinch/lumberjack.v2"
)

// OpenLog opens the log in the state folder. It is rotated at 1 MiB, and never holds
// prompts or tokens.
func OpenLog(paths Paths) (log *slog.Logger, closeLog func()) {
	file := &lumberjack.Logger{Filename: paths.Log(), MaxSize: 1, MaxBackups: 2}
	return slog.New(slog.NewTextHandler(file, nil)), func() { _ = file.Close() }
}
