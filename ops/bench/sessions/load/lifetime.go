package main

import (
	"fmt"
	"math/rand"
	"time"
)

// kind is how long a session lives, and whether it calls.
type kind int

const (
	idle   kind = iota // lives for the whole run and never calls, but for the last call at the end of the run
	steady             // lives for the whole run and calls
	short              // calls, is closed by its client after an exponential time, and opened anew
)

func (k kind) String() string { return [...]string{"idle", "steady", "short"}[k] }

// Of twenty slots two are idle, nine steady and nine short.
const (
	cycle      = 20
	idleUpTo   = 2
	steadyUpTo = 11
)

func kindOf(slot int) kind {
	switch n := slot % cycle; {
	case n < idleUpTo:
		return idle
	case n < steadyUpTo:
		return steady
	default:
		return short
	}
}

// reconnects says whether the client of a slot comes back as an EventSource does: every other one, of each kind.
func reconnects(slot int) bool { return slot%2 == 0 }

// ipOf spreads the slots over the client addresses, so that no address has sessions of one kind only.
func (c *config) ipOf(slot int) string { return c.ips[(slot+slot/cycle)%len(c.ips)] }

// lifetime of a session of kind short. With the least time cut off and added again the mean stays what it says.
func (c *config) lifetime() time.Duration {
	rest := float64(c.shortMean - c.shortLeast)
	return c.shortLeast + time.Duration(rand.ExpFloat64()*rest)
}

// distribution of the lifetimes, in words.
func distribution(c *config) string {
	return fmt.Sprintf("lifetimes: %d %% of the sessions are idle for the whole run, %d %% live for the whole run and call, "+
		"%d %% call, live %v and an exponential time of mean %v more, are closed by their client and opened anew; "+
		"every other client reconnects as an EventSource does",
		100*idleUpTo/cycle, 100*(steadyUpTo-idleUpTo)/cycle, 100*(cycle-steadyUpTo)/cycle, c.shortLeast, c.shortMean-c.shortLeast)
}
