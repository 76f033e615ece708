package storage

import "context"

// Enqueuer is a Queue that can tell which jobs of a Push it had already.
type Enqueuer interface {
	// Enqueue is Push. It reports how many of the jobs were known already, by queue:
	// nil when none was.
	Enqueue(ctx context.Context, jobs ...Job) (duplicates map[string]int, err error)
}

// Duplicates are what Enqueue reports when fresh are those of the jobs that were not
// known. It is for implementations of Enqueuer.
func Duplicates(jobs, fresh []Job) map[string]int {
	if len(jobs) == len(fresh) {
		return nil
	}
	duplicates := map[string]int{}
	for i := range jobs {
		duplicates[jobs[i].Queue]++
	}
	for i := range fresh {
		duplicates[fresh[i].Queue]--
	}
	for queue, n := range duplicates {
		if n == 0 {
			delete(duplicates, queue)
		}
	}
	return duplicates
}
