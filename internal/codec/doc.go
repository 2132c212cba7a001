// Package codec turns typed values into bytes and back.
//
// [Encode] and [Decode] carry one value in one message. A [Writer] and a
// [Reader] carry many values of one type: type information travels once, or
// not at all.
//
// Values travel as gob, or arrive as if they had. Gob says nothing about what it leaves behind: it
// drops unexported, chan and func fields without a word. So every type is
// checked before its first journey; see [Check]. What remains of gob's manners:
// inside a value, a pointer to a zero value arrives as nil, an empty slice as
// nil, shared pointers arrive as copies, and a time.Time loses its monotonic
// reading. At the top, nil stays nil and empty stays empty.
//
// In streams plain types go without gob: numbers, bools, strings, and arrays,
// slices and structs of such. Both ends have the same type there, and so have the
// ranks of a collective operation ([Pack]). Another single value goes as gob, since
// its receiver may have another type that gob can decode into.
// But numbers, bools, strings and slices of numbers take a shorter way: their
// memory is the message, in little-endian order and with 64-bit ints. On
// machines whose memory looks different they travel as gob, and a message that
// cannot be read there is an error.
package codec
