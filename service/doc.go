// Package service is Switchyard's core: one State, the commands that change
// things, and the supervisor's loop that keeps the State true.
package service
