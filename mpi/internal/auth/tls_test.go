package auth

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTLS(t *testing.T) {
	secret, other := NewSecret(), NewSecret()
	for _, c := range []struct {
		name    string
		server  bool
		network string
		secret  Secret
		want    error // nil: it works
		fails   bool
	}{
		{name: "both", server: true, network: TLS, secret: secret},
		{name: "a wrong secret", server: true, network: TLS, secret: other, want: ErrSecret, fails: true},
		{name: "only the server", server: true, network: "tcp", secret: secret, fails: true},
		{name: "only the client", server: false, network: TLS, secret: secret, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := make(chan Hello, 1)
			s := &Server{Listener: ln, Secret: secret, TLS: c.server, Admit: func(Hello) error { return nil }, Serve: func(conn net.Conn, h Hello) {
				served <- h
				conn.Close()
			}}
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Run()
			}()
			defer func() {
				ln.Close()
				<-done
			}()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			conn, err := Once(ctx, c.network, ln.Addr().String(), c.secret, Hello{Purpose: Data, Rank: 3, Size: 5})
			if c.fails {
				require.Error(t, err)
				if c.want != nil {
					require.ErrorIs(t, err, c.want)
				}
				require.Empty(t, served)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 3, (<-served).Rank)
			conn.Close()
		})
	}
}
