package main

// Progress on a terminal, for what takes longer than one waits in silence.

import (
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// activity is something under way. Where nobody watches it shows nothing.
type activity struct {
	done, total atomic.Int64
	stop, gone  chan struct{}
}

// begin announces what is under way since a time: it is shown when somebody has
// waited long enough. Call end before anything else is printed.
func (s *streams) begin(what string, since time.Time, quiet, bytes bool) *activity {
	a := &activity{}
	if quiet || !s.watched {
		return a
	}
	a.stop, a.gone = make(chan struct{}), make(chan struct{})
	go a.show(s, what, s.patience-time.Since(since), bytes)
	return a
}

// update says how far it is; a total of 0 is not known.
func (a *activity) update(done, total int64) {
	a.done.Store(done)
	a.total.Store(total)
}

// end clears the line. It may be called more than once.
func (a *activity) end() {
	if a.stop != nil {
		close(a.stop)
		<-a.gone
		a.stop = nil
	}
}

// show draws until the end. The bar belongs to this goroutine alone: its own
// ticker is switched off.
func (a *activity) show(s *streams, what string, after time.Duration, bytes bool) {
	defer close(a.gone)
	select {
	case <-a.stop:
		return
	case <-time.After(after):
	}
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	var bar *progressbar.ProgressBar
	most := int64(-1)
	for {
		done, total := a.done.Load(), a.total.Load()
		if total <= 0 {
			total = -1 // a spinner
		}
		if bar == nil || total != most {
			if bar != nil {
				_ = bar.Clear()
			}
			most = total
			bar = progressbar.NewOptions64(most,
				progressbar.OptionSetWriter(s.notes),
				progressbar.OptionSetDescription(what),
				progressbar.OptionSetWidth(30),
				progressbar.OptionShowBytes(bytes && total > 0),
				progressbar.OptionUseIECUnits(true),
				progressbar.OptionShowCount(),
				progressbar.OptionSpinnerType(14),
				progressbar.OptionSetSpinnerChangeInterval(0),
				progressbar.OptionEnableColorCodes(false),
				progressbar.OptionClearOnFinish())
		}
		if total > 0 {
			done = min(done, total-1) // a full bar would end itself
		}
		_ = bar.Set64(done) // what cannot be drawn is not worth an error
		select {
		case <-a.stop:
			_ = bar.Clear()
			return
		case <-ticks.C:
		}
	}
}
