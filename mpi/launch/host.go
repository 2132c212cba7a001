package launch

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"runtime"
)

// HostHub starts the hub of job at rank 0, where no launcher hosts it, and lets
// the other ranks find it. cfg's Size, Secret, Build, TLS, Timeout, Heartbeat and
// GoesOn are filled in from job; Linger is set.
// It blocks as long as the job's Meeting does, at most until ctx ends.
func HostHub(ctx context.Context, job Job, cfg HubConfig) (*Hub, error) {
	cfg.Size, cfg.Secret, cfg.Build, cfg.TLS = job.Size, hubSecret(job.Meeting), job.Build, job.TLS
	cfg.Timeout, cfg.Heartbeat, cfg.Linger, cfg.GoesOn = job.InitTimeout, job.Heartbeat, true, job.GoesOn
	hub, err := listenHub(job, cfg)
	if err != nil {
		return nil, err
	}
	addrs, err := hub.Addrs()
	if err == nil {
		err = job.Meeting.Publish(ctx, Invitation{At: addrs, Secret: cfg.Secret})
	}
	if err != nil {
		hub.Close()
		return nil, err
	}
	return hub, nil
}

// listenHub starts the hub where the meeting says; else, for ranks of one host,
// where no other host can reach it.
func listenHub(job Job, cfg HubConfig) (*Hub, error) {
	told := job.Meeting.Listen()
	if len(told) == 0 {
		at, err := hubAddress(job)
		if err != nil {
			return nil, err
		}
		told = []string{at}
	}
	var err error
	for _, at := range told {
		var hub *Hub
		if hub, err = ListenHub(at, cfg); err == nil {
			return hub, nil
		}
	}
	return nil, fmt.Errorf("rank 0 can't listen at %s (%v): %w; choose another address", told[0], job.Meeting, err)
}

func hubAddress(job Job) (string, error) {
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
