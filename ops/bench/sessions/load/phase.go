package main

import (
	"bufio"
	"encoding/json"
	"io"
	"sort"
	"sync"
	"time"
)

// phase is what was counted between two changes of the phase's name.
type phase struct {
	name                string
	start               time.Time
	lost                map[string]int // by cause
	lostSlots           map[int]bool
	wentOn              int // of the lost: those that went on over a new stream all the same
	resumed, cut        int
	opened, closed      int
	openFailed          map[string]int
	sseFailed           map[string]int
	httpFailed          map[string]int
	told                int       // calls that were told to be sent again, because the drain's deadline came
	sse, http           []float64 // milliseconds from call to answer
	outages, reconnects []float64 // milliseconds from a stream's end to a session that answers: of lost ones, of resumed ones
}

// counter counts for all sessions and calls.
type counter struct {
	mu     sync.Mutex
	phase  *phase
	open   map[*session]bool
	events *bufio.Writer
}

func newPhase(name string) *phase {
	return &phase{
		name: name, start: time.Now(), lost: map[string]int{}, lostSlots: map[int]bool{},
		openFailed: map[string]int{}, sseFailed: map[string]int{}, httpFailed: map[string]int{},
	}
}

func newCounter(events io.Writer) *counter {
	return &counter{phase: newPhase("start"), open: map[*session]bool{}, events: bufio.NewWriter(events)}
}

// do counts under the lock.
func (c *counter) do(f func(*phase)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.phase)
}

// event writes a line of the log of losses and failures; with the lock held.
func (c *counter) event(what, why string, slot int, from string) {
	line, _ := json.Marshal(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339Nano), "phase": c.phase.name, "what": what, "why": why, "slot": slot, "from": from,
	})
	_, _ = c.events.Write(append(line, '\n'))
}

func (c *counter) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.events.Flush()
}

// next closes the phase, opens one of that name, and returns what was counted.
func (c *counter) next(name string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.events.Flush()
	p := c.phase
	c.phase = newPhase(name)
	return p.summary(len(c.open))
}

// state lists the open sessions by the local address of their streams.
func (c *counter) state() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	streams := map[string]string{}
	for s := range c.open {
		streams[s.stream.local] = s.kind.String()
	}
	return map[string]any{"open": len(c.open), "streams": streams}
}

func (p *phase) summary(open int) map[string]any {
	return map[string]any{
		"phase": p.name, "start": p.start.UTC().Format(time.RFC3339Nano), "seconds": tenths(time.Since(p.start).Seconds()), "open": open,
		"lost": sum(p.lost), "lost_why": p.lost, "lost_distinct": len(p.lostSlots), "went_on": p.wentOn,
		"resumed": p.resumed, "cut": p.cut, "opened": p.opened, "closed": p.closed, "told": p.told,
		"open_failed": sum(p.openFailed), "open_failed_why": p.openFailed,
		"sse_failed": sum(p.sseFailed), "sse_failed_why": p.sseFailed, "sse_ok": len(p.sse), "sse_ms": quantiles(p.sse),
		"http_failed": sum(p.httpFailed), "http_failed_why": p.httpFailed, "http_ok": len(p.http), "http_ms": quantiles(p.http),
		"outages": len(p.outages), "outage_ms": quantiles(p.outages), "reconnect_ms": quantiles(p.reconnects),
	}
}

func sum(m map[string]int) (s int) {
	for _, v := range m {
		s += v
	}
	return s
}

func tenths(x float64) float64 { return float64(int(x*10+0.5)) / 10 }

// quantiles of milliseconds: the median, the 99th percentile and the most.
func quantiles(v []float64) map[string]float64 {
	sort.Float64s(v)
	at := func(share float64) float64 {
		if len(v) == 0 {
			return 0
		}
		return tenths(v[min(len(v)-1, int(float64(len(v))*share))])
	}
	return map[string]float64{"p50": at(0.5), "p99": at(0.99), "max": at(1)}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
