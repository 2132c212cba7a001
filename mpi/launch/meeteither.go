package launch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// either is two meetings at once, where no rank can know beforehand which of them
// all can reach: rank 0 publishes in both, and the others take what they find first.
type either struct {
	all     [2]Meeting
	trouble atomic.Pointer[error] // of the one in which rank 0 could not publish
}

func (e *either) String() string {
	text := fmt.Sprintf("%v or %v", e.all[0], e.all[1])
	if err := e.trouble.Load(); err != nil {
		text += fmt.Sprintf("; one of them failed: %v", *err)
	}
	return text
}

func (e *either) Listen() []string { return nil }

func (e *either) Publish(ctx context.Context, i Invitation) error {
	first, second := e.all[0].Publish(ctx, i), e.all[1].Publish(ctx, i)
	switch {
	case first != nil && second != nil:
		return fmt.Errorf("%w; %w", first, second)
	case first != nil:
		e.trouble.Store(&first)
	case second != nil:
		e.trouble.Store(&second)
	}
	return nil
}

func (e *either) Find(ctx context.Context) (Invitation, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var found [2]Invitation
	var errs [2]error
	done := make(chan int)
	for k, m := range e.all {
		go func() {
			found[k], errs[k] = m.Find(ctx)
			done <- k
		}()
	}
	k := <-done
	if errs[k] == nil {
		cancel()
	}
	other := <-done
	switch {
	case errs[k] == nil:
		return found[k], nil
	case errs[other] == nil:
		return found[other], nil
	}
	return Invitation{}, fmt.Errorf("%w; %w", errs[0], errs[1])
}

func (e *either) Joined() error {
	return errors.Join(e.all[0].Joined(), e.all[1].Joined())
}

func (e *either) Leave(status int) error {
	return errors.Join(e.all[0].Leave(status), e.all[1].Leave(status))
}
