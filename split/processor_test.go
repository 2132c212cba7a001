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
		long := borrowProcessor() // whatever came before
		time.Sleep(shortLoop)
		synctest.Wait()
		long.giveBack()

		a, b := borrowProcessor(), borrowProcessor()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "at once, and one for all")
		a.giveBack()
		a.giveBack()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0))
		b.giveBack()
		require.Equal(t, before, runtime.GOMAXPROCS(0))

		c := borrowProcessor()
		require.Equal(t, before, runtime.GOMAXPROCS(0), "not yet: the last loop was short")
		time.Sleep(2 * shortLoop)
		synctest.Wait()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "this one is not")
		c.giveBack()
		require.Equal(t, before, runtime.GOMAXPROCS(0))

		d := borrowProcessor()
		require.Equal(t, before+1, runtime.GOMAXPROCS(0), "at once again")
		runtime.GOMAXPROCS(before + 3)
		d.giveBack()
		require.Equal(t, before+3, runtime.GOMAXPROCS(0), "somebody else has set it")
		runtime.GOMAXPROCS(before)

		e := borrowProcessor()
		e.giveBack()
		time.Sleep(2 * shortLoop)
		synctest.Wait()
		require.Equal(t, before, runtime.GOMAXPROCS(0), "a short loop does not need it")
	})
}
