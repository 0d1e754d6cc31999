package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// sample is the server's memory at a moment.
type sample struct {
	at  time.Duration
	rss int
}

// report is what came of it.
type report struct {
	Seconds    int            `json:"seconds"`
	Counts     counts         `json:"counts"`
	Warm       float64        `json:"rss_warm_mib"` // median of the window after warming up
	Last       float64        `json:"rss_last_mib"` // median of the last window
	Most       float64        `json:"rss_most_mib"`
	Growth     float64        `json:"growth"`
	Afterwards float64        `json:"rss_afterwards_mib"`
	Opened     float64        `json:"sessions_opened"`
	Ended      float64        `json:"sessions_ended"`
	FdsBefore  int            `json:"fds_before"`
	FdsAfter   int            `json:"fds_after"`
	Warnings   map[string]int `json:"warnings"`
	Problems   []string       `json:"problems"`
}

// mustHappen is what a run has in it, or it has tested less than it says.
var mustHappen = []string{
	"search over HTTP, 2025-11-25, answered", "search over HTTP, 2026-07-28, answered",
	"search over HTTP, 2026-07-28, told that the job board is not well", "client over HTTP, gone during a call of the job board",
	"session, search, answered", "session, call given up, not answered", "session, closed by its client",
	"idle session, closed by its client", "silent stream, closed by its client", "unread session, ended by the server",
	"vanishing session, gone during a call of the job board", "broken off in the middle of a request",
	"refused: not JSON", "refused: too large", "refused: forged session", "prompts/get over HTTP, 2026-07-28, answered",
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

func (r *report) problem(format string, values ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, values...))
}

func median(samples []sample, from, to time.Duration) int {
	var found []int
	for _, s := range samples {
		if s.at >= from && s.at < to {
			found = append(found, s.rss)
		}
	}
	if len(found) == 0 {
		return 0
	}
	slices.Sort(found)
	return found[len(found)/2]
}

// memory compares the window after warming up with the last one.
func (r *report) memory(samples []sample, c *config) {
	warm := median(samples, c.warm, c.warm+c.window())
	last := median(samples, c.duration-c.window(), c.duration+time.Second)
	for _, s := range samples {
		r.Most = max(r.Most, mib(s.rss))
	}
	r.Warm, r.Last = mib(warm), mib(last)
	if warm == 0 || last == 0 {
		r.problem("memory was not measured")
		return
	}
	r.Growth = float64(last)/float64(warm) - 1
	if r.Growth > c.growth {
		r.problem("resident memory grew from %.1f to %.1f MiB", r.Warm, r.Last)
	}
}

// afterwards is what is left when all clients have gone, and how the server ends.
func (r *report) afterwards(ctx context.Context, l *load) {
	s := l.server
	for what, n := range r.Counts.Unexpected {
		r.problem("unexpected: %d × %s", n, what)
	}
	for _, what := range mustHappen {
		if r.Counts.Expected[what] == 0 {
			r.problem("never happened: %s", what)
		}
	}
	for _, gauge := range []string{"iam_mcp_sse_streams_open", "iam_mcp_sse_calls"} {
		if !poll(ctx, func() bool { return s.metric(gauge) == 0 }) {
			r.problem("%s is %g after all clients have left", gauge, s.metric(gauge))
		}
	}
	r.Opened, r.Ended = s.metric("iam_mcp_sse_sessions_opened_total"), s.metric("iam_mcp_sse_sessions_ended_total")
	if r.Opened != r.Ended || r.Opened <= 0 {
		r.problem("%g sessions were opened, and %g ended", r.Opened, r.Ended)
	}
	poll(ctx, func() bool { l.provider.hangUp(); r.FdsAfter = s.fds(); return r.FdsAfter <= r.FdsBefore })
	if r.FdsAfter > r.FdsBefore {
		r.problem("%d file descriptors are open, before it were %d", r.FdsAfter, r.FdsBefore)
	}
	r.Afterwards = mib(s.rss())
	if err := s.stop(); err != nil {
		r.problem("the server: %v", err)
	}
	var worse []string
	r.Warnings, worse = s.complaints()
	for _, line := range worse[:min(len(worse), 20)] {
		r.problem("in the log: %s", line)
	}
}

func total(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

func (r *report) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| what clients did, and what came of it | times |\n|---|---|\n")
	for _, what := range slices.Sorted(maps.Keys(r.Counts.Expected)) {
		fmt.Fprintf(&b, "| %s | %d |\n", what, r.Counts.Expected[what])
	}
	for _, what := range slices.Sorted(maps.Keys(r.Counts.Unexpected)) {
		fmt.Fprintf(&b, "| UNEXPECTED %s | %d |\n", what, r.Counts.Unexpected[what])
	}
	fmt.Fprintf(&b, "\n| the server | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"resident memory after warming up (median)", fmt.Sprintf("%.1f MiB", r.Warm)},
		{"in the last window (median)", fmt.Sprintf("%.1f MiB, %+.1f %%", r.Last, 100*r.Growth)},
		{"most, and when all had left", fmt.Sprintf("%.1f, %.1f MiB", r.Most, r.Afterwards)},
		{"sessions opened, ended", fmt.Sprintf("%g, %g", r.Opened, r.Ended)},
		{"file descriptors before, after", fmt.Sprintf("%d, %d", r.FdsBefore, r.FdsAfter)},
		{"warnings in the log", fmt.Sprint(r.Warnings)},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	result := "passed"
	if len(r.Problems) > 0 {
		result = "FAILED"
	}
	fmt.Fprintf(&b, "\nsoak: %s: %d messages in %d s, memory %+.1f %%, %g sessions, %d unexpected errors, %d problems\n",
		result, r.Counts.Messages, r.Seconds, 100*r.Growth, r.Opened, total(r.Counts.Unexpected), len(r.Problems))
	return b.String()
}
