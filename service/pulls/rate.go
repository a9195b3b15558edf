package pulls

import (
	"time"

	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// setProgress notes how far a pull is.
func (one *job) setProgress(now runner.Progress) {
	if one.State.Over() {
		return
	}
	one.State, one.Why, one.Remedy = state.Pulling, "", ""
	if now.Done == 0 && now.Total == 0 {
		return
	}
	one.Done, one.Total = now.Done, now.Total
	one.Rate = one.rate.update(time.Now(), now.Done)
	one.Left = 0
	if one.Rate > 0 && one.Total > one.Done {
		one.Left = float64(one.Total-one.Done) / one.Rate
	}
}

// rate is the download speed, averaged over the last seconds.
type rate struct {
	last time.Time
	done int64
	perS float64
}

// update notes how many bytes are done, and returns the bytes per second.
func (r *rate) update(now time.Time, done int64) float64 {
	const memory = 3 // seconds
	if r.last.IsZero() || done < r.done {
		r.last, r.done, r.perS = now, done, 0
		return 0
	}
	passed := now.Sub(r.last).Seconds()
	if passed < 0.1 {
		return r.perS
	}
	this := float64(done-r.done) / passed
	weight := min(passed/memory, 1)
	if r.perS == 0 {
		weight = 1
	}
	r.perS += weight * (this - r.perS)
	r.last, r.done = now, done
	return r.perS
}
