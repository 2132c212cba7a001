package gather

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dlprun/dlp/mpi"
)

// wrap says in *err, if it is one, which call on c failed, and what to do instead where
// the job goes on without lost ranks.
func wrap(err *error, c *mpi.Comm, op string) {
	if *err == nil {
		return
	}
	advice := ""
	if lost, ok := errors.AsType[*mpi.RankError](*err); ok && c.GoesOn() && !errors.Is(lost, mpi.ErrFinalized) {
		advice = "; where ranks may be lost, bring results home by split.Map or split.Collect"
	}
	*err = fmt.Errorf("gather: %s: %w%s", op, *err, advice)
}

// few is how many of many things an error names.
const few = 5

// enumerate spells the first few of vs, as "1, 2 and 3" or "1, 2, 3, 4, 5 and 12 more".
func enumerate[T any](vs []T, spell func(T) string) string {
	var words []string
	for _, v := range vs[:min(few, len(vs))] {
		words = append(words, spell(v))
	}
	if rest := len(vs) - few; rest > 0 {
		words = append(words, fmt.Sprintf("%d more", rest))
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " and " + words[end]
}
