// Command referrers is a registry in memory that has the referrers API, which CNCF distribution has not: go-containerregistry's. It
// listens where its argument says, and writes a line for each request.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	logger := log.New(os.Stdout, "", 0)
	server := &http.Server{
		Addr:              os.Args[1],
		Handler:           registry.New(registry.WithReferrersSupport(true), registry.Logger(logger)),
		ReadHeaderTimeout: 5 * time.Second,
	}
	logger.Fatal(server.ListenAndServe())
}
