package main

import (
	"context"
	"errors"
	"math/rand"
	"net/http"
	"time"
)

// initialize is what a client of the legacy transport says first.
const initialize = `{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"bench-sessions","version":"1"}}`

// session is one session of one client, with the stream it has now.
type session struct {
	*load
	slot        int
	kind        kind
	ip          string
	stream      *stream
	kept, fresh *http.Client
	calls       int
}

// slot keeps one session open, a new one after each that ended, until the run ends.
func (l *load) slot(n int, delay time.Duration) {
	defer l.sessions.Done()
	if l.wait(delay) {
		return
	}
	var lostAt time.Time
	for !l.stopped() && !l.isLast() {
		s := &session{load: l, slot: n, kind: kindOf(n), ip: l.config.ipOf(n)}
		s.kept, s.fresh = l.config.client(s.ip, true), l.config.client(s.ip, false)
		if err := s.open(); err != nil {
			l.count.do(func(p *phase) {
				p.openFailed[err.Error()]++
				l.count.event("open failed", err.Error(), n, s.ip)
			})
			if l.wait(time.Duration(100+rand.Intn(200)) * time.Millisecond) {
				return
			}
			continue
		}
		l.count.do(func(p *phase) {
			p.opened++
			if !lostAt.IsZero() {
				p.outages = append(p.outages, ms(time.Since(lostAt)))
			}
		})
		lostAt = s.live()
		s.close()
	}
}

// open opens a stream and initializes a session over it.
func (s *session) open() error {
	var err error
	if s.stream, err = s.config.openStream(s.ip, ""); err != nil {
		return errors.New("stream: " + reason(err))
	}
	if _, err = s.call("initialize", initialize); err != nil {
		s.stream.close()
		return errors.New("initialize: " + err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.timeout)
	defer cancel()
	if err = s.post(ctx, s.stream.endpoint, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); err != nil {
		s.stream.close()
		return errors.New("initialized: " + reason(err))
	}
	s.count.do(func(*phase) { s.count.open[s] = true })
	if s.kind != idle {
		s.callers.Add(1)
	}
	return nil
}

func (s *session) close() {
	s.count.do(func(*phase) { delete(s.count.open, s) })
	if s.kind != idle {
		s.callers.Add(-1)
	}
	s.stream.close()
	s.kept.CloseIdleConnections()
}

// live uses the session until it is closed, cut or lost; a lost one says since when.
func (s *session) live() (lostAt time.Time) {
	var lifetime <-chan time.Time
	if s.kind == short {
		lifetime = time.After(s.config.lifetime())
	}
	for {
		var next <-chan time.Time
		if s.kind != idle {
			next = time.After(s.pause())
		}
		select {
		case <-s.stop:
			return time.Time{}
		case <-lifetime:
			s.count.do(func(p *phase) { p.closed++ })
			return time.Time{}
		case <-s.last:
			if !s.wait(s.lastCallDelay()) {
				s.use()
			}
			return time.Time{}
		case <-s.stream.ended:
			if gone, at := s.streamEnded(); gone {
				return at
			}
		case <-next:
			if gone, at := s.use(); gone {
				return at
			}
		}
	}
}

// use makes one call; a stream that has ended is reconnected first, if this client does. It says whether the session is gone, and since when if it is lost.
func (s *session) use() (gone bool, lostAt time.Time) {
	if s.stream.hasEnded() {
		return s.streamEnded()
	}
	err := s.timedCall()
	switch {
	case err == nil:
		return false, time.Time{}
	case errors.Is(err, errTold):
		s.count.do(func(p *phase) { p.told++ })
		if s.stream.endsWithin(s.config.timeout) {
			return s.streamEnded()
		}
		if err = s.timedCall(); err == nil {
			return false, time.Time{}
		}
	}
	// A stream that ended too early under the call is the cause, and the call its victim.
	if s.stream.hasEnded() && !s.stream.deadline {
		return s.streamEnded()
	}
	s.lost("call: "+err.Error(), false)
	return true, time.Now()
}

// timedCall calls the tool and counts the call, unless it was told to be sent again.
func (s *session) timedCall() error {
	start := time.Now()
	a, err := s.call("tools/call", s.config.params())
	if err == nil && !s.config.good(a.Result) {
		err = errors.New("not the tool's answer")
	}
	if errors.Is(err, errTold) {
		return err
	}
	s.count.do(func(p *phase) {
		if err == nil {
			p.sse = append(p.sse, ms(a.at.Sub(start)))
		} else {
			p.sseFailed[err.Error()]++
			s.count.event("SSE call failed", err.Error(), s.slot, s.stream.local)
		}
	})
	return err
}

// streamEnded judges the end of the stream, and reconnects if this client does.
func (s *session) streamEnded() (gone bool, lostAt time.Time) {
	ended := s.stream
	if !reconnects(s.slot) {
		if ended.deadline {
			s.count.do(func(p *phase) { p.cut++ })
			return true, time.Time{}
		}
		s.lost("stream "+ended.why, false)
		return true, ended.endedAt
	}
	err := s.resume()
	switch {
	case s.stopped():
		return true, time.Time{}
	case err != nil && ended.deadline:
		s.lost("reconnect: "+err.Error(), false)
	case !ended.deadline:
		s.lost("stream "+ended.why, err == nil)
	}
	s.count.do(func(p *phase) {
		after := ms(time.Since(ended.endedAt))
		switch {
		case err == nil && ended.deadline:
			p.resumed++
			p.reconnects = append(p.reconnects, after)
		case err == nil:
			p.outages = append(p.outages, after)
		}
	})
	return err != nil, ended.endedAt
}

// resume goes on as an EventSource does, and makes a call as proof: no new initialize.
func (s *session) resume() error {
	ended := s.stream
	until := ended.endedAt.Add(ended.retry + s.config.timeout)
	for {
		if s.wait(ended.retry) {
			return errors.New("the run ended")
		}
		next, err := s.config.openStream(s.ip, ended.lastID)
		var status statusError
		switch {
		case err == nil:
			ended.close()
			s.count.do(func(*phase) { s.stream = next })
			if !ended.deadline {
				// Lost already: what the call says is noted, and no second failure.
				_, err = s.call("tools/call", s.config.params())
				return err
			}
			return s.timedCall()
		case errors.As(err, &status) || time.Now().After(until):
			return errors.New(reason(err))
		}
	}
}

// lost counts the session as lost. wentOn: it goes on over a new stream all the same.
func (s *session) lost(why string, wentOn bool) {
	s.count.do(func(p *phase) {
		p.lost[why]++
		p.lostSlots[s.slot] = true
		if wentOn {
			p.wentOn++
		}
		s.count.event("session lost", why, s.slot, s.stream.local)
	})
}
