package main

import (
	"errors"
	"sync"
	"time"
)

// reachWithin is how long the network may take to lead every address to the Service.
const reachWithin = 25 * time.Second

// reach connects from each address until the Service answers. What is measured begins with a network that works: kube-proxy
// writes the rules of a new Service a second or more after its pods are ready, and the nodes ask who has a new address.
func (c *config) reach(within time.Duration) error {
	until := time.Now().Add(within)
	failed := make([]error, len(c.ips))
	var all sync.WaitGroup
	for i, ip := range c.ips {
		all.Go(func() {
			dialer := c.dialer(ip)
			dialer.Timeout = time.Second
			for {
				conn, err := dialer.Dial("tcp", c.addr)
				if err == nil {
					conn.Close()
					return
				}
				if time.Now().After(until) {
					failed[i] = errors.New(ip + " does not reach " + c.addr + ": " + err.Error())
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}
