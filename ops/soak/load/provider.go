package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// provider is a job board on loopback that answers as JSearch does: mostly soon, sometimes slowly, sometimes not well.
type provider struct {
	url      string
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
	waiting  map[string]chan struct{} // searches that are not answered, by role; closed when one has arrived
}

// Of the searches that are answered: how many, in thousands, fail in which way, and how many are slow.
const (
	unwell  = 30 // a 500, which the server tries again
	limited = 5
	garbled = 5
	slowly  = 50
)

func newProvider() (*provider, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{url: "http://" + listener.Addr().String(), listener: listener, conns: map[net.Conn]bool{}, waiting: map[string]chan struct{}{}}
	server := &http.Server{Handler: p, ConnState: p.connState}
	go func() { _ = server.Serve(listener) }()
	return p, nil
}

func (p *provider) connState(conn net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(p.conns, conn)
	} else {
		p.conns[conn] = true
	}
}

// hangUp closes the connections that the server keeps for later.
func (p *provider) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// expect makes a role whose search is never answered; the channel is closed when the search has arrived.
func (p *provider) expect() (role string, arrived <-chan struct{}) {
	role = fmt.Sprintf("slow%016x", rand.Uint64())
	arrives := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[role] = arrives
	return role, arrives
}

func (p *provider) forget(role string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, role)
}

func (p *provider) hold(role string, r *http.Request) {
	p.mu.Lock()
	arrives := p.waiting[role]
	delete(p.waiting, role) // a second try of it finds nobody
	p.mu.Unlock()
	if arrives != nil {
		close(arrives)
	}
	<-r.Context().Done()
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query().Get("query")
	if role, _, _ := strings.Cut(query, " "); strings.HasPrefix(role, "slow") {
		p.hold(role, r)
		return
	}
	first := strings.HasPrefix(query, "first")
	switch n := rand.Intn(1000); {
	case first:
	case n < unwell:
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	case n < unwell+limited:
		http.Error(w, "too many", http.StatusTooManyRequests)
		return
	case n < unwell+limited+garbled:
		_, _ = w.Write([]byte(`{"status":"OK","da`))
		return
	case n < unwell+limited+garbled+slowly:
		time.Sleep(time.Duration(rand.Intn(1500)) * time.Millisecond)
	default:
		time.Sleep(time.Duration(5+rand.Intn(40)) * time.Millisecond)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "OK", "data": postings(query)})
}

func postings(query string) []map[string]any {
	weight := 300
	if strings.HasPrefix(query, "long") {
		weight = 4000
	}
	found := make([]map[string]any, 20)
	for i := range found {
		found[i] = map[string]any{
			"job_id": fmt.Sprintf("%s-%d", query, i), "job_title": query, "employer_name": "Example Company", "job_city": "Berlin",
			"job_country": "DE", "job_description": strings.Repeat("work ", weight/5), "job_apply_link": fmt.Sprintf("https://example.com/%d", i),
		}
	}
	return found
}
