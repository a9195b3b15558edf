package config

import (
	"log/slog"

	"gopkg.in/natefinch/lumberjack.v2"
)

// OpenLog writes to the state folder, at most a few MiB. It never holds prompts or tokens.
func OpenLog(paths Paths) (log *slog.Logger, closeLog func()) {
	file := &lumberjack.Logger{Filename: paths.Log(), MaxSize: 1, MaxBackups: 2}
	return slog.New(slog.NewTextHandler(file, nil)), func() { _ = file.Close() }
}
