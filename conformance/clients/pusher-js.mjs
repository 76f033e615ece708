// pusher-js in Node: connections and channels.
import { run } from './lib/harness.mjs'
import './scenarios/connection.mjs'
import './scenarios/channels.mjs'
import './scenarios/cache.mjs'
import './scenarios/presence.mjs'
import './scenarios/client_events.mjs'
import './scenarios/users.mjs'

await run()
