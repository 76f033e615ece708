// The rules that every frame is held against, themselves put to the test.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkFrame } from './lib/frames.mjs'

const good = [
  '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1.2\\",\\"activity_timeout\\":120}"}',
  '{"event":"pusher:pong"}',
  '{"event":"pusher:error","data":{"code":4009,"message":"no"}}',
  '{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}',
  '{"event":"pusher:subscription_error","channel":"a","data":{"type":"AuthError","error":"no","status":401}}',
  '{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}',
  '{"event":"pusher:signin_success","data":{"user_data":"{}"}}',
  '{"event":"news","channel":"a","data":"plain"}',
  '{"event":"client-x","channel":"private-a","data":{"n":1}}',
  '{"event":"client-x","channel":"presence-a","data":null,"user_id":"u1"}',
]

const bad = [
  'no JSON',
  '{"data":"{}"}',
  '{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}',
  '{"event":"pusher:pong","data":"{}"}',
  '{"event":"pusher:error","data":"{\\"code\\":4009}"}',
  '{"event":"pusher:error","data":{"code":"4009","message":"no"}}',
  '{"event":"pusher_internal:subscription_succeeded","channel":"a"}',
  '{"event":"pusher_internal:subscription_succeeded","channel":"a","data":{}}',
  '{"event":"pusher:delta","channel":"a","data":"{}"}',
  '{"event":"sockudo:pong"}',
  '{"event":"sockudo_internal:member_added","channel":"presence-a","data":"{}"}',
  '{"event":"news","channel":"a","data":{"n":1}}',
  '{"event":"news","data":"{}"}',
  '{"event":"news","channel":"a","data":"{}","message_id":"m1"}',
  '{"event":"news","channel":"a","data":"{}","user_id":"u1"}',
  '{"event":"client-x","channel":"presence-a","data":{}}',
  '{"event":"client-x","channel":"private-a","data":{},"user_id":"u1"}',
  '{"event":"news","channel":null,"data":"{}"}',
]

for (const raw of good) test(`accepts ${raw}`, () => checkFrame(raw))
for (const raw of bad) test(`refuses ${raw}`, () => assert.throws(() => checkFrame(raw)))
test('refuses a binary frame', () => assert.throws(() => checkFrame(Buffer.from('{"event":"pusher:pong"}'))))
