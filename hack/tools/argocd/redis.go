package main

import (
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
)

// newRedisCommand serves Redis's protocol from memory on the address that is its only argument, until it is told to end. Keys do not
// expire by themselves: a test does not live that long.
func newRedisCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "redis 127.0.0.1:PORT",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			server := miniredis.NewMiniRedis()
			if err := server.StartAddr(args[0]); err != nil {
				return err
			}
			defer server.Close()
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			<-ctx.Done()
			return nil
		},
	}
}
