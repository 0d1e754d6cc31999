package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is an MCP server whose streams end when the test says so.
type fake struct {
	t        *testing.T
	mu       sync.Mutex
	streams  map[string]chan string // by session: what to write before it ends; closed without a word: cut off
	seen     []string               // "METHOD" of each message, and "Last-Event-ID: …" of each reconnect
	reply    func(method string) string
	status   func(method string) int
	reopened int // status of a GET that reconnects; 0: 200
}

func newFake(t *testing.T) (*fake, *config) {
	f := &fake{t: t, streams: map[string]chan string{}}
	server := httptest.NewServer(f)
	t.Cleanup(func() {
		f.endAll("")
		server.CloseClientConnections()
		server.Close()
	})
	c, err := flags([]string{
		"-addr", server.Listener.Addr().String(), "-ips", "127.0.0.1", "-timeout", "400ms", "-expect", "Ferrous",
		"-sse-share", "1", "-rate", "50", "-ramp", "0s",
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, what)
}

func (f *fake) saw(what string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.seen {
		if s == what {
			n++
		}
	}
	return n
}

func (f *fake) endAll(words string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, stream := range f.streams {
		stream <- words
		delete(f.streams, id)
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		f.stream(w, r)
		return
	}
	var message struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &message)
	f.note(message.Method)
	f.mu.Lock()
	defer f.mu.Unlock()
	stream := f.streams[r.URL.Query().Get("id")]
	if stream == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if f.status != nil && f.status(message.Method) != 0 {
		w.WriteHeader(f.status(message.Method))
		return
	}
	w.WriteHeader(http.StatusAccepted)
	reply := `"result":{"text":"Ferrous"}`
	if f.reply != nil {
		reply = f.reply(message.Method)
	}
	if message.ID != nil && reply != "" {
		stream <- fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"id\":%s,%s}\n\n", message.ID, reply)
	}
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		f.note("Last-Event-ID: " + id)
		if f.reopened != 0 {
			w.WriteHeader(f.reopened)
			return
		}
	}
	f.mu.Lock()
	id := fmt.Sprint(len(f.seen), "-", time.Now().UnixNano())
	words := make(chan string, 100)
	f.streams[id] = words
	f.mu.Unlock()
	flush := func(text string) {
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
	}
	flush("retry: 20\nid: token-1\nevent: endpoint\ndata: /messages?id=" + id + "\n\n")
	for said := range words {
		switch {
		case strings.HasPrefix(said, "data"):
			flush(said)
		case said == "":
			// Cut off: the connection is closed without the end of the chunks.
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
			return
		default:
			flush(said)
			return
		}
	}
}

// run keeps the slot's session open until the test ends, and returns what is counted.
func run(t *testing.T, c *config, slot int) *load {
	l := newLoad(c, io.Discard)
	l.slots = slot + 1
	l.sessions.Add(1)
	go l.slot(slot, 0)
	t.Cleanup(func() {
		if !l.stopped() {
			close(l.stop)
		}
		l.sessions.Wait()
	})
	return l
}

// counted waits until the phase is as it should be.
func counted(t *testing.T, l *load, what string, want func(*phase) bool) {
	t.Helper()
	var last any
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		ok := false
		l.count.do(func(p *phase) { ok, last = want(p), p.summary(len(l.count.open)) })
		if ok {
			return
		}
	}
	t.Fatalf("never counted: %s; counted is %v", what, last)
}
