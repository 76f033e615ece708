//go:build unix

// Package surrealtest starts servers of SurrealDB for tests, on free ports of
// loopback. SurrealDB's own server is not to be had from a package registry, so the
// engine inside the npm package @surrealdb/node answers, behind server.mjs. It is
// imported by tests only.
package surrealtest

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds the wait for a server to start.
const patience = 60 * time.Second

// Server is a server of this test.
type Server struct {
	// User and Password are those of the root user.
	User, Password string

	folder string
	port   int

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// Start starts a server that keeps its data in a folder, in RocksDB: with the other
// kinds of storage that this version has, transactions that meet are not kept apart
// (surrealdb issue 7303). Kill ends it.
func Start(folder string) (*Server, error) {
	s := &Server{User: "root", Password: "hush" + rand.Text(), folder: folder}
	return s, s.Restart()
}

// Addr is HOST:PORT.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is where clients connect to.
func (s *Server) URL() string { return "ws://" + s.Addr() }

// Restart starts a server that has ended, on the same port.
func (s *Server) Restart() error {
	root, err := project()
	if err != nil {
		return err
	}
	modules := filepath.Join(root, ".cache", "surrealtest")
	if _, err := os.Stat(filepath.Join(modules, "node_modules")); err != nil {
		return fmt.Errorf("%w; scripts/setup surrealdb installs it", err)
	}
	launcher := filepath.Join(root, "internal", "surrealtest", "server.mjs")
	command := exec.Command("node", launcher, modules, strconv.Itoa(s.port), "rocksdb://"+s.folder) //nolint:noctx,gosec // ended by Kill
	command.Env = append(os.Environ(), "SURREAL_USER="+s.User, "SURREAL_PASS="+s.Password)
	command.SysProcAttr = endsWithUs()
	errorsOf := new(strings.Builder)
	command.Stderr = errorsOf
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if port, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- port
			}
		}
		close(ready)
	}()
	ended := make(chan struct{})
	s.mu.Lock()
	s.command, s.ended = command, ended
	s.mu.Unlock()
	select {
	case port, ok := <-ready:
		go s.wait(command, ready, ended)
		if !ok {
			<-ended
			return fmt.Errorf("the server ended: %s", errorsOf)
		}
		s.port, err = strconv.Atoi(port)
		return err
	case <-time.After(patience):
		go s.wait(command, ready, ended)
		s.Kill()
		return errors.New("the server does not start")
	}
}

// wait waits for the end of a process, behind its last word.
func (*Server) wait(command *exec.Cmd, out <-chan string, ended chan struct{}) {
	for range out {
	}
	_ = command.Wait()
	close(ended)
}

// project is the folder of the whole project, above that of the test.
func project() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Kill ends the server at once.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server as an operator does.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	command, ended := s.command, s.ended
	s.mu.Unlock()
	if command != nil {
		_ = command.Process.Signal(signal)
		<-ended
	}
}
