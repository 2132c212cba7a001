package split

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProcessorIsLentAndGivenBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	synctest.Test(t, func(t *testing.T) {
		short := borrowProcessor()
		short.giveBack()
		time.Sleep(2 * loanDelay)
		require.Equal(t, before, runtime.GOMAXPROCS(0), "a short loop does not need it")

		a, b := borrowProcessor(), borrowProcessor()
		time.Sleep(2 * loanDelay)
		synctest.Wait()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "one for all")
		a.giveBack()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0))
		b.giveBack()
		b.giveBack()
		require.Equal(t, before, runtime.GOMAXPROCS(0))

		c := borrowProcessor()
		time.Sleep(2 * loanDelay)
		synctest.Wait()
		runtime.GOMAXPROCS(before + 3)
		c.giveBack()
		require.Equal(t, before+3, runtime.GOMAXPROCS(0), "somebody else has set it")
	})
	runtime.GOMAXPROCS(before)
}
