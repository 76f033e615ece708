// The application's side: the official server SDK for Node.
import PusherServer from 'pusher'
import { env } from './harness.mjs'

export { PusherServer }

/** The SDK, set up for the server under test. */
export const server = (more = {}) =>
  new PusherServer({
    appId: env.appId,
    key: env.key,
    secret: env.secret,
    host: env.host,
    port: env.port,
    useTLS: false,
    encryptionMasterKeyBase64: env.masterKey,
    ...more,
  })

/** Publishes what the SDK's trigger would refuse or reshape. */
export const publish = (body) => server().post({ path: '/events', body }).then((res) => res.text())

export const sendToUser = (id, event, data) => server().sendToUser(id, event, data)

/** The SDK has no method for this endpoint. */
export const forceReconnect = (id) => server().post({ path: `/users/${id}/force_reconnect`, body: {} })
