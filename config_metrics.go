package sockudo

// TCPExporterConfig is a TCP address at which programs read what happens to metrics as
// it happens, in the protobuf messages of Sockudo's own exporter. Whoever can connect
// can read: there is neither encryption nor authentication. Hubs that name the same
// address share it, and the label hub tells them apart.
type TCPExporterConfig struct {
	// Enabled opens the address. Default: off.
	Enabled Switch `json:"enabled,omitempty"`

	// Host is the address to listen at: an IP address or the name of one, 0.0.0.0 or ::
	// for all. Default: "127.0.0.1".
	Host string `json:"host,omitempty"`

	// Port is the TCP port to listen at, of which nobody else may make use. Default: 5000.
	Port Number `json:"port,omitempty" min:"1" max:"65535"`

	// BufferSize is how many events wait at most: from the hubs together, where the newest
	// are dropped, and for each reader, where the oldest are. At most 100000. An event may
	// have 1 KiB on average; of longer ones fewer wait. Default: 1024.
	BufferSize Number `json:"buffer_size,omitempty" min:"1" max:"100000"`
}
