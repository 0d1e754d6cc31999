package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net/http"
	"time"
)

// mostInFlight bounds the calls that wait for their answers; beyond it one counts as failed without being sent.
const mostInFlight = 300

// startHTTP begins the Streamable HTTP calls at their part of the rate.
func (l *load) startHTTP() {
	rate := l.config.rate * (1 - l.config.sseShare)
	if rate <= 0 {
		return
	}
	l.http.Add(1)
	go l.httpCalls(time.Duration(float64(time.Second) / rate))
}

func (l *load) httpCalls(every time.Duration) {
	defer l.http.Done()
	kept, fresh := map[string]*http.Client{}, map[string]*http.Client{}
	for _, ip := range l.config.ips {
		kept[ip], fresh[ip] = l.config.client(ip, true), l.config.client(ip, false)
	}
	inFlight := make(chan struct{}, mostInFlight)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		}
		select {
		case inFlight <- struct{}{}:
		default:
			l.httpDone("", 0, errors.New("not sent: too many in flight"))
			continue
		}
		ip := l.config.ips[i%len(l.config.ips)]
		client, how := kept[ip], "kept connection: "
		if rand.Float64() < l.config.fresh {
			client, how = fresh[ip], "new connection: "
		}
		go func() {
			defer func() { <-inFlight }()
			took, err := l.httpCall(client)
			if err != nil {
				err = errors.New(how + err.Error())
			}
			l.httpDone(ip, took, err)
		}()
	}
}

func (l *load) httpDone(ip string, took time.Duration, err error) {
	l.count.do(func(p *phase) {
		if err == nil {
			p.http = append(p.http, ms(took))
			return
		}
		p.httpFailed[err.Error()]++
		l.count.event("HTTP call failed", err.Error(), -1, ip)
	})
}

// httpCall makes one call, and a second when it was told to; both together have the time of one.
func (l *load) httpCall(client *http.Client) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.config.timeout)
	defer cancel()
	start := time.Now()
	err := l.httpOnce(ctx, client)
	if errors.Is(err, errTold) {
		l.count.do(func(p *phase) { p.told++ })
		err = l.httpOnce(ctx, client)
	}
	return time.Since(start), err
}

func (l *load) httpOnce(ctx context.Context, client *http.Client) error {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + l.config.params() + `}`
	request, err := l.config.request(ctx, http.MethodPost, "http://"+l.config.addr+l.config.mcpPath, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	request.Header.Set("MCP-Protocol-Version", l.config.protocol)
	response, err := client.Do(request)
	if err != nil {
		return errors.New(reason(err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return errors.New("body " + reason(err))
	case bytes.Contains(text, []byte(`"error":`)) && bytes.Contains(text, []byte("send it again")):
		return errTold
	case response.StatusCode != http.StatusOK:
		return statusError(response.StatusCode)
	case !l.config.good(text):
		return errors.New("not the tool's answer")
	}
	return nil
}
