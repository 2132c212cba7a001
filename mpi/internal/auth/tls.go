package auth

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"time"
)

// TLS is the network of Once for TCP inside of TLS 1.3, where the
// wires are not to be trusted. Both ends make the same Ed25519 key of the secret
// (HKDF, RFC 5869), show a certificate that it has signed itself, and accept no
// other: so an end that does not have the secret is out before the handshake of
// this package, which follows inside.
const TLS = "tls"

// tlsConfig is the same for client and server. Neither sends or reads anything
// before its first Read or Write, which the deadline of the handshake bounds.
func tlsConfig(secret Secret) (*tls.Config, error) {
	seed, err := hkdf.Key(sha256.New, secret[:], nil, "dlp tls", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	public := key.Public().(ed25519.PublicKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // there are no names and no authorities: VerifyConnection compares the key
		VerifyConnection: func(s tls.ConnectionState) error {
			if k, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey); !ok || !k.Equal(public) {
				return ErrSecret
			}
			return nil
		},
	}, nil
}
