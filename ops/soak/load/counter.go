package main

import (
	"maps"
	"sync"
)

// counter counts what happened, by what was done and how it came out.
type counter struct {
	mu     sync.Mutex
	good   map[string]int // as it should be, refusals of what must be refused among them
	wrong  map[string]int // unexpected
	posted int
}

func newCounter() *counter { return &counter{good: map[string]int{}, wrong: map[string]int{}} }

// ok counts one that came out as expected.
func (c *counter) ok(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good[what]++
}

// bad counts one that did not; `why` is bounded by whoever says it.
func (c *counter) bad(what, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong[what+": "+why]++
}

// outcome counts one, by its error.
func (c *counter) outcome(what string, err error) {
	if err == nil {
		c.ok(what)
	} else {
		c.bad(what, clipped(err.Error(), 160))
	}
}

// message counts one that is sent.
func (c *counter) message() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posted++
}

func (c *counter) messages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.posted
}

func (c *counter) unexpected() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return total(c.wrong)
}

// counts is all of it, for the report.
type counts struct {
	Messages   int            `json:"messages"`
	Expected   map[string]int `json:"expected"`
	Unexpected map[string]int `json:"unexpected"`
}

func (c *counter) all() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return counts{c.posted, maps.Clone(c.good), maps.Clone(c.wrong)}
}

func clipped(text string, most int) string { return text[:min(len(text), most)] }
