package main

import (
	"net/http"
	"testing"
	"time"
)

const (
	steadyThatReconnects = 2
	steadyThatDoesNot    = 3
	idleThatReconnects   = 0
	shortOne             = 11
)

const deadlineEnd = deadlineComment + "\n\n"

func calling(p *phase) bool { return len(p.sse) > 1 && len(p.lost) == 0 }

func TestAStreamThatEndsEarlyIsALoss(t *testing.T) {
	f, c := newFake(t)
	l := run(t, c, steadyThatDoesNot)
	counted(t, l, "calls", calling)
	f.endAll(": bye\n\n")
	counted(t, l, "the loss, and the outage until the next session", func(p *phase) bool {
		return p.lost["stream ended"] == 1 && p.cut == 0 && len(p.outages) == 1
	})
}

func TestAStreamThatEndsAtTheDeadlineIsCut(t *testing.T) {
	f, c := newFake(t)
	l := run(t, c, steadyThatDoesNot)
	counted(t, l, "calls", calling)
	f.endAll(deadlineEnd)
	counted(t, l, "the cut, and a new session", func(p *phase) bool { return p.cut == 1 && p.opened == 2 && len(p.lost) == 0 })
}

func TestAnEventSourceGoesOnWithoutInitialize(t *testing.T) {
	f, c := newFake(t)
	for _, slot := range []int{steadyThatReconnects, idleThatReconnects} {
		l := run(t, c, slot)
		counted(t, l, "the session", func(p *phase) bool { return p.opened == 1 })
		reconnects, initialized := f.saw("Last-Event-ID: token-1"), f.saw("initialize")
		f.endAll(deadlineEnd)
		counted(t, l, "the resumed session", func(p *phase) bool {
			return p.resumed == 1 && len(p.sse) > 0 && len(p.lost) == 0 && p.cut == 0 && p.opened == 1
		})
		if f.saw("Last-Event-ID: token-1") != reconnects+1 {
			t.Error("the reconnect does not send Last-Event-ID")
		}
		if f.saw("initialize") != initialized {
			t.Error("the reconnect initializes again")
		}
		close(l.stop)
		l.sessions.Wait()
	}
}

func TestAReconnectThatIsRefusedIsALoss(t *testing.T) {
	f, c := newFake(t)
	l := run(t, c, steadyThatReconnects)
	counted(t, l, "calls", calling)
	f.reopened = http.StatusServiceUnavailable
	f.endAll(deadlineEnd)
	counted(t, l, "the loss", func(p *phase) bool { return p.lost["reconnect: status 503"] == 1 && p.resumed == 0 })
}

func TestAnEarlyEndIsALossAlsoWhenTheSessionGoesOn(t *testing.T) {
	f, c := newFake(t)
	l := run(t, c, steadyThatReconnects)
	counted(t, l, "calls", calling)
	f.endAll("")
	counted(t, l, "the loss", func(p *phase) bool { return sum(p.lost) == 1 && p.wentOn == 1 && p.resumed == 0 && p.opened == 1 })
}

func TestACallWithoutAnAnswerIsALoss(t *testing.T) {
	f, c := newFake(t)
	f.reply = func(method string) string {
		if method == "tools/call" {
			return ""
		}
		return `"result":{}`
	}
	l := run(t, c, steadyThatDoesNot)
	counted(t, l, "the loss", func(p *phase) bool { return p.sseFailed["timeout"] > 0 && p.lost["call: timeout"] > 0 })
}

func TestAnErrorAndARefusalAreLosses(t *testing.T) {
	f, c := newFake(t)
	f.reply = func(method string) string {
		if method == "tools/call" {
			return `"error":{"code":-32603,"message":"no"}`
		}
		return `"result":{}`
	}
	l := run(t, c, steadyThatDoesNot)
	counted(t, l, "the loss", func(p *phase) bool { return p.lost["call: JSON-RPC error -32603"] > 0 })

	f, c = newFake(t)
	f.status = func(method string) int {
		if method == "tools/call" {
			return http.StatusNotFound
		}
		return 0
	}
	l = run(t, c, steadyThatDoesNot)
	counted(t, l, "the loss", func(p *phase) bool { return p.lost["call: post: status 404"] > 0 })
}

func TestACallInFlightAtTheDeadlineIsSentAgain(t *testing.T) {
	f, c := newFake(t)
	told := make(chan struct{})
	f.reply = func(method string) string {
		if method != "tools/call" {
			return `"result":{}`
		}
		select {
		case <-told:
			return `"result":{"text":"Ferrous"}`
		default:
			close(told)
			return `"error":{"code":-32000,"message":"the server stops","data":{"retry":true}}`
		}
	}
	l := run(t, c, steadyThatReconnects)
	counted(t, l, "the telling", func(p *phase) bool { return p.told == 1 })
	f.endAll(deadlineEnd)
	counted(t, l, "the call made again", func(p *phase) bool {
		return p.resumed == 1 && len(p.sse) > 0 && len(p.sseFailed) == 0 && len(p.lost) == 0
	})
}

func TestACallThatCrossesTheDeadlineAndIsRefusedIsCut(t *testing.T) {
	f, c := newFake(t)
	c.timeout = 3 * time.Second
	asked := make(chan struct{}, 100)
	f.status = func(method string) int {
		if method != "tools/call" {
			return 0
		}
		// The stream ends while the POST is on its way; then it is refused.
		for id, stream := range f.streams {
			stream <- deadlineEnd
			delete(f.streams, id)
		}
		asked <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		return http.StatusNotFound
	}
	l := run(t, c, steadyThatDoesNot)
	<-asked
	counted(t, l, "the cut", func(p *phase) bool { return p.cut > 0 && p.told > 0 && len(p.lost) == 0 && len(p.sseFailed) == 0 })
}

func TestACallUnansweredAtTheDeadlineIsALoss(t *testing.T) {
	f, c := newFake(t)
	c.timeout = 3 * time.Second
	asked := make(chan struct{}, 100)
	f.reply = func(method string) string {
		if method == "tools/call" {
			asked <- struct{}{}
			return ""
		}
		return `"result":{}`
	}
	l := run(t, c, steadyThatReconnects)
	<-asked
	f.endAll(deadlineEnd)
	counted(t, l, "the loss", func(p *phase) bool { return p.lost["call: stream deadline"] == 1 && p.resumed == 0 })
}

func TestWhatTheClientClosesIsNoLoss(t *testing.T) {
	_, c := newFake(t)
	c.shortMean, c.shortLeast = 60*time.Millisecond, 50*time.Millisecond
	l := run(t, c, shortOne)
	counted(t, l, "sessions opened anew", func(p *phase) bool { return p.closed > 2 && p.opened > 2 })
	counted(t, l, "no loss", func(p *phase) bool { return len(p.lost) == 0 && len(p.openFailed) == 0 })
}

func TestIdleSessionsCallOnceAtTheEnd(t *testing.T) {
	f, c := newFake(t)
	l := run(t, c, idleThatReconnects)
	counted(t, l, "the session", func(p *phase) bool { return p.opened == 1 })
	if n := f.saw("tools/call"); n != 0 {
		t.Errorf("an idle session called %d times", n)
	}
	l.end()
	counted(t, l, "its last call", func(p *phase) bool { return len(p.sse) == 1 && len(p.lost) == 0 })
}

func TestTheKindsAreAsPublished(t *testing.T) {
	kinds, coming := map[kind]int{}, map[kind]int{}
	for slot := range 1000 {
		kinds[kindOf(slot)]++
		if reconnects(slot) {
			coming[kindOf(slot)]++
		}
	}
	if kinds[idle] != 100 || kinds[steady] != 450 || kinds[short] != 450 {
		t.Errorf("of 1000: %v", kinds)
	}
	for k, n := range coming {
		if n < 2*kinds[k]/5 || n > 3*kinds[k]/5 {
			t.Errorf("of %d %v sessions %d reconnect", kinds[k], k, n)
		}
	}
}
