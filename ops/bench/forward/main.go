// forward measures what passing a message on to the replica that has its session costs: calls over legacy SSE, sent
// in turn to the replica that has the stream and to another one, in the same run. Standard library only.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	owner    = flag.String("owner", "127.0.0.1:18081", "replica that has the streams")
	other    = flag.String("other", "127.0.0.1:18082", "replica that passes messages on")
	sessions = flag.Int("sessions", 1, "sessions at a time")
	calls    = flag.Int("calls", 2000, "calls of each session by each way")
	timeout  = flag.Duration("timeout", 10*time.Second, "longest wait for an answer")
)

const body = `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"search_jobs","arguments":{"role":"rust engineer","num_jobs":5}}}`

type way struct {
	accepted, answered []time.Duration
}

// session opens a stream and makes its calls, one at a time, by both ways in turn.
func session(direct, forwarded *way, mu *sync.Mutex) error {
	answer, err := http.Get("http://" + *owner + "/sse")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	events := make(chan string, 16)
	go func() {
		lines := bufio.NewReaderSize(answer.Body, 64<<10)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				close(events)
				return
			}
			if data, found := strings.CutPrefix(line, "data: "); found {
				events <- strings.TrimSpace(data)
			}
		}
	}()
	endpoint := <-events
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	ways := []struct {
		address string
		way     *way
	}{{*owner, direct}, {*other, forwarded}}
	for call := range *calls + 50 {
		for at, by := range ways {
			message := bytes.NewReader(fmt.Appendf(nil, body, 2*call+at))
			start := time.Now()
			taken, err := client.Post("http://"+by.address+endpoint, "application/json", message)
			if err != nil {
				return err
			}
			accepted := time.Since(start)
			said, _ := io.ReadAll(taken.Body)
			taken.Body.Close()
			if taken.StatusCode != http.StatusAccepted {
				return fmt.Errorf("%s answered %d: %s", by.address, taken.StatusCode, said)
			}
			select {
			case _, open := <-events:
				if !open {
					return fmt.Errorf("the stream ended")
				}
			case <-time.After(*timeout):
				return fmt.Errorf("no answer in %s", *timeout)
			}
			if call >= 50 { // warmed up
				mu.Lock()
				by.way.accepted = append(by.way.accepted, accepted)
				by.way.answered = append(by.way.answered, time.Since(start))
				mu.Unlock()
			}
		}
	}
	return nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*q))]
}

func main() {
	flag.Parse()
	var direct, forwarded way
	var mu sync.Mutex
	failed := make(chan error, *sessions)
	for range *sessions {
		go func() { failed <- session(&direct, &forwarded, &mu) }()
	}
	for range *sessions {
		if err := <-failed; err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
	}
	fmt.Printf("| sessions | what | direct p50 / p99 ms | passed on p50 / p99 ms | added at p50, ms |\n|---|---|---|---|---|\n")
	over := false
	for _, row := range []struct {
		what string
		a, b []time.Duration
	}{{"until accepted", direct.accepted, forwarded.accepted}, {"until answered on the stream", direct.answered, forwarded.answered}} {
		slices.Sort(row.a)
		slices.Sort(row.b)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		added := quantile(row.b, .5) - quantile(row.a, .5)
		over = over || added >= time.Millisecond
		fmt.Printf("| %d | %s | %.3f / %.3f | %.3f / %.3f | %.3f |\n", *sessions, row.what, ms(quantile(row.a, .5)), ms(quantile(row.a, .99)),
			ms(quantile(row.b, .5)), ms(quantile(row.b, .99)), ms(added))
	}
	if over {
		fmt.Println("\nThe hop costs more than a millisecond.")
	}
}
