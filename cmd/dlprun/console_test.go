package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// paper is a screen with some streams whose output can be read.
type paper struct {
	screen screen
	text   bytes.Buffer
}

func (p *paper) stream(tag string, tty bool) *stream {
	return &stream{screen: &p.screen, out: &p.text, tag: tag, tty: tty, failed: func(error) {}}
}

func write(s *stream, text string) { s.Write([]byte(text)) }

func TestStreamTagsWholeLines(t *testing.T) {
	p := new(paper)
	a, b := p.stream("[0] ", false), p.stream("[1] ", false)
	write(a, "one\ntw")
	write(b, "un\ndeux\n")
	write(a, "o\n\nthr")
	write(b, "trois")
	b.end()
	a.end()
	require.Equal(t, "[0] one\n[1] un\n[1] deux\n[0] two\n[0] \n[1] trois\n[0] thr\n", p.text.String())
}

func TestStreamQuotesItsLastLine(t *testing.T) {
	p := new(paper)
	a := p.stream("[0] ", false)
	a.quotable = true
	for text, want := range map[string]string{"one\ntwo\n": "two", "three": "three", "four\r\n\n": "four", "bar\r 10%\r 20%": "20%"} {
		write(a, text)
		a.end()
		require.Equal(t, want, strings.TrimSpace(a.lastLine()))
	}
	write(a, strings.Repeat("x", 1000)+"\n")
	require.Len(t, a.lastLine(), maxQuote)
}

func TestStreamLetsAPromptThrough(t *testing.T) {
	for tty, patience := range map[bool]time.Duration{true: promptTime, false: pipeTime} {
		synctest.Test(t, func(t *testing.T) {
			p := new(paper)
			a, b := p.stream("", tty), p.stream("", tty)
			write(a, "name")
			time.Sleep(patience - time.Millisecond)
			synctest.Wait()
			require.Empty(t, p.text.String())
			write(a, "? ")
			time.Sleep(patience)
			synctest.Wait()
			require.Equal(t, "name? ", p.text.String())
			write(b, "other\n")
			write(a, "thanks\n")
			write(b, "half")
			b.end()
			write(a, "more\n")
			require.Equal(t, "name? \nother\nthanks\nhalf\nmore\n", p.text.String())
		})
	}
}

func TestStreamOfARedrawnBar(t *testing.T) {
	for tty, want := range map[bool]string{
		true:  "\r 10%\r 20%\r\x1b[Ka line\n\r 30%\n",
		false: "\r 10%\r 20%\na line\n\r 30%\n",
	} {
		p := new(paper)
		bar, other := p.stream("", tty), p.stream("", tty)
		write(bar, "\r 10%")
		write(bar, "\r 20%")
		write(other, "a line\n")
		write(bar, "\r 30%")
		write(bar, "\n")
		require.Equal(t, want, p.text.String())
	}
}

func TestStreamKeepsCRLFTogether(t *testing.T) {
	p := new(paper)
	a, b := p.stream("", true), p.stream("", true)
	write(a, "text\r")
	write(b, "other\n")
	write(a, "\n")
	require.Equal(t, "other\ntext\r\n", p.text.String())
}

func TestStreamCutsEndlessLines(t *testing.T) {
	p := new(paper)
	a := p.stream("[0] ", false)
	piece := strings.Repeat("x", 64<<10)
	for range maxLine/len(piece) + 1 {
		write(a, piece)
	}
	a.end()
	require.Equal(t, "[0] "+strings.Repeat("x", maxLine)+"\n[0] "+piece+"\n", p.text.String())
}

func TestStreamReportsABrokenOutputOnce(t *testing.T) {
	var errs []error
	s := &stream{screen: new(screen), out: broken{}, failed: func(err error) { errs = append(errs, err) }}
	write(s, "a\n")
	write(s, "b\n")
	require.Len(t, errs, 1)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A process that escaped may hold a pipe open for ever; what was written is
// read all the same, however slow the screen is.
func TestRelayGivesUpASilentPipe(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	_, err = w.WriteString("one\ntwo")
	require.NoError(t, err)
	p := new(paper)
	r.SetReadDeadline(time.Unix(1, 0)) // over already, as after a long write
	relay(r, p.stream("", false))
	require.Equal(t, "one\ntwo", p.text.String())
}
