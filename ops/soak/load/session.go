package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// stream is an SSE stream and the session on it.
type stream struct {
	load     *load
	endpoint string
	close    func()
	ended    chan struct{}
	mu       sync.Mutex
	waiting  map[string]chan answer
}

// open opens a stream and waits for its endpoint.
func (l *load) open(ctx context.Context) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: deadline}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.server.addr+"/sse", nil)
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		response.Body.Close()
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	s := &stream{load: l, ended: make(chan struct{}), waiting: map[string]chan answer{}}
	s.close = func() { cancel(); response.Body.Close() }
	endpoint := make(chan string, 1)
	go s.read(response.Body, endpoint)
	select {
	case s.endpoint = <-endpoint:
		return s, nil
	case <-s.ended:
		err = errors.New("it ended before its endpoint")
	case <-time.After(deadline):
		err = errors.New("no endpoint")
	}
	s.close()
	return nil, err
}

func (s *stream) read(body io.Reader, endpoint chan<- string) {
	defer close(s.ended)
	lines := bufio.NewReader(body)
	var event string
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		switch field {
		case "event":
			event = value
		case "data":
			if event == "endpoint" {
				endpoint <- value
			} else {
				s.answered([]byte(value))
			}
		}
	}
}

func (s *stream) answered(data []byte) {
	var a answer
	if json.Unmarshal(data, &a) != nil {
		s.load.count.bad("stream", "an event is no JSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if waits, ok := s.waiting[string(a.ID)]; ok {
		waits <- a
		delete(s.waiting, string(a.ID))
	} else {
		s.load.count.bad("stream", "an answer that nobody waits for")
	}
}

// post sends a message, which must be taken.
func (s *stream) post(ctx context.Context, message object) error {
	status, _, err := s.load.post(ctx, s.load.anyClient(), s.endpoint, message, nil)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// begin sends a request; its answer comes on the channel.
func (s *stream) begin(ctx context.Context, message object) (<-chan answer, error) {
	answers := make(chan answer, 1)
	s.mu.Lock()
	s.waiting[fmt.Sprint(message["id"])] = answers
	s.mu.Unlock()
	return answers, s.post(ctx, message)
}

// ask sends a request and waits for its answer.
func (s *stream) ask(ctx context.Context, message object) (answer, error) {
	answers, err := s.begin(ctx, message)
	if err != nil {
		return answer{}, err
	}
	select {
	case a := <-answers:
		return a, nil
	case <-s.ended:
		return answer{}, errors.New("the stream ended")
	case <-time.After(deadline):
		return answer{}, errors.New("no answer")
	}
}

// initialized opens a stream and a session on it.
func (l *load) initialized(ctx context.Context, kind string) *stream {
	s, err := l.open(ctx)
	if err == nil {
		params := object{"protocolVersion": "2024-11-05", "capabilities": object{}, "clientInfo": object{"name": "soak", "version": "1"}}
		if _, err = s.ask(ctx, call("initialize", params, "")); err == nil {
			err = s.post(ctx, object{"jsonrpc": "2.0", "method": "notifications/initialized"})
		}
		if err == nil {
			l.count.ok(kind + ", opened")
			return s
		}
		s.close()
	}
	if ctx.Err() == nil {
		l.count.bad(kind, "not opened: "+err.Error())
		sleep(ctx, time.Second)
	}
	return nil
}

// session is one that calls, now and then gives a call up, and closes.
func (l *load) session(ctx context.Context) {
	s := l.initialized(ctx, "session")
	if s == nil {
		return
	}
	defer s.close()
	until := time.Now().Add(between(3*time.Second, 20*time.Second))
	for time.Now().Before(until) && sleep(ctx, between(200*time.Millisecond, 1200*time.Millisecond)) {
		what, err := s.use(ctx)
		if ctx.Err() != nil {
			break
		}
		l.count.outcome("session, "+what, err)
		if err != nil {
			return
		}
	}
	l.count.ok("session, closed by its client")
}

func (s *stream) use(ctx context.Context) (string, error) {
	switch n := rand.Intn(20); {
	case n == 0:
		return s.cancelled(ctx)
	case n < 3:
		_, err := s.ask(ctx, call("ping", object{}, ""))
		return "ping", err
	case n < 5:
		_, err := s.ask(ctx, call("tools/list", object{}, ""))
		return "tools/list", err
	}
	a, err := s.ask(ctx, call("tools/call", search(role()), ""))
	if err != nil {
		return "search", err
	}
	what, err := a.found()
	return "search, " + what, err
}

// cancelled begins a call and gives it up. It is not answered, or was already.
func (s *stream) cancelled(ctx context.Context) (string, error) {
	role, arrived := s.load.provider.expect()
	defer s.load.provider.forget(role)
	message := call("tools/call", search(role), "")
	answers, err := s.begin(ctx, message)
	if err != nil {
		return "call given up", err
	}
	select {
	case <-arrived:
	case <-answers: // by the catalogue
		return "call answered before it was given up", nil
	case <-s.ended:
		return "call given up", errors.New("the stream ended")
	case <-time.After(deadline):
		return "call given up", errors.New("it never reached the job board")
	}
	err = s.post(ctx, object{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": object{"requestId": message["id"]}})
	if err != nil {
		return "call given up", err
	}
	// The next answer is the next request's.
	if _, err = s.ask(ctx, call("ping", object{}, "")); err != nil {
		return "call given up", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, fmt.Sprint(message["id"]))
	select {
	case <-answers:
		return "call given up", errors.New("answered all the same")
	default:
		return "call given up, not answered", nil
	}
}

// idleSession is one that does nothing for a while.
func (l *load) idleSession(ctx context.Context) {
	s := l.initialized(ctx, "idle session")
	if s == nil {
		return
	}
	defer s.close()
	wait := time.NewTimer(between(10*time.Second, 60*time.Second))
	defer wait.Stop()
	select {
	case <-wait.C:
		l.count.ok("idle session, closed by its client")
	case <-s.ended:
		if ctx.Err() == nil {
			l.count.bad("idle session", "ended by the server")
		}
	case <-ctx.Done():
	}
}

// sessionVanish is a client whose stream breaks off during a call.
func (l *load) sessionVanish(ctx context.Context) {
	s := l.initialized(ctx, "vanishing session")
	if s == nil {
		return
	}
	defer s.close()
	role, arrived := l.provider.expect()
	defer l.provider.forget(role)
	answers, err := s.begin(ctx, call("tools/call", search(role), ""))
	if err != nil {
		if ctx.Err() == nil {
			l.count.bad("vanishing session", err.Error())
		}
		return
	}
	select {
	case <-arrived:
		l.count.ok("vanishing session, gone during a call of the job board")
	case <-answers:
		l.count.ok("vanishing session, answered before it went")
	case <-ctx.Done():
	}
}

// raw opens a stream that nobody reads, but for its endpoint.
func (l *load) raw(ctx context.Context) (net.Conn, string, error) {
	conn, err := (&net.Dialer{Timeout: deadline}).DialContext(ctx, "tcp", l.server.addr)
	if err != nil {
		return nil, "", err
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = conn.SetDeadline(time.Now().Add(deadline))
	_, err = fmt.Fprintf(conn, "GET /sse HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", l.server.addr)
	lines := bufio.NewReaderSize(conn, 1024)
	for err == nil {
		var line string
		if line, err = lines.ReadString('\n'); strings.HasPrefix(line, "data: ") {
			return conn, strings.TrimSpace(strings.TrimPrefix(line, "data: ")), nil
		}
	}
	conn.Close()
	return nil, "", err
}

// unreadSession calls and never reads an answer, until the server has had enough of it.
func (l *load) unreadSession(ctx context.Context) {
	conn, endpoint, err := l.raw(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.count.bad("unread session", err.Error())
			sleep(ctx, time.Second)
		}
		return
	}
	defer conn.Close()
	params := object{"protocolVersion": "2024-11-05", "capabilities": object{}, "clientInfo": object{"name": "soak", "version": "1"}}
	message := call("initialize", params, "")
	for sent := 0; ; sent++ {
		status, _, err := l.post(ctx, l.http, endpoint, message, nil)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.count.bad("unread session", err.Error())
			return
		case status == http.StatusServiceUnavailable: // too many that wait: 64
			l.count.ok("unread session, told to wait")
		case status == http.StatusNotFound:
			l.count.ok("unread session, ended by the server")
			return
		case status != http.StatusAccepted:
			l.count.bad("unread session", fmt.Sprintf("status %d", status))
			return
		}
		// 20 postings with long descriptions: a stream that nobody reads is full soon.
		heavy := object{"name": "search_jobs", "arguments": object{"role": fmt.Sprintf("long %d", rand.Intn(10)), "num_jobs": 20}}
		message = call("tools/call", heavy, "")
		if !sleep(ctx, between(100*time.Millisecond, 300*time.Millisecond)) {
			return
		}
	}
}

// silentStream opens a stream and never says a word.
func (l *load) silentStream(ctx context.Context) {
	conn, _, err := l.raw(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.count.bad("silent stream", err.Error())
			sleep(ctx, time.Second)
		}
		return
	}
	defer conn.Close()
	if sleep(ctx, between(time.Second, 45*time.Second)) {
		l.count.ok("silent stream, closed by its client")
	}
}
