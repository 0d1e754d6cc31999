// Command load keeps MCP sessions over the legacy SSE transport open, calls a tool over them and over Streamable HTTP at a
// steady rate, and counts what is lost. What counts as lost stands in ../README.md. Standard library only.
//
// It is told what to do on standard input, a command a line, and answers each with one line of JSON:
//
//	phase NAME   closes the running phase and answers what was counted in it
//	sessions N   grows to N sessions
//	state        the open sessions, with the local address of each stream
//	end          every open session makes a last call, also those that were idle; answers the last phase and exits
//
// It also ends, without last calls, when standard input ends: with the driver, however that ends.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// config is what the flags say.
type config struct {
	addr, host                string
	ssePath, mcpPath          string
	ips                       []string
	sessions                  int
	rate, sseShare            float64
	fresh, sseFresh           float64
	timeout, ramp             time.Duration
	shortMean, shortLeast     time.Duration
	protocol, tool, arguments string
	expect, events            string
}

func flags(args []string) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&c.addr, "addr", "", "host:port of the Service")
	f.StringVar(&c.host, "host", "", "Host header, where the server asks for a name; the address if empty")
	f.StringVar(&c.ssePath, "sse", "/sse", "path of the SSE stream")
	f.StringVar(&c.mcpPath, "mcp", "/mcp", "path of Streamable HTTP")
	f.IntVar(&c.sessions, "sessions", 1000, "SSE sessions at the start")
	f.Float64Var(&c.rate, "rate", 200, "calls a second, over both transports together")
	f.Float64Var(&c.sseShare, "sse-share", 0.75, "share of the calls that goes over SSE")
	f.Float64Var(&c.fresh, "fresh", 0.3, "share of the Streamable HTTP calls on a new connection")
	f.Float64Var(&c.sseFresh, "sse-fresh", 0.2, "share of the sessions' POSTs on a new connection")
	f.DurationVar(&c.timeout, "timeout", 5*time.Second, "a call without an answer for so long has failed")
	f.DurationVar(&c.ramp, "ramp", 10*time.Second, "the first sessions are opened within this time")
	f.DurationVar(&c.shortMean, "short-mean", 30*time.Second, "mean lifetime of the short sessions")
	f.DurationVar(&c.shortLeast, "short-least", 5*time.Second, "their least lifetime")
	f.StringVar(&c.protocol, "protocol", "2025-11-25", "MCP-Protocol-Version of the Streamable HTTP calls")
	f.StringVar(&c.tool, "tool", "search_jobs", "the tool that is called")
	f.StringVar(&c.arguments, "arguments", `{"query":"engineer","location":"Berlin","num_pages":1}`, "its arguments")
	f.StringVar(&c.expect, "expect", `"jobs"`, "text that a good answer contains")
	f.StringVar(&c.events, "events", "events.jsonl", "file for every loss and failure, with its time")
	ips := f.String("ips", "", "comma-separated local addresses, used in turn")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if c.addr == "" || *ips == "" {
		return nil, fmt.Errorf("-addr and -ips are needed")
	}
	if c.rate < 0 || c.sseShare < 0 || c.sseShare > 1 || c.sessions < 0 {
		return nil, fmt.Errorf("-rate and -sessions are not negative, -sse-share is from 0 to 1")
	}
	c.ips = strings.Split(*ips, ",")
	return c, nil
}

func (c *config) params() string {
	return fmt.Sprintf(`{"name":%q,"arguments":%s}`, c.tool, c.arguments)
}

func main() {
	c, err := flags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	events, err := os.Create(c.events)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	defer events.Close()
	fmt.Fprintln(os.Stderr, distribution(c))
	if err := c.reach(reachWithin); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	l := newLoad(c, events)
	l.grow(c.sessions)
	l.startHTTP()
	commands(l)
	l.count.flush()
}

// commands does what standard input says, until it ends.
func commands(l *load) {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		verb, rest, _ := strings.Cut(strings.TrimSpace(in.Text()), " ")
		switch verb {
		case "phase":
			_ = out.Encode(l.count.next(rest))
		case "sessions":
			n, err := strconv.Atoi(rest)
			if err == nil {
				l.grow(n)
			}
			_ = out.Encode(map[string]any{"sessions": l.slots})
		case "state":
			_ = out.Encode(l.count.state())
		case "end":
			l.end()
			_ = out.Encode(l.count.next("end"))
			return
		default:
			_ = out.Encode(map[string]any{"error": "not a command: " + verb})
		}
	}
}
