package launch

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// maxRange is how many hosts Slurm takes in one range.
const maxRange = 64 << 10

// HostList yields the hosts of a Slurm host list, "node[01-04,9],login", in the
// order in which Slurm numbers them: duplicates kept, nothing sorted. It stops
// after the first error.
//
// It follows what scontrol show hostnames does: hosts are separated by commas
// or blanks, numbers are as wide as the low bound of their range, and of
// several brackets the last runs fastest, then the first, the second and so on.
func HostList(list string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, term := range hostTerms(list) {
			t, err := parseHosts(term)
			if err != nil {
				yield("", fmt.Errorf("%q is no host list: %w", list, err))
				return
			}
			for i := range t.count {
				if !yield(t.host(i), nil) {
					return
				}
			}
		}
	}
}

// hostTerms splits a list at the commas and blanks outside of brackets.
func hostTerms(list string) []string {
	depth := 0
	return strings.FieldsFunc(list, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		case ',', ' ', '\t', '\n':
			return depth <= 0
		}
		return false
	})
}

// hostTerm is one term of a list: texts with a set of numbers between each two.
type hostTerm struct {
	texts []string // one more than sets
	sets  [][]hostRange
	count int
}

// hostRange is low, low+1, ... high, each at least width digits wide.
type hostRange struct{ low, high, width int }

func parseHosts(term string) (hostTerm, error) {
	t := hostTerm{count: 1}
	for rest := term; ; {
		text, after, found := strings.Cut(rest, "[")
		t.texts = append(t.texts, text)
		if strings.Contains(text, "]") {
			return t, fmt.Errorf("a bracket in %q is not opened", term)
		}
		if !found {
			return t, nil
		}
		inside, after, found := strings.Cut(after, "]")
		if !found {
			return t, fmt.Errorf("a bracket in %q is not closed", term)
		}
		set, n, err := parseRanges(inside)
		if err != nil {
			return t, err
		}
		if t.count *= n; t.count > maxRange {
			return t, fmt.Errorf("%q has more than %d hosts", term, maxRange)
		}
		t.sets = append(t.sets, set)
		rest = after
	}
}

// parseRanges parses what stands between brackets, and counts its numbers.
func parseRanges(s string) (set []hostRange, n int, err error) {
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		r := hostRange{width: len(low)}
		if r.low, err = parseHostNumber(low); err != nil {
			return nil, 0, fmt.Errorf("%q is no range", part)
		}
		r.high = r.low
		if isRange && high != "" { // "3-" is 3
			if r.high, err = parseHostNumber(high); err != nil || r.high < r.low {
				return nil, 0, fmt.Errorf("%q is no range", part)
			}
		}
		if n += r.high - r.low + 1; n > maxRange {
			return nil, 0, fmt.Errorf("%q has more than %d hosts", s, maxRange)
		}
		set = append(set, r)
	}
	return set, n, nil
}

func parseHostNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// host returns the i-th host of the term.
func (t *hostTerm) host(i int) string {
	numbers := make([]string, len(t.sets))
	last := len(t.sets) - 1
	for k := range t.sets { // fastest first: the last set, then the first, the second, ...
		set := (last + k) % len(t.sets)
		if k > 0 {
			set = k - 1
		}
		numbers[set], i = pick(t.sets[set], i)
	}
	var b strings.Builder
	for k, text := range t.texts {
		b.WriteString(text)
		if k < len(numbers) {
			b.WriteString(numbers[k])
		}
	}
	return b.String()
}

// pick returns number i of the set, counted round, and how often round.
func pick(set []hostRange, i int) (string, int) {
	size := 0
	for _, r := range set {
		size += r.high - r.low + 1
	}
	i, round := i%size, i/size
	for _, r := range set {
		if n := r.high - r.low + 1; i >= n {
			i -= n
			continue
		}
		return fmt.Sprintf("%0*d", r.width, r.low+i), round
	}
	panic("unreachable: i is below the size of the set")
}
