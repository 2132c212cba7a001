//go:build !unix

package launch

import "io/fs"

// owned can't tell here; the folder is in the user's profile.
func owned(fs.FileInfo) bool { return true }
