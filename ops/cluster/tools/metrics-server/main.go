// metrics-server from its own packages. Upstream's command brings OpenAPI
// definitions generated for a newer Kubernetes than the one built here (they
// do not compile with it), so this one serves those of the API server, which
// include the metrics API.
package main

import (
	"flag"
	"log"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/pkg/generated/openapi"
	"sigs.k8s.io/metrics-server/pkg/api"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/server"
)

const kubeletPort = 10250

type options struct {
	kubeconfig, kubeletCA string
	resolution, timeout   time.Duration
	serving               *genericoptions.SecureServingOptionsWithLoopback
}

func main() {
	o := options{serving: genericoptions.NewSecureServingOptions().WithLoopback()}
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the API server and the kubelets")
	flag.StringVar(&o.kubeletCA, "kubelet-certificate-authority", "", "who signed the kubelets' certificates")
	flag.DurationVar(&o.resolution, "metric-resolution", 10*time.Second, "time between two scrapes")
	flag.DurationVar(&o.timeout, "kubelet-request-timeout", 5*time.Second, "limit of one scrape")
	flag.StringVar(&o.serving.ServerCert.CertKey.CertFile, "tls-cert-file", "", "serving certificate")
	flag.StringVar(&o.serving.ServerCert.CertKey.KeyFile, "tls-private-key-file", "", "its key")
	flag.TextVar(&o.serving.BindAddress, "bind-address", net.IPv4(127, 0, 0, 1), "address to listen on")
	flag.IntVar(&o.serving.BindPort, "secure-port", 4443, "port to listen on")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatalf("error: %v", err)
	}
}

func run(o options) error {
	kube, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	kube.ContentType = "application/vnd.kubernetes.protobuf"
	kubelet := rest.CopyConfig(kube)
	kubelet.TLSClientConfig.CAFile, kubelet.TLSClientConfig.CAData = o.kubeletCA, nil

	serving, err := servingConfig(o)
	if err != nil {
		return err
	}
	s, err := server.Config{
		Apiserver:        serving,
		Rest:             kube,
		MetricResolution: o.resolution,
		ScrapeTimeout:    o.timeout,
		Kubelet: &client.KubeletClientConfig{
			Client:              *kubelet,
			AddressTypePriority: []corev1.NodeAddressType{corev1.NodeInternalIP},
			Scheme:              "https",
			DefaultPort:         kubeletPort,
		},
	}.Complete()
	if err != nil {
		return err
	}
	return s.RunUntil(genericapiserver.SetupSignalHandler())
}

// servingConfig asks the API server who may call, as every aggregated API does.
func servingConfig(o options) (*genericapiserver.Config, error) {
	config := genericapiserver.NewConfig(api.Codecs)
	if err := o.serving.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = o.kubeconfig
	if err := authentication.ApplyTo(&config.Authentication, config.SecureServing, nil); err != nil {
		return nil, err
	}
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = o.kubeconfig
	if err := authorization.ApplyTo(&config.Authorization); err != nil {
		return nil, err
	}
	names := openapinamer.NewDefinitionNamer(api.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, names)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, names)
	config.EffectiveVersion = utilcompatibility.DefaultBuildEffectiveVersion()
	return config, nil
}
