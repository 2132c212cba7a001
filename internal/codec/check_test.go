package codec

import (
	"math/big"
	"net/netip"
	"reflect"
	"regexp"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

type (
	leaky struct {
		A int
		b int
	}
	hidden   struct{ A int }
	Shown    struct{ A int }
	embedder struct {
		hidden
		B int
	}
	exportedEmbedder struct {
		Shown
		B int
	}
	outer struct {
		Name string
		Sum  struct{ total int }
	}
	withChan struct {
		A int
		C chan int
	}
	withFuncs struct {
		F []func()
	}
	withFunc struct {
		F *func()
	}
	allBlank struct{ _ int }
	selfish  *selfish
	event    struct {
		time.Time
		Name string
	}
	pointerEvent struct {
		*time.Time
		Name string
	}
	generic[T any] struct {
		time.Time
		V T
	}
	encodeOnly struct{ a int }
	decodeOnly struct{ a int }
	mixed      struct{ a int }
	texter     struct{ a int }
	keeper     struct{ a int }
)

var _ = encodeOnly{}.a + decodeOnly{}.a + mixed{}.a + texter{}.a + keeper{}.a // never read otherwise

func (encodeOnly) GobEncode() ([]byte, error)     { return nil, nil }
func (*decodeOnly) UnmarshalBinary([]byte) error  { return nil }
func (mixed) GobEncode() ([]byte, error)          { return nil, nil }
func (*mixed) UnmarshalBinary([]byte) error       { return nil }
func (texter) MarshalText() ([]byte, error)       { return nil, nil }
func (*texter) UnmarshalText([]byte) error        { return nil }
func (*keeper) MarshalBinary() ([]byte, error)    { return nil, nil }
func (*keeper) UnmarshalBinary([]byte) error      { return nil }
func (g generic[T]) GobEncode() ([]byte, error)   { return nil, nil }
func (g *generic[T]) GobDecode(data []byte) error { return nil }

// ownEvent embeds a time.Time too, but looks after its other field itself.
type ownEvent struct {
	time.Time
	Name string
}

func (e ownEvent) GobEncode() ([]byte, error) {
	b, err := e.Time.MarshalBinary()
	return append(b, e.Name...), err
}

func (e *ownEvent) GobDecode(b []byte) error {
	n := len(b) - 1
	e.Name = string(b[n:])
	return e.Time.UnmarshalBinary(b[:n])
}

func TestCheckAccepts(t *testing.T) {
	for _, err := range []error{
		Check[int](), Check[uintptr](), Check[string](), Check[struct{}](), Check[any](), Check[error](),
		Check[[]byte](), Check[floats](), Check[map[point][]record](), Check[*tree](), Check[nest](), Check[blank](),
		Check[exportedEmbedder](), Check[time.Time](), Check[*time.Time](), Check[big.Int](), Check[map[string]*big.Int](),
		Check[netip.Addr](), Check[keeper](), Check[[]keeper](), Check[ownEvent](), Check[generic[int]](), Check[struct{ time.Time }](),
	} {
		require.NoError(t, err)
	}
}

func TestCheckRejects(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{Check[chan int](), "chan int: cannot leave its process: send what it stands for"},
		{Check[func()](), "func(): cannot leave its process: send what it stands for"},
		{Check[unsafe.Pointer](), "unsafe.Pointer: cannot leave its process: send what it stands for"},
		{Check[map[string]chan int](), "map[string]chan int: chan int cannot leave its process: send what it stands for"},
		{Check[leaky](), "codec.leaky: field b is unexported; gob would drop it: export it, or let codec.leaky implement encoding.BinaryMarshaler and BinaryUnmarshaler"},
		{Check[*leaky](), "*codec.leaky: field b is unexported; "},
		{Check[[]map[string]leaky](), "[]map[string]codec.leaky: field b is unexported; "},
		{Check[map[leaky]int](), "map[codec.leaky]int: field b is unexported; "},
		{Check[outer](), "codec.outer: field Sum.total is unexported; "},
		{Check[embedder](), "codec.embedder: field hidden is unexported; "},
		{Check[struct{ Mu sync.Mutex }](), "struct { Mu sync.Mutex }: field Mu."},
		{Check[withChan](), "codec.withChan: field C is a chan int; gob would drop it: leave it out of what travels"},
		{Check[withFunc](), "codec.withFunc: field F is a *func(); gob would drop it: leave it out of what travels"},
		{Check[withFuncs](), "codec.withFuncs: field F holds a func(), which cannot leave its process"},
		{Check[allBlank](), "codec.allBlank: has only blank fields: use struct{}"},
		{Check[[]allBlank](), "[]codec.allBlank: codec.allBlank has only blank fields: use struct{}"},
		{Check[selfish](), "codec.selfish: points to nothing but itself"},
		{Check[event](), "codec.event: takes GobEncode from an embedded field, which would drop the other fields: name that field, or give the type its own GobEncode and GobDecode"},
		{Check[pointerEvent](), "codec.pointerEvent: takes GobEncode from an embedded field"},
		{Check[struct{ When []event }](), "field When holds a codec.event, which takes GobEncode from an embedded field"},
		{Check[encodeOnly](), "codec.encodeOnly: has GobEncode without GobDecode: add it"},
		{Check[decodeOnly](), "codec.decodeOnly: has UnmarshalBinary without MarshalBinary: add it"},
		{Check[mixed](), "codec.mixed: has GobEncode without GobDecode: add it"},
		{Check[texter](), "codec.texter: field a is unexported; "},
		{Check[*regexp.Regexp](), "*regexp.Regexp: field expr is unexported; "},
		{Check[map[string]big.Int](), "map[string]big.Int: big.Int has GobEncode on its pointer, which gob cannot reach inside a map: let the map hold pointers"},
		{Check[map[string][1]struct{ K keeper }](), "field K holds a codec.keeper, which has MarshalBinary on its pointer"},
	} {
		require.ErrorContains(t, c.err, c.want)
		require.IsType(t, &TypeError{}, c.err)
	}
}

func TestCheckIsRemembered(t *testing.T) {
	require.Same(t, Check[leaky](), Check[leaky]())
	require.Same(t, planFor[record](), planOf(reflect.TypeFor[record]()))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = Check[record]() }))
}
