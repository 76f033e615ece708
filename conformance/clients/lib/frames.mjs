// What a Pusher client may be sent. Every frame of every client of this suite is
// held against these rules, whatever the scenario looks at.
import assert from 'node:assert/strict'

const members = ['event', 'channel', 'data', 'user_id']

const isString = (v) => typeof v === 'string'
const isAbsent = (v) => v === undefined
const isError = (v) => Number.isInteger(v?.code) && isString(v?.message)
const isJSON = (v) => isString(v) && JSON.parse(v) !== undefined

/** The form of data for each event the server makes itself. */
const forms = {
  'pusher:connection_established': isJSON,
  'pusher:error': isError,
  'pusher:ping': isAbsent,
  'pusher:pong': isAbsent,
  'pusher:cache_miss': (v) => v === '{}',
  'pusher:signin_success': (v) => isString(v?.user_data),
  'pusher:subscription_error': (v) => isString(v?.type) && isString(v?.error) && Number.isInteger(v?.status),
  'pusher_internal:subscription_succeeded': isJSON,
  'pusher_internal:subscription_count': isJSON,
  'pusher_internal:member_added': isJSON,
  'pusher_internal:member_removed': isJSON,
  'pusher_internal:watchlist_events': isJSON,
}

/** Throws unless raw is a frame that a Pusher client understands. */
export function checkFrame(raw) {
  assert.equal(typeof raw, 'string', `binary frame: ${raw}`)
  const frame = JSON.parse(raw)
  const foreign = Object.keys(frame).filter((name) => !members.includes(name))
  assert.deepEqual(foreign, [], `members no Pusher client knows: ${raw}`)
  assert.ok(isString(frame.event), `no event: ${raw}`)
  assert.ok(!('channel' in frame) || isString(frame.channel), `channel is not a string: ${raw}`)
  checkData(frame, raw)
  checkUser(frame, raw)
}

function checkData(frame, raw) {
  const { event, data } = frame
  if (/^pusher(_internal)?:/.test(event)) {
    assert.ok(forms[event], `an event no Pusher client knows: ${raw}`)
    assert.ok(forms[event](data), `wrong form of data: ${raw}`)
    return
  }
  assert.ok(!event.startsWith('sockudo'), `not for Pusher clients: ${raw}`)
  assert.ok(isString(frame.channel), `no channel: ${raw}`)
  if (!event.startsWith('client-')) assert.ok(isString(data), `data of a published event is not a string: ${raw}`)
}

function checkUser({ event, channel, user_id: user }, raw) {
  const named = event.startsWith('client-') && channel?.startsWith('presence-')
  if (named) assert.ok(isString(user), `client event on a presence channel without user_id: ${raw}`)
  else assert.equal(user, undefined, `user_id where it does not belong: ${raw}`)
}
