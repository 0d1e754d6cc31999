package main

import (
	"net"
	"testing"
	"time"
)

func TestReachWaitsForTheService(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	c := &config{addr: address, ips: []string{"127.0.0.1", "127.0.0.2"}}
	if err := c.reach(0); err == nil {
		t.Fatal("nobody listens, and it was reached")
	}
	reached := make(chan error, 1)
	go func() { reached <- c.reach(10 * time.Second) }()
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := <-reached; err != nil {
		t.Fatal(err)
	}
}
