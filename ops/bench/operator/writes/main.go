// Command writes is the bare client: it makes the writes that it is given, for many servers, over so many connections,
// and does nothing else. What it takes is the limit for an operator that makes the same writes. Standard library only.
//
// Standard input is one JSON object, see plan. For each item one connection goes through the steps in order; in a path
// and a body @NS@ and @NAME@ are the item's, @UID@ is the uid in the answer to its first step. Standard output is one
// JSON object, see outcome.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

type step struct {
	Method, Path, Type, Body string
}

type item struct {
	Namespace, Name string
}

type plan struct {
	Server, CA, Cert, Key string
	Connections           int
	Items                 []item
	Steps                 []step
}

type outcome struct {
	Seconds    float64 `json:"seconds"`
	Writes     int     `json:"writes"`
	Failed     int     `json:"failed"`
	FirstError string  `json:"first_error"`
}

// fill puts an item's names into a template.
func fill(template string, it item, uid string) string {
	return strings.NewReplacer("@NS@", it.Namespace, "@NAME@", it.Name, "@UID@", uid).Replace(template)
}

// client has one connection of its own, by HTTP/1.1.
func client(p *plan) (*http.Client, error) {
	authority, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
			MaxConnsPerHost: 1,
			TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
	}, nil
}

// do makes one write and gives the uid in the answer.
func do(c *http.Client, server string, s step, it item, uid string) (string, error) {
	request, err := http.NewRequest(s.Method, server+fill(s.Path, it, uid), bytes.NewReader([]byte(fill(s.Body, it, uid))))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", s.Type)
	answer, err := c.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode >= 300 {
		return "", fmt.Errorf("%s %s: %s: %.300s", s.Method, fill(s.Path, it, uid), answer.Status, body)
	}
	var object struct {
		Metadata struct{ UID string }
	}
	err = json.Unmarshal(body, &object)
	return object.Metadata.UID, err
}

func run(p *plan) (*outcome, error) {
	result := &outcome{}
	var lock sync.Mutex
	var workers sync.WaitGroup
	items := make(chan item)
	clients := make([]*http.Client, p.Connections)
	for i := range clients {
		c, err := client(p)
		if err != nil {
			return nil, err
		}
		clients[i] = c
	}
	began := time.Now()
	for _, c := range clients {
		workers.Go(func() {
			for it := range items {
				uid := ""
				for i, s := range p.Steps {
					got, err := do(c, p.Server, s, it, uid)
					lock.Lock()
					result.Writes++
					if err != nil {
						result.Failed++
						if result.FirstError == "" {
							result.FirstError = err.Error()
						}
					}
					lock.Unlock()
					if err != nil {
						break
					}
					if i == 0 {
						uid = got
					}
				}
			}
		})
	}
	for _, it := range p.Items {
		items <- it
	}
	close(items)
	workers.Wait()
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

func main() {
	var p plan
	err := json.NewDecoder(os.Stdin).Decode(&p)
	var result *outcome
	if err == nil {
		result, err = run(&p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "writes:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}
