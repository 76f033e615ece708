// Runs in the page, beside pusher-js: one client, and what it heard.
window.conformance = (() => {
  let pusher
  const seen = {}
  const errors = []
  const notices = []
  const watched = []

  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value))

  function start({ key, user = {}, sign, tls, host, port, authority }) {
    const params = Object.fromEntries(Object.entries(user).map(([name, value]) => [name, text(value)]))
    const auth = (path) => ({ endpoint: authority + path + (sign ? `?sign=${sign}` : ''), transport: 'ajax', params })
    pusher = new Pusher(key, {
      cluster: 'mt1',
      wsHost: host,
      wsPort: port,
      wssPort: port,
      forceTLS: tls,
      enabledTransports: ['ws', 'wss'],
      channelAuthorization: auth('/channels'),
      userAuthentication: auth('/users'),
    })
    pusher.connection.bind('error', (error) => errors.push(error?.data?.code ?? error?.error?.data?.code))
    pusher.user.bind_global((event, data) => notices.push([event, data]))
    for (const name of ['online', 'offline']) pusher.user.watchlist.bind(name, ({ user_ids: ids }) => watched.push([name, ids]))
  }

  function subscribe(name) {
    const channel = pusher.subscribe(name)
    seen[name] = []
    channel.bind_global((event, data) => seen[name].push([event, event.startsWith('pusher:subscription_succeeded') ? null : data]))
    return channel
  }

  const outcome = (name, good, bad) =>
    new Promise((done, fail) => {
      const channel = subscribe(name)
      channel.bind(good, done)
      channel.bind(bad, (data) => fail(new Error(`${name}: ${bad} ${JSON.stringify(data)}`)))
    })

  return {
    start,
    state: () => pusher.connection.state,
    transport: () => ({ name: pusher.connection.connection.transport.name, tls: pusher.connection.isUsingTLS() }),
    errors: () => errors,
    join: (name) => outcome(name, 'pusher:subscription_succeeded', 'pusher:subscription_error').then(() => true),
    refused: (name) => outcome(name, 'pusher:subscription_error', 'pusher:subscription_succeeded'),
    members: (name) => ({ ...pusher.channel(name).members.members }),
    all: (name, event) => seen[name].filter(([other]) => other === event).map(([, data]) => data),
    listen: (name, event) => new Promise((done) => pusher.channel(name).bind(event, (data, metadata) => done({ data, metadata }))),
    trigger: (name, event, data) => pusher.channel(name).trigger(event, data),
    signIn: () => pusher.signin(),
    signedIn: () => Boolean(pusher.user.serverToUserChannel?.subscribed),
    notices: () => notices,
    watched: () => watched,
  }
})()
