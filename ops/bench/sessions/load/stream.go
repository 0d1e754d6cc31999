package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// defaultRetry is what an EventSource waits before it reconnects when the stream never said.
const defaultRetry = 3 * time.Second

// deadlineComment is the last line of a stream that ends because the drain of its pod came to its deadline.
const deadlineComment = ": drain deadline"

// answer is a JSON-RPC response.
type answer struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    struct {
			Retry bool `json:"retry"`
		} `json:"data"`
	} `json:"error"`
	at time.Time
}

// stream is one SSE stream. The fields below `ended` may be read once it is closed.
type stream struct {
	local    string
	endpoint string
	answers  chan answer
	close    func()
	ended    chan struct{}
	why      string
	deadline bool          // ended cleanly, and said that it is for the drain's deadline
	lastID   string        // of the last event that had an id
	retry    time.Duration // what the server asked to wait before a reconnect
	endedAt  time.Time
}

// statusError is an answer that is not 2xx. An EventSource does not come back after one.
type statusError int

func (s statusError) Error() string { return "status " + strconv.Itoa(int(s)) }

// openStream opens a stream and waits for its endpoint. lastID is empty but for a reconnect.
func (c *config) openStream(ip, lastID string) (*stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{answers: make(chan answer, 16), ended: make(chan struct{}), lastID: lastID, retry: defaultRetry}
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: c.timeout,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := c.dialer(ip).DialContext(ctx, network, address)
			if err == nil {
				s.local = conn.LocalAddr().String()
			}
			return conn, err
		},
	}
	request, err := c.request(ctx, http.MethodGet, "http://"+c.addr+c.ssePath, "")
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		cancel()
		return nil, err
	}
	s.close = func() { cancel(); response.Body.Close() }
	if response.StatusCode != http.StatusOK {
		s.close()
		return nil, statusError(response.StatusCode)
	}
	endpoint := make(chan string, 1)
	go s.read(response.Body, endpoint)
	select {
	case given := <-endpoint:
		s.endpoint, err = c.resolve(given)
	case <-s.ended:
		err = errors.New("stream " + s.why)
	case <-time.After(c.timeout):
		err = errors.New("no endpoint")
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// resolve makes the endpoint absolute. It is always asked at the Service, whatever name the server gives itself.
func (c *config) resolve(endpoint string) (string, error) {
	base, err := url.Parse("http://" + c.addr + c.ssePath)
	if err != nil {
		return "", err
	}
	full, err := base.Parse(endpoint)
	if err != nil {
		return "", err
	}
	full.Host = c.addr
	return full.String(), nil
}

// read parses the stream until it ends.
func (s *stream) read(body io.Reader, endpoint chan<- string) {
	lines := bufio.NewReaderSize(body, 8<<10)
	var event string
	var data []byte
	var last string // the last line that is not empty
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			s.deadline = errors.Is(err, io.EOF) && len(line) == 0 && last == deadlineComment
			s.why = reason(err)
			if s.deadline {
				s.why = "deadline"
			}
			s.endedAt = time.Now()
			close(s.ended)
			return
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			s.dispatch(event, data, endpoint)
			event, data = "", nil
			continue
		}
		last = string(line[:min(len(line), len(deadlineComment)+1)])
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			event = string(value)
		case "data":
			data = append(data, value...)
		case "id":
			s.lastID = string(value)
		case "retry":
			if n, err := strconv.Atoi(string(value)); err == nil {
				s.retry = time.Duration(n) * time.Millisecond
			}
		}
	}
}

func (s *stream) dispatch(event string, data []byte, endpoint chan<- string) {
	if event == "endpoint" {
		select {
		case endpoint <- string(data):
		default: // a second one is not asked for
		}
		return
	}
	var a answer
	if len(data) == 0 || json.Unmarshal(data, &a) != nil || (a.Result == nil && a.Error == nil) {
		return // a request or a notification of the server
	}
	a.at = time.Now()
	select {
	case s.answers <- a:
	default: // nobody waits: late answers of calls that timed out
	}
}

// endsWithin says whether the stream has ended or does within that time.
func (s *stream) endsWithin(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.ended:
		return true
	case <-timer.C:
		return s.hasEnded()
	}
}

func (s *stream) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (c *config) dialer(ip string) *net.Dialer {
	return &net.Dialer{Timeout: c.timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
}

// client makes an HTTP client of one address: one that keeps connections, or one that opens one for each request.
func (c *config) client(ip string, keep bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: c.dialer(ip).DialContext, DisableKeepAlives: !keep, DisableCompression: true,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
	}}
}

func (c *config) request(ctx context.Context, method, url, body string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err == nil && c.host != "" {
		request.Host = c.host
	}
	return request, err
}

// reason names an error by a few words, so that equal ones are counted together.
func reason(err error) string {
	var timeout net.Error
	var operation *net.OpError
	switch {
	case errors.As(err, &operation) && operation.Op == "dial" && operation.Timeout():
		return "no connection: timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF):
		return "ended"
	case errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "EOF"), strings.Contains(err.Error(), "server closed idle"):
		return "broken off"
	}
	text := err.Error()
	return text[max(0, len(text)-60):]
}
