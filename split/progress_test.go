package split

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressLines(t *testing.T) {
	s := snapshot{done: 250, items: 1000, ranks: 4, busy: 3}
	require.Equal(t, "dlp: files: 250/1000 (25%), 25/s, 30s left, 3 of 4 ranks busy", line("files", s, 10*time.Second, false))
	require.Equal(t, "dlp: files: 250/1000 (25%) in 10s, 25/s", line("files", s, 10*time.Second, true))
	s.items = unknown
	require.Equal(t, "dlp: files: 250 items, 25/s, 3 of 4 ranks busy", line("files", s, 10*time.Second, false))
	require.Equal(t, "dlp: files: 0/0 in 0s, 0/s", line("files", snapshot{}, 0, true))
}

// steps lets a meter watch a loop of some time, and returns what it wrote.
func steps(t *testing.T, every, lasts time.Duration, show func(*bytes.Buffer) func(snapshot, bool)) string {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		read := func() snapshot {
			return snapshot{done: int(time.Since(start) / time.Second), items: 100, ranks: 2, busy: 2}
		}
		m := startMeter(read, every, show(&out))
		time.Sleep(lasts)
		m.stop(read())
		time.Sleep(time.Hour) // nothing is written any more
	})
	return out.String()
}

func TestLogWritesALineNowAndThen(t *testing.T) {
	logTo := func(least time.Duration) func(*bytes.Buffer) func(snapshot, bool) {
		return func(b *bytes.Buffer) func(snapshot, bool) { return log(b, "map", least) }
	}
	require.Equal(t, strings.Join([]string{
		"dlp: map: 30/100 (30%), 1/s, 1m10s left, 2 of 2 ranks busy",
		"dlp: map: 60/100 (60%), 1/s, 40s left, 2 of 2 ranks busy",
		"dlp: map: 75/100 (75%) in 1m15s, 1/s",
		"",
	}, "\n"), steps(t, logEvery, 75*time.Second, logTo(logLeast)))
	require.Empty(t, steps(t, logEvery, time.Second/2, logTo(logLeast)), "short")
	require.Equal(t, "dlp: map: 0/100 (0%) in 500ms, 0/s\n", steps(t, logEvery, time.Second/2, logTo(0)))
}

func TestBarRedrawsOneLine(t *testing.T) {
	draw := func(b *bytes.Buffer) func(snapshot, bool) { return bar(b, "map") }
	out := steps(t, barEvery, 10*time.Second, draw)
	require.Equal(t, 1, strings.Count(out, "\n"))
	require.True(t, strings.HasSuffix(out, "\n"))
	require.NotContains(t, out, "\x1b")
	last := out[strings.LastIndex(out, "\r")+1:]
	require.Contains(t, last, "map 1/s, 1m30s left, 2/2 ranks")
	require.Contains(t, last, "10/100")
	require.Empty(t, steps(t, barEvery, barEvery/2, draw), "a short loop draws nothing")
}

func TestBarWithoutANumber(t *testing.T) {
	var out bytes.Buffer
	show := bar(&out, "lines")
	show(snapshot{done: 5, items: unknown, ranks: 1, busy: 1}, false)
	show(snapshot{done: 9, items: 9, ranks: 1}, true)
	require.Contains(t, out.String(), "lines")
	require.Contains(t, out.String(), "9/9")
	require.True(t, strings.HasSuffix(out.String(), "\n"))
}

func TestProgressModes(t *testing.T) {
	for want, mode := range map[string]ProgressMode{"auto": ProgressAuto, "bar": ProgressBar, "log": ProgressLog, "off": ProgressOff} {
		require.Equal(t, want, mode.String())
		t.Setenv("DLP_PROGRESS", want)
		cfg := newConfig("Map", 1, nil)
		require.NoError(t, cfg.check())
		m := newMeter(cfg, nil)
		if mode == ProgressOff {
			require.Nil(t, m)
			continue
		}
		require.Equal(t, map[ProgressMode]time.Duration{ProgressAuto: logEvery, ProgressBar: barEvery, ProgressLog: logEvery}[mode], m.every)
		m.timer.Stop()
		cfg.progress = ProgressOff
		require.Nil(t, newMeter(cfg, nil), "the option beats the variable")
	}
}
