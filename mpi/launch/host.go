package launch

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"runtime"
)

// HostHub starts the hub of job at rank 0, where no launcher hosts it, and lets
// the other ranks find it. cfg's Size, Secret and Timeout are filled in from job.
// It blocks as long as the job's Meeting does, at most until ctx ends.
func HostHub(ctx context.Context, job Job, cfg HubConfig) (*Hub, error) {
	cfg.Size, cfg.Timeout, cfg.Secret = job.Size, job.InitTimeout, hubSecret(job.Meeting)
	at, err := hubAddress(job)
	if err != nil {
		return nil, err
	}
	hub, err := ListenHub(at, cfg)
	if err != nil {
		return nil, fmt.Errorf("rank 0 can't listen at %s (%v): %w; choose another address", at, job.Meeting, err)
	}
	addrs, err := reachable(hub.server.Listener.Addr())
	if err == nil {
		err = job.Meeting.Publish(ctx, Invitation{At: addrs, Secret: cfg.Secret})
	}
	if err != nil {
		hub.Close()
		return nil, err
	}
	return hub, nil
}

// hubAddress is where rank 0 listens: where the meeting says; else, for ranks
// of one host, where no other host can reach it.
func hubAddress(job Job) (string, error) {
	if at := job.Meeting.Listen(); at != "" {
		return at, nil
	}
	switch {
	case job.OneHost && job.Transport != "tcp" && runtime.GOOS == "linux":
		return "unix:@dlp-" + rand.Text(), nil // a name without a file: it can't be left behind
	case job.OneHost:
		return "tcp:127.0.0.1:0", nil
	case job.Interface != "":
		ip, err := ListenIP(job.Interface, "")
		return "tcp:" + net.JoinHostPort(ip, "0"), err
	}
	return "tcp::0", nil
}
