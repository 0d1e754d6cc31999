package main

import (
	"io"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

// load is the whole of the sessions and calls.
type load struct {
	config   *config
	count    *counter
	slots    int
	callers  atomic.Int64 // open sessions that call
	sessions sync.WaitGroup
	http     sync.WaitGroup
	stop     chan struct{} // closed: everything ends
	last     chan struct{} // closed: each session makes its last call
}

func newLoad(c *config, events io.Writer) *load {
	return &load{config: c, count: newCounter(events), stop: make(chan struct{}), last: make(chan struct{})}
}

// grow opens sessions until there are n. Fewer is not possible: that would be a loss by the client.
func (l *load) grow(n int) {
	more := n - l.slots
	for i := range more {
		l.sessions.Add(1)
		// As many a second as in the first ramp.
		go l.slot(l.slots+i, time.Duration(float64(l.config.ramp)*float64(i)/float64(max(1, l.config.sessions))))
	}
	l.slots = max(l.slots, n)
}

// pause between two calls of a session, so that all together make the rate.
func (l *load) pause() time.Duration {
	rate := l.config.rate * l.config.sseShare
	if rate <= 0 {
		return time.Hour
	}
	mean := float64(l.callers.Load()) / rate
	return time.Duration((0.8 + 0.4*rand.Float64()) * mean * float64(time.Second))
}

// lastCallDelay spreads the last calls, one of each session, by the rate.
func (l *load) lastCallDelay() time.Duration {
	return time.Duration(rand.Float64() * float64(l.lastCalls()))
}

func (l *load) lastCalls() time.Duration {
	return time.Duration(float64(l.slots) / max(1, l.config.rate) * float64(time.Second))
}

// end lets each session make its last call, and then ends everything.
func (l *load) end() {
	close(l.last)
	made := make(chan struct{})
	go func() { l.sessions.Wait(); close(made) }()
	select {
	case <-made:
	case <-time.After(l.lastCalls() + 4*l.config.timeout):
	}
	close(l.stop)
	<-made
	l.http.Wait()
}

func (l *load) isLast() bool {
	select {
	case <-l.last:
		return true
	default:
		return false
	}
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// wait says whether the run ended meanwhile.
func (l *load) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.stop:
		return true
	case <-timer.C:
		return l.stopped()
	}
}
