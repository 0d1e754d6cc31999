// CoreDNS with only the plugins a local cluster needs: the stock plugin list
// pulls in three cloud SDKs, etcd and tracing, most of its build time.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
)

func init() {
	// Order matters: a query passes the plugins in this order.
	dnsserver.Directives = []string{
		"bind", "ready", "errors", "log", "cache", "loadbalance", "kubernetes", "forward",
	}
}

func main() { coremain.Run() }
