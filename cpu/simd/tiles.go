package simd

// Tiles: functions on AMX.

// Tiles are the functions on AMX.
type Tiles struct{}

func tiles(Path) Tiles { return Tiles{} }
