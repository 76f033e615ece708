package redis

// Driver is the driver's word in the configuration.
func (*PushStoreModule) Driver() string { return "redis" }

// Key identifies the server, the login and the prefix.
func (m *PushStoreModule) Key() string { return m.options.key() + "\x00" + m.ofHub(pushPrefix) }

func (m *PushStoreModule) pushOptions() PushOptions { return PushOptions{m.ofHub(pushPrefix)} }

// Driver is the driver's word in the configuration.
func (*ClusterPushStoreModule) Driver() string { return "redis_cluster" }
