package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// echo is a side that notes its turn in a file and prints a figure.
func echo(log, name, figure string) side {
	return side{name: name, make: func(context.Context, *workshop) (command, error) {
		return command{args: []string{"sh", "-c", `echo "$1" >>"$2"; echo "$3"`, "sh", name, log, figure}}, nil
	}}
}

func TestSidesTakeTurns(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c := contest{sides: []side{echo(log, "ours", "x 1"), echo(log, "a", "x 2"), echo(log, "b", "x 3")}}
	all := c.run(t.Context(), nil, 2)
	turns, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Equal(t, "ours a b ours a b", strings.Join(strings.Fields(string(turns)), " "))
	require.Equal(t, []float64{2, 2}, all[1].values["x"])
}

func TestWhoFailsIsNotAskedAgain(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	asked := 0
	gone := side{name: "gone", make: func(context.Context, *workshop) (command, error) {
		asked++
		return command{}, &missingError{"it"}
	}}
	all := contest{sides: []side{echo(log, "ours", "x 1"), gone}}.run(t.Context(), nil, 3)
	require.Equal(t, 1, asked)
	require.Len(t, all[0].values["x"], 3)

	asked = 0
	peer := filepath.Join(t.TempDir(), "log")
	contest{sides: []side{gone, echo(peer, "peer", "x 1")}}.run(t.Context(), nil, 3)
	require.Equal(t, 1, asked)
	require.NoFileExists(t, peer, "without ours nobody needs a peer")
}

func TestAtOnce(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c := contest{atOnce: true, sides: []side{echo(log, "ours", "x 1")}}
	require.Equal(t, []float64{1, 1, 1}, c.run(t.Context(), nil, 3)[0].values["x"])

	failing := side{make: func(context.Context, *workshop) (command, error) { return command{args: []string{"false"}}, nil }}
	c.sides = []side{failing}
	require.Error(t, c.run(t.Context(), nil, 3)[0].err)
}

func TestACommandThatFailsSaysWhy(t *testing.T) {
	_, err := command{args: []string{"sh", "-c", "echo more >&2; echo 'the cause' >&2; exit 3"}}.output(t.Context())
	require.ErrorContains(t, err, "exit status 3: more\nthe cause")

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = command{args: []string{"sleep", "60"}}.output(ctx)
	require.ErrorContains(t, err, "enough")
}

func TestCommandsHaveWhatSidesAdd(t *testing.T) {
	s := side{make: func(context.Context, *workshop) (command, error) {
		return command{args: []string{"sh", "-c", `echo "x $A"`}, env: []string{"A=1"}}, nil
	}}
	f, err := s.with("A=2").once(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, figures{"x": 2}, f)

	f, err = s.fromOutside().once(t.Context(), nil)
	require.NoError(t, err)
	require.Positive(t, f["wall"])
}

// TestRealRanks runs a cheap contest, as a whole: built, started, measured.
func TestRealRanks(t *testing.T) {
	w, err := newWorkshop(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, w.close()) }()
	c := contest{
		budget: "2", title: "index",
		sides: []side{embedded(2, "index"), embedded(2, "start").fromOutside()},
		rules: []rule{{ours: figure{0, "index"}}, {ours: figure{1, "wall"}}},
	}
	for _, o := range c.outcomes(c.run(t.Context(), w, 1), 0) {
		require.Equal(t, comparison, o.verdict)
		require.Positive(t, o.ours.median)
	}
}
