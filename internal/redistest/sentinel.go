//go:build unix

package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MasterName is what the Sentinels call the master.
const MasterName = "mymaster"

// Sentinels are three Sentinels that watch over a master and its replica.
type Sentinels struct {
	// Servers are the two that hold data. The first is the master until a failover.
	Servers []*Server
	// Watchers are the Sentinels.
	Watchers []*Server
}

// StartSentinels starts all five. The servers get the further arguments. settings
// are further lines of the Sentinels' configuration, in which FREE stands for a free
// port and requirepass for their password.
func StartSentinels(t T, settings string, args ...string) *Sentinels {
	t.Helper()
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	master := Start(t, args...)
	replica := Start(t, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(master.Port)}, args...)...)
	s := &Sentinels{Servers: []*Server{master, replica}}
	eventually(t, "replica", func() bool { return strings.Contains(master.MustDo("INFO", "replication"), "state=online") })
	for range 3 {
		s.Watchers = append(s.Watchers, startSentinel(t, master, settings))
	}
	for _, w := range s.Watchers {
		eventually(t, "quorum", func() bool {
			reply, err := w.Do("SENTINEL", "CKQUORUM", MasterName)
			return err == nil && strings.HasPrefix(reply, "OK 3 usable")
		})
		eventually(t, "replica known to a Sentinel", func() bool {
			return strings.Contains(w.MustDo("SENTINEL", "REPLICAS", MasterName), strconv.Itoa(replica.Port))
		})
	}
	return s
}

// startSentinel starts one, which rewrites its configuration as it goes.
func startSentinel(t T, master *Server, settings string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir()}
	t.Cleanup(s.Kill)
	if master.Password != "" {
		settings += "\nsentinel auth-pass " + MasterName + " " + master.Password
	}
	if _, rest, ok := strings.Cut(settings, "requirepass "); ok {
		s.Password, _, _ = strings.Cut(rest, "\n")
	}
	var err error
	for range attempts {
		s.Port = FreePort(t)
		s.tlsPort = FreePort(t)
		text := strings.Join([]string{
			fmt.Sprintf("port %d", s.Port), "bind 127.0.0.1", "dir " + s.dir,
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", MasterName, master.Port),
			"sentinel down-after-milliseconds " + MasterName + " 1000", "sentinel failover-timeout " + MasterName + " 3000",
			strings.ReplaceAll(settings, "FREE", strconv.Itoa(s.tlsPort)), "",
		}, "\n")
		file := filepath.Join(s.dir, "sentinel.conf")
		if err = os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = []string{file, "--sentinel"}
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// Addrs are the addresses of the Sentinels.
func (s *Sentinels) Addrs() []string {
	addrs := make([]string, len(s.Watchers))
	for i, w := range s.Watchers {
		addrs[i] = w.Addr()
	}
	return addrs
}

// TLSAddrs are the addresses of the Sentinels for TLS, if their settings say
// "tls-port FREE".
func (s *Sentinels) TLSAddrs() []string {
	addrs := make([]string, len(s.Watchers))
	for i, w := range s.Watchers {
		addrs[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(w.tlsPort))
	}
	return addrs
}
