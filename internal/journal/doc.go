// Package journal keeps what a loop has finished in a file, so that the next run
// can go on where this one was killed.
//
// A journal is only ever appended to. It is a line of text that names the format,
// then records: what the job is, and for each run of it, one that says so and
// those of its results, in the order in which they reached the root. A result
// stands in the file as it has travelled, in a batch with others of the same rank,
// so that keeping it costs no encoding.
//
// Each record is, with integers in little-endian order:
//
//	 0  u64  length of the payload
//	 8  u32  CRC-32C of the length
//	12  u32  CRC-32C of the payload
//	16       payload: a byte that says what it is, and the rest
//
// What was killed or lost its machine in the middle of an append leaves a torn
// record at the end, with nothing whole behind it. It is cut off when the journal is
// opened again; all records before it are whole. A broken record with a whole one
// behind it is an error: that is no torn end, and nothing is thrown away. That the
// length is vouched for by itself tells the two apart.
//
// Append writes at once, so that what it was given survives the end of the
// process. The disk is told to keep it (fsync) within a second, and by Close: a
// machine that loses its power costs a second of results, and a hundred thousand
// small ones do not wait for the disk a hundred thousand times.
package journal
