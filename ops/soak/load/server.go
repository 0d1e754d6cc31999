package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// deadline is the longest that is waited for anything. A machine under load may need it; a healthy server never does.
const deadline = time.Minute

// server is the process, and what can be seen of it from outside.
type server struct {
	process    *exec.Cmd
	ended      chan struct{}
	addr       string
	admin      string
	log        string
	key        string // the file with the job board's key
	adminCalls *http.Client
}

func startServer(ctx context.Context, c *config, provider string) (*server, error) {
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{
		admin: fmt.Sprintf("http://127.0.0.1:%d", admin), log: filepath.Join(c.work, "server.log"), key: filepath.Join(c.work, "key"),
		ended: make(chan struct{}), adminCalls: &http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.process = exec.Command(c.server, "http")
	s.process.Stderr = log
	s.process.Env = []string{
		"PORT=0", fmt.Sprintf("ADMIN_PORT=%d", admin), "RAPIDAPI_BASE_URL=" + provider, "RAPIDAPI_KEY_FILE=" + s.key,
		// All clients have one address here. The limiter works all the same.
		"RATE_LIMIT=5000",
		// Neither may the budget be spent, and the server counts all the same.
		"JSEARCH_BUDGET=1000000/hour",
		// Answers come and go within the warming up, so that what grows afterwards is no cache that fills.
		"JOB_CACHE_SECONDS=20", "JOB_CACHE_MB=4",
	}
	if err = s.process.Start(); err != nil {
		return nil, err
	}
	go func() { _ = s.process.Wait(); close(s.ended) }()
	if s.addr, err = s.address(ctx); err != nil {
		s.kill()
	}
	return s, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// poll asks until it is so, or there is no time left.
func poll(ctx context.Context, so func() bool) bool {
	for end := time.Now().Add(deadline); !so(); time.Sleep(50 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
	}
	return true
}

// address is where it says in its log that it serves.
func (s *server) address(ctx context.Context) (address string, err error) {
	found := poll(ctx, func() bool {
		text, _ := os.ReadFile(s.log)
		for _, line := range bytes.Split(text, []byte("\n")) {
			var said struct{ Address string }
			if json.Unmarshal(line, &said) == nil && said.Address != "" {
				address = said.Address
			}
		}
		return address != "" || s.hasEnded()
	})
	if !found || address == "" {
		text, _ := os.ReadFile(s.log)
		return "", fmt.Errorf("the server did not start: %s", text)
	}
	return address, nil
}

func (s *server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	<-s.ended
}

// stop ends it as Kubernetes does, and says how it ended.
func (s *server) stop() error {
	if s.hasEnded() {
		return fmt.Errorf("it had ended before: %v", s.process.ProcessState)
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(deadline):
		return errors.New("it did not end")
	}
	if !s.process.ProcessState.Success() {
		return fmt.Errorf("it ended with %v", s.process.ProcessState)
	}
	return nil
}

func (s *server) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", s.process.Process.Pid, name)
}

// rss is its resident memory, in bytes.
func (s *server) rss() int {
	text, _ := os.ReadFile(s.proc("status"))
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, _ := strconv.Atoi(fields[1])
			return kib << 10
		}
	}
	return 0
}

// fds is how many file descriptors it has open.
func (s *server) fds() int {
	found, _ := os.ReadDir(s.proc("fd"))
	return len(found)
}

// settledFds is their number once it no longer falls.
func (s *server) settledFds(ctx context.Context) (int, error) {
	least, since := s.fds(), time.Now()
	settled := poll(ctx, func() bool {
		if now := s.fds(); now < least {
			least, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	if !settled || least == 0 {
		return 0, errors.New("the server's file descriptors cannot be counted")
	}
	return least, nil
}

// metric is the sum of a metric's lines.
func (s *server) metric(name string) (sum float64) {
	answer, err := s.adminCalls.Get(s.admin + "/metrics")
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	for line := range strings.Lines(string(text)) {
		head, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(head, "{"); bare == name {
			number, _ := strconv.ParseFloat(value, 64)
			sum += number
		}
	}
	return sum
}

// complaints counts the lines of its log at WARN, by message, and gives what is worse: errors, panics, and what is not JSON.
func (s *server) complaints() (warnings map[string]int, worse []string) {
	warnings = map[string]int{}
	log, err := os.Open(s.log)
	if err != nil {
		return warnings, []string{err.Error()}
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var said struct{ Level, Message, Cause string }
		switch err := json.Unmarshal(lines.Bytes(), &said); {
		case err != nil, said.Level == "ERROR":
			worse = append(worse, clipped(lines.Text(), 300))
		case said.Level == "WARN":
			warnings[strings.TrimSpace(said.Message+" "+said.Cause)]++
		}
	}
	return warnings, worse
}
