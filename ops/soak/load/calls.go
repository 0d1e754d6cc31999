package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"time"
)

// headers of a message over Streamable HTTP.
func headers(version era, message object) map[string]string {
	found := map[string]string{"MCP-Protocol-Version": string(version)}
	if version == modern {
		found["Mcp-Method"] = message["method"].(string)
		if name, ok := message["params"].(object)["name"].(string); ok {
			found["Mcp-Name"] = name
		}
	}
	return found
}

func (l *load) anyClient() *http.Client {
	if rand.Intn(5) == 0 {
		return l.fresh
	}
	return l.http
}

// httpSearch is a whole search in one request.
func (l *load) httpSearch(ctx context.Context, version era) {
	message := call("tools/call", search(role()), version)
	status, body, err := l.post(ctx, l.anyClient(), "/mcp", message, headers(version, message))
	if ctx.Err() != nil {
		return
	}
	kind := "search over HTTP, " + string(version)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	var a answer
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	if err != nil {
		l.count.bad(kind, err.Error())
		return
	}
	what, err := a.found()
	l.count.outcome(kind+", "+what, err)
}

// httpList asks for what is there, and for a prompt.
func (l *load) httpList(ctx context.Context) {
	version := legacy
	if rand.Intn(2) == 0 {
		version = modern
	}
	asked := []struct {
		method string
		params object
		expect string
	}{
		{"tools/list", object{}, `"search_jobs"`},
		{"prompts/list", object{}, `"mesh_resumes"`},
		{"prompts/get", object{"name": "analyze_job_market", "arguments": object{"role": "nurse", "city": "Oslo", "country": "Norway"}}, "Oslo"},
	}[rand.Intn(3)]
	message := call(asked.method, asked.params, version)
	status, body, err := l.post(ctx, l.anyClient(), "/mcp", message, headers(version, message))
	if ctx.Err() != nil {
		return
	}
	if err == nil && (status != http.StatusOK || !bytes.Contains(body, []byte(asked.expect))) {
		err = fmt.Errorf("status %d: %s", status, clipped(string(body), 100))
	}
	l.count.outcome(asked.method+" over HTTP, "+string(version)+", answered", err)
}

// httpVanish is a client that goes while its call runs.
func (l *load) httpVanish(ctx context.Context) {
	version := legacy
	if rand.Intn(2) == 0 {
		version = modern
	}
	role, arrived := l.provider.expect()
	defer l.provider.forget(role)
	going, gone := context.WithCancel(ctx)
	defer gone()
	message := call("tools/call", search(role), version)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _, _ = l.post(going, l.fresh, "/mcp", message, headers(version, message))
	}()
	select {
	case <-arrived:
		l.count.ok("client over HTTP, gone during a call of the job board")
	case <-answered: // by the catalogue, which needs no waiting
		l.count.ok("client over HTTP, answered before it went")
	case <-ctx.Done():
	}
	gone()
	<-answered
}

// badRequest is one that must be refused, and in which way.
func (l *load) badRequest(ctx context.Context) {
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	tool := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%s}}`
	for _, bad := range []struct {
		what, method, path, body string
		headers                  map[string]string
		status                   int
		expect                   string
	}{
		{"not JSON", "POST", "/mcp", `{"jsonrpc":"2.0",`, nil, 400, "-32700"},
		{"no message", "POST", "/mcp", `[1,2,3]`, nil, 400, "-32"},
		{"GET /mcp", "GET", "/mcp", "", nil, 405, ""},
		{"no such path", "POST", "/nowhere", ping, nil, 404, ""},
		{"too large", "POST", "/mcp", `{"padding":"` + strings.Repeat("x", 2<<20) + `"}`, nil, 413, ""},
		{"forged session", "POST", "/messages/?session_id=" + strings.Repeat("ab", 16), ping, nil, 404, ""},
		{"foreign host", "POST", "/mcp", ping, map[string]string{"Host": "evil.example"}, 403, ""},
		{"foreign origin", "POST", "/mcp", ping, map[string]string{"Origin": "https://evil.example"}, 403, ""},
		{"no such tool", "POST", "/mcp", fmt.Sprintf(tool, `"no_such_tool","arguments":{}`), nil, 200, "-32602"},
		{"out of range", "POST", "/mcp", fmt.Sprintf(tool, `"search_jobs","arguments":{"role":"cook","num_jobs":99}`), nil, 200, `"isError":true`},
		{"header and body differ", "POST", "/mcp", ping, map[string]string{"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}, 400, ""},
	} {
		if rand.Intn(11) != 0 {
			continue
		}
		status, text, err := l.send(ctx, l.anyClient(), bad.method, bad.path, []byte(bad.body), bad.headers)
		if ctx.Err() != nil {
			return
		}
		// A server may hang up on a body that it does not want; the client may see that before the answer.
		if bad.status == http.StatusRequestEntityTooLarge && err != nil {
			status, err = bad.status, nil
		}
		if err == nil && (status != bad.status || !strings.Contains(string(text), bad.expect)) {
			err = fmt.Errorf("status %d: %s", status, clipped(string(text), 100))
		}
		l.count.outcome("refused: "+bad.what, err)
	}
}

// abort is a connection that breaks off in the middle of a request, with a reset.
func (l *load) abort(ctx context.Context) {
	conn, err := (&net.Dialer{Timeout: deadline}).DialContext(ctx, "tcp", l.server.addr)
	if err != nil {
		if ctx.Err() == nil {
			l.count.bad("broken off", err.Error())
		}
		return
	}
	request := "POST /mcp HTTP/1.1\r\nHost: " + l.server.addr + "\r\nContent-Type: application/json\r\n" +
		"Accept: application/json, text/event-stream\r\nContent-Length: 5000\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1"
	_, _ = conn.Write([]byte(request[:rand.Intn(len(request)+1)]))
	sleep(ctx, between(0, 200*time.Millisecond))
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	l.count.ok("broken off in the middle of a request")
}
