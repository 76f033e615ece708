package sockudo

// historyVariables override one setting each of what is kept of channels, see
// configuration, section 2.15.
var historyVariables = []variable{
	{"HISTORY_ENABLED", func(c *HubConfig) any { return &historySection(c).Enabled }, envSwitch},
	{"HISTORY_REWIND_ENABLED", func(c *HubConfig) any { return &historySection(c).Rewind }, envSwitch},
	{"HISTORY_RETENTION_WINDOW_SECONDS", func(c *HubConfig) any { return &historySection(c).Retention }, unit("s")},
	{"HISTORY_MAX_PAGE_SIZE", func(c *HubConfig) any { return &historySection(c).MaxPageSize }, nil},
	{"HISTORY_WRITER_SHARDS", func(c *HubConfig) any { return &historySection(c).WriterShards }, nil},
	{"HISTORY_WRITER_QUEUE_CAPACITY", func(c *HubConfig) any { return &historySection(c).WriterQueueCapacity }, nil},
	{"HISTORY_MAX_MESSAGES_PER_CHANNEL", func(c *HubConfig) any { return &historySection(c).MaxItemsPerChannel }, zeroIsNone},
	{"HISTORY_MAX_BYTES_PER_CHANNEL", func(c *HubConfig) any { return &historySection(c).MaxBytesPerChannel }, zeroIsNone},
	{"HISTORY_PURGE_INTERVAL_SECONDS", func(c *HubConfig) any { return &historySection(c).PurgeInterval }, unit("s")},
	{"PRESENCE_HISTORY_ENABLED", func(c *HubConfig) any { return &presenceSection(c).Enabled }, envSwitch},
	{"PRESENCE_HISTORY_RETENTION_WINDOW_SECONDS", func(c *HubConfig) any { return &presenceSection(c).Retention }, unit("s")},
	{"PRESENCE_HISTORY_MAX_PAGE_SIZE", func(c *HubConfig) any { return &presenceSection(c).MaxPageSize }, nil},
	{"PRESENCE_HISTORY_MAX_EVENTS_PER_CHANNEL", func(c *HubConfig) any { return &presenceSection(c).MaxEventsPerChannel }, zeroIsNone},
	{"PRESENCE_HISTORY_MAX_BYTES_PER_CHANNEL", func(c *HubConfig) any { return &presenceSection(c).MaxBytesPerChannel }, zeroIsNone},
	{"VERSIONED_MESSAGES_ENABLED", func(c *HubConfig) any { return &versionsSection(c).Enabled }, envSwitch},
	{"VERSIONED_MESSAGES_DRIVER", func(c *HubConfig) any { return &versionsSection(c).Driver }, nil},
	{"VERSIONED_MESSAGES_MAX_PAGE_SIZE", func(c *HubConfig) any { return &versionsSection(c).MaxPageSize }, nil},
	{"VERSIONED_MESSAGES_RETENTION_WINDOW_SECONDS", func(c *HubConfig) any { return &versionsSection(c).Retention }, unit("s")},
	{"ANNOTATIONS_ENABLED", func(c *HubConfig) any { return &section(&c.Annotations).Enabled }, envSwitch},
}

// historySection is the section of history. Unlike a block that is written, one that
// variables make switches nothing on by itself. The same is true of the two below.
func historySection(c *HubConfig) *HistoryConfig {
	if c.History == nil {
		c.History = &HistoryConfig{Enabled: "off", byVariables: true}
	}
	return c.History
}

func presenceSection(c *HubConfig) *PresenceHistoryConfig {
	if c.PresenceHistory == nil {
		c.PresenceHistory = &PresenceHistoryConfig{Enabled: "off"}
	}
	return c.PresenceHistory
}

func versionsSection(c *HubConfig) *VersionsConfig {
	if c.Versions == nil {
		c.Versions = &VersionsConfig{Enabled: "off"}
	}
	return c.Versions
}

// readHistories reads the variables of a history in PostgreSQL, where that is the one in
// use.
func (e *environment) readHistories() {
	e.readHistory("HISTORY_POSTGRES_TABLE_PREFIX", func(c *HubConfig, text string) {
		c.editDriver(kindHistory, func(_ string, own map[string]any) bool {
			own["table_prefix"] = literal(text)
			return true
		})
	})
	const timeout = "HISTORY_POSTGRES_WRITE_TIMEOUT_MS"
	if text, ok := e.get(timeout); ok {
		converted, err := unit("ms")(text)
		if err == nil {
			f := fieldsOf(historyType)["write_timeout"]
			err = f.rule.check(converted, f.kind)
		}
		e.fail(timeout, err)
	}
	e.readHistory(timeout, func(c *HubConfig, text string) { c.History.WriteTimeout = Duration(text + "ms") })
}

func (e *environment) readHistory(name string, edit func(c *HubConfig, text string)) {
	text, ok := e.get(name)
	if !ok {
		return
	}
	e.set = append(e.set, func(c *HubConfig) {
		if c.History == nil || driverName(c.History.Driver) != "postgres" {
			return
		}
		edit(c, text)
		e.names = append(e.names, name)
	})
}
