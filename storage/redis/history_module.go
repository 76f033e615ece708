package redis

// historyPrefix begins the names of all keys unless the options say otherwise.
const historyPrefix = "sockudo_history"

// Driver is the driver's word in the configuration.
func (*HistoryModule) Driver() string { return "redis" }

// Key identifies the server, the login and the prefix.
func (m *HistoryModule) Key() string { return m.options.key() + "\x00" + m.ofHub(historyPrefix) }

func (m *HistoryModule) historyOptions() HistoryOptions {
	return HistoryOptions{m.ofHub(historyPrefix)}
}

// Driver is the driver's word in the configuration.
func (*ClusterHistoryModule) Driver() string { return "redis_cluster" }
