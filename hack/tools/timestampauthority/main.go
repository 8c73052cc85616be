// The server of sigstore's timestamp-authority, as cmd/timestamp-server starts it, without its metrics page: that one always
// listens on port 2112, so two of them could not run on one machine.
package main

import (
	"flag"
	"log"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

const timeout = 30 * time.Second

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 3000, "port to listen on")
	flag.Parse()
	const policy = "1.3.6.1.4.1.57264.2" // sigstore's own
	for key, value := range map[string]any{
		"timestamp-signer":          "memory",
		"timestamp-signer-hash":     "sha256",
		"include-chain-in-response": false,
		"disable-ntp-monitoring":    true,
		"max-request-body-size":     uint64(1 << 20),
		"default-policy-oid":        policy,
		"accepted-policy-oids":      []string{policy},
	} {
		viper.Set(key, value)
	}
	api := server.NewRestAPIServer(*host, *port, []string{"http"}, false, timeout, timeout)
	api.CleanupTimeout = time.Second
	if err := api.Serve(); err != nil {
		log.Fatal(err)
	}
}
