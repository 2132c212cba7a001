//go:build mpi

package gompi

// CheckLevel is what Start makes of a thread level that MPI grants.
var CheckLevel = checkLevel

// Hide lets nobody read the memory of this rank.
func (t *Transport) Hide() { t.marks = marks{} }

// SendTo lets MPI send an empty message to a rank that may not exist.
func (t *Transport) SendTo(rank int) error {
	t.lock()
	defer t.unlock()
	_, err := t.post(&peer{rank: rank}, &letter{tag: tagWhole})
	return err
}
