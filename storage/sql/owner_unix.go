//go:build unix

package sql

import (
	"errors"
	"os"
	"syscall"
)

// owner is this process as the owner of jobs in a file. It holds a lock on a file
// of its name, which the system takes away when the process ends, however that
// ends.
type owner struct {
	name string
	path string // of the SQLite file
	file *os.File
}

func newOwner(path, name string) (*owner, error) {
	o := &owner{name: name, path: path}
	f, err := os.OpenFile(o.lockPath(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	o.file = f
	return o, nil
}

func (o *owner) lockPath(name string) string { return o.path + "-owner-" + name }

// isGone reports whether another owner has ended for certain.
func (o *owner) isGone(name string) bool {
	f, err := os.OpenFile(o.lockPath(name), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// forget removes what owners that are gone have left.
func (o *owner) forget(names []string) {
	for _, name := range names {
		_ = os.Remove(o.lockPath(name))
	}
}

// end lets go of the lock.
func (o *owner) end() error {
	return errors.Join(os.Remove(o.file.Name()), o.file.Close())
}
