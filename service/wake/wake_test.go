package wake

import "testing"

func TestSeveralWordsBeforeTheLookAreOne(t *testing.T) {
	c := make(chan struct{}, 1)
	for range 3 { // and none waits for the look
		Notify(c)
	}
	<-c
	select {
	case <-c:
		t.Error("there was a second word")
	default:
	}
	Notify(c)
	if len(c) != 1 {
		t.Error("after the look nothing is said any more")
	}
}
