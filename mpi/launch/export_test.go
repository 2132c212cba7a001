package launch

// DetectLinked is Detect in a program that is linked against an MPI.
var DetectLinked = detect
