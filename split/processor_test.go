package split

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProcessorIsLentAndGivenBack(t *testing.T) {
	time.Sleep(2 * loanKept) // what other tests have borrowed is given back
	before := runtime.GOMAXPROCS(0)
	synctest.Test(t, func(t *testing.T) {
		later := func() {
			time.Sleep(2 * loanKept)
			synctest.Wait()
		}
		a, b := borrowProcessor(), borrowProcessor()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "one for all, and at once")
		a.giveBack()
		a.giveBack()
		later()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0))
		b.giveBack()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "there may be another loop")
		c := borrowProcessor()
		later()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "and there is")
		c.giveBack()
		later()
		require.Equal(t, before, runtime.GOMAXPROCS(0))

		d := borrowProcessor()
		runtime.GOMAXPROCS(before + 3)
		d.giveBack()
		later()
		require.Equal(t, before+3, runtime.GOMAXPROCS(0), "somebody else has set it")
	})
	runtime.GOMAXPROCS(before)
}
