// Command load starts an MCP server and gives it a mixture of clients, good, rude and gone, for as long as it is told. Then all
// leave, and it looks what is left: memory, streams, calls, file descriptors, errors, complaints in the log. What is run
// and what must hold stands in ../README.md. Standard library only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	server         string
	duration, warm time.Duration
	rate           float64
	growth         float64
	json           bool
	work           string
}

func flags(args []string) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&c.server, "server", "", "the server's binary")
	f.DurationVar(&c.duration, "duration", 3*time.Minute, "how long clients come and go")
	f.DurationVar(&c.warm, "warm", time.Minute, "memory counts from here on")
	f.Float64Var(&c.rate, "rate", 1, "how much of the usual rate, which is about 150 messages a second")
	f.Float64Var(&c.growth, "growth", 0.10, "how much more memory there may be at the end than after warming up, as a share")
	f.BoolVar(&c.json, "json", false, "print a JSON object instead of the tables")
	f.StringVar(&c.work, "work", "", "an empty folder for the log and the key")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if c.server == "" || c.work == "" {
		return nil, errors.New("-server and -work are needed")
	}
	if c.duration < c.warm+2*c.window() || c.rate <= 0 {
		return nil, fmt.Errorf("-duration is at least -warm and two windows of %v, and -rate more than 0", c.window())
	}
	return c, nil
}

// window is how long memory is looked at, after warming up and at the end.
func (c *config) window() time.Duration { return max(20*time.Second, c.duration/10) }

func main() {
	c, err := flags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	// Told to end, it ends the clients and the server, and fails.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	r, err := soak(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if c.json {
		_ = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		fmt.Print(r.tables())
	}
	for _, problem := range r.Problems {
		fmt.Fprintln(os.Stderr, "MISS", problem)
	}
	if len(r.Problems) > 0 {
		os.Exit(1)
	}
}

// soak runs the whole of it.
func soak(ctx context.Context, c *config) (*report, error) {
	provider, err := newProvider()
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, c, provider.url)
	if err != nil {
		return nil, err
	}
	defer s.kill()
	l := &load{config: c, server: s, count: newCounter(), provider: provider, http: newClient(), fresh: freshClient()}
	if err = l.firstSearches(ctx); err != nil {
		return nil, err
	}
	l.http.CloseIdleConnections()
	provider.hangUp()
	before, err := s.settledFds(ctx)
	if err != nil {
		return nil, err
	}

	started := time.Now()
	running, stop := context.WithTimeout(ctx, c.duration)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() { l.switchKeys(running) })
	l.start(running, &all)
	samples := l.watch(running, started)
	all.Wait()
	if ctx.Err() != nil {
		return nil, errors.New("told to end")
	}
	l.http.CloseIdleConnections()
	provider.hangUp()
	r := &report{Seconds: int(c.duration.Seconds()), Counts: l.count.all(), FdsBefore: before}
	r.memory(samples, c)
	r.afterwards(ctx, l)
	return r, nil
}

// progress tells how it goes, every so often.
const progressEvery = 15 * time.Second

// watch takes a sample of the server's memory each second, until the clients end.
func (l *load) watch(ctx context.Context, started time.Time) []sample {
	var samples []sample
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	next := progressEvery
	var lastMessages int
	for {
		select {
		case <-ctx.Done():
			return samples
		case <-tick.C:
		}
		after := time.Since(started)
		samples = append(samples, sample{after, l.server.rss()})
		if after < next {
			continue
		}
		next += progressEvery
		messages := l.count.messages()
		fmt.Fprintf(os.Stderr, "[%4.0fs] %.1f MiB, %d file descriptors, %g streams open, %d messages (%.0f a second), %d unexpected errors\n",
			after.Seconds(), mib(l.server.rss()), l.server.fds(), l.server.metric("iam_mcp_sse_streams_open"), messages,
			float64(messages-lastMessages)/progressEvery.Seconds(), l.count.unexpected())
		lastMessages = messages
	}
}
