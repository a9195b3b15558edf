// Package wake tells a goroutine that something is to be looked at. Telling never
// waits, and several calls before the look count as one.
package wake

// Notify puts a value into a channel of capacity one, unless one is there already.
func Notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
