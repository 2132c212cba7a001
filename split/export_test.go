package split

import "time"

// Grace makes the time short that a task has after its TaskTimeout.
func Grace(d time.Duration) Option {
	return func(cfg *config) { cfg.grace = d }
}
