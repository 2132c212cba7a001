package gather

import (
	"fmt"
	"strings"
)

// wrap says in *err, if it is one, which call failed.
func wrap(err *error, op string) {
	if *err != nil {
		*err = fmt.Errorf("gather: %s: %w", op, *err)
	}
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
