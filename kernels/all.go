package kernels

// All is every kernel that ships, in the order in which a device tries those of
// one operation: the first whose Launch fits runs it.
var All = []*Kernel{}
