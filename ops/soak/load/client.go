package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// load is all clients together.
type load struct {
	config      *config
	server      *server
	provider    *provider
	count       *counter
	http, fresh *http.Client // with connections that are kept, and with a new one for each request
}

func newClient() *http.Client {
	return &http.Client{Timeout: deadline, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}
}

func freshClient() *http.Client {
	return &http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
}

// every does something so often, on average and independent of how long it takes.
func (l *load) every(ctx context.Context, all *sync.WaitGroup, times float64, do func(context.Context)) {
	all.Go(func() {
		for {
			wait := time.Duration(rand.ExpFloat64() / (times * l.config.rate) * float64(time.Second))
			if !sleep(ctx, wait) {
				return
			}
			all.Go(func() { do(ctx) })
		}
	})
}

// slots keeps so many of something going, one after another.
func (l *load) slots(ctx context.Context, all *sync.WaitGroup, n int, do func(context.Context)) {
	for range n {
		all.Go(func() {
			sleep(ctx, time.Duration(rand.Int63n(int64(5*time.Second)))) // not all at once
			for ctx.Err() == nil {
				do(ctx)
			}
		})
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// between is a time between two, evenly.
func between(least, most time.Duration) time.Duration {
	return least + time.Duration(rand.Int63n(int64(most-least)))
}

// start has the clients come. The numbers make about 150 messages a second.
func (l *load) start(ctx context.Context, all *sync.WaitGroup) {
	l.slots(ctx, all, 25, l.session)
	l.slots(ctx, all, 25, l.idleSession)
	l.slots(ctx, all, 3, l.unreadSession)
	l.slots(ctx, all, 4, l.silentStream)
	l.every(ctx, all, 35, func(ctx context.Context) { l.httpSearch(ctx, legacy) })
	l.every(ctx, all, 35, func(ctx context.Context) { l.httpSearch(ctx, modern) })
	l.every(ctx, all, 10, l.httpList)
	l.every(ctx, all, 2, l.httpVanish)
	l.every(ctx, all, 1, l.sessionVanish)
	l.every(ctx, all, 8, l.badRequest)
	l.every(ctx, all, 3, l.abort)
}

// switchKeys gives the server a key for the job board and takes it away again, so that half of the searches go to the
// catalogue inside it. It reads the file again every few seconds.
func (l *load) switchKeys(ctx context.Context) {
	for keyed := false; ; keyed = !keyed {
		if keyed {
			_ = os.Remove(l.server.key)
		} else if err := l.writeKey(); err != nil {
			l.count.bad("key file", err.Error())
		}
		if !sleep(ctx, 10*time.Second) {
			return
		}
	}
}

func (l *load) writeKey() error {
	fresh := l.server.key + ".new"
	if err := os.WriteFile(fresh, []byte("key-of-the-soak"), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, l.server.key)
}

// firstSearches has all that is made on first use made: the catalogue's index, the client of the job board.
func (l *load) firstSearches(ctx context.Context) error {
	if err := l.searchUntil(ctx, `"sample":true`); err != nil {
		return err
	}
	if err := l.writeKey(); err != nil {
		return err
	}
	return l.searchUntil(ctx, "Example Company")
}

// searchUntil searches until the answer has the text: the server looks for a key every few seconds only.
func (l *load) searchUntil(ctx context.Context, text string) error {
	var body []byte
	var err error
	if poll(ctx, func() bool {
		_, body, err = l.post(ctx, l.http, "/mcp", call("tools/call", search("first nurse"), ""), nil)
		return err == nil && bytes.Contains(body, []byte(text))
	}) {
		return nil
	}
	return fmt.Errorf("the first search was not answered: %s %v", clipped(string(body), 300), err)
}

// --- messages ---

type object = map[string]any

// era is which protocol a message over Streamable HTTP belongs to.
type era string

const (
	legacy era = "2025-11-25"
	modern era = "2026-07-28"
)

var roles = strings.Fields("nurse engineer baker teacher welder driver cook lawyer painter gardener plumber analyst midwife actor farmer tailor")

// role is mostly one that others ask for too.
func role() string {
	if rand.Intn(4) == 0 {
		return fmt.Sprintf("%s %d", roles[rand.Intn(len(roles))], rand.Intn(1_000_000))
	}
	return roles[rand.Intn(len(roles))]
}

func search(role string) object {
	arguments := object{"role": role, "city": "Berlin", "country": "Germany", "num_jobs": 1 + rand.Intn(10)}
	if rand.Intn(2) == 0 {
		arguments = object{"query": role, "location": "Berlin, Germany", "num_pages": 1}
	}
	return object{"name": "search_jobs", "arguments": arguments}
}

func call(method string, params object, version era) object {
	if version == modern {
		params["_meta"] = object{
			"io.modelcontextprotocol/protocolVersion": string(modern), "io.modelcontextprotocol/clientCapabilities": object{},
			"io.modelcontextprotocol/clientInfo": object{"name": "soak", "version": "1"},
		}
	}
	return object{"jsonrpc": "2.0", "id": rand.Int31(), "method": method, "params": params}
}

// answer is a JSON-RPC answer with a tool's result in it.
type answer struct {
	ID     json.RawMessage
	Result *struct {
		IsError           bool
		Content           []struct{ Text string }
		StructuredContent *struct{ Jobs []json.RawMessage }
	}
	Error *struct {
		Code    int
		Message string
	}
}

// found says whether a search was answered as it should be. A job board that is not well makes a tool error, and is meant to.
func (a *answer) found() (what string, err error) {
	switch {
	case a.Error != nil:
		return "", fmt.Errorf("error %d: %s", a.Error.Code, a.Error.Message)
	case a.Result == nil:
		return "", errors.New("no result")
	case a.Result.IsError && len(a.Result.Content) > 0:
		text := a.Result.Content[0].Text
		for _, meant := range []string{"limit of JSearch requests", "could not be understood", "has a problem of its own"} {
			if strings.Contains(text, meant) {
				return "told that the job board is not well", nil
			}
		}
		return "", errors.New("tool error: " + text)
	case a.Result.StructuredContent == nil:
		return "", errors.New("nothing structured")
	}
	return "answered", nil
}

// post sends a message, and gives status and body.
func (l *load) post(ctx context.Context, client *http.Client, path string, message any, headers map[string]string) (int, []byte, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return 0, nil, err
	}
	return l.send(ctx, client, http.MethodPost, path, body, headers)
}

func (l *load) send(ctx context.Context, client *http.Client, method, path string, body []byte, headers map[string]string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+l.server.addr+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	for name, value := range headers {
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	l.count.message()
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	return response.StatusCode, text, err
}
