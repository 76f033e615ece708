// A runner for scenarios: one JSON line for the plan, then one for each scenario,
// read by the Go test that started this process.
import { inspect } from 'node:util'

/** What the Go side says about the server under test. */
export const env = JSON.parse(process.env.CONFORMANCE ?? '{}')

const scenarios = []
let current

/** Registers a scenario. needs names a property of env without which it cannot run. */
export function scenario(name, body, { timeout = 15_000, needs } = {}) {
  scenarios.push({ name, body, timeout, needs })
}

/** One running scenario: unique names, things to undo, traces to show on failure. */
class Scene {
  #undo = []
  #traces = []
  #stamp = Math.random().toString(36).slice(2, 8)

  /** A name nobody else uses. */
  unique(base) {
    return `${base}-${this.#stamp}`
  }

  defer(undo) {
    this.#undo.push(undo)
  }

  /** Adds a source of lines that are shown when the scenario fails. */
  trace(title, lines) {
    this.#traces.push({ title, lines })
  }

  report() {
    return this.#traces.map(({ title, lines }) => `${title}\n` + lines().map((l) => `    ${l}`).join('\n')).join('\n')
  }

  async close() {
    for (const undo of this.#undo.reverse()) await undo()
  }
}

/** Waits until check returns something true, and returns it. */
export async function until(check, what, ms = 5_000) {
  const end = Date.now() + ms
  for (;;) {
    const value = await check()
    if (value) return value
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await pause(4)
  }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms))

function limited(promise, ms) {
  let timer
  const limit = new Promise((_, refuse) => {
    timer = setTimeout(() => refuse(new Error(`the scenario took more than ${ms} ms`)), ms)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

function describe(error) {
  if (!(error instanceof Error)) return `thrown: ${inspect(error, { depth: 6 })}`
  const { status, body } = error // of the server SDK, whose message is empty
  return error.stack + (status ? `\n    the server answered ${status} ${body}` : '')
}

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

async function play({ name, body, timeout }) {
  const scene = new Scene()
  const errors = []
  const started = performance.now()
  current = { fail: (error) => errors.push(error) }
  const stray = new Promise((_, refuse) => {
    current.fail = refuse
  })
  stray.catch(() => {})
  try {
    await limited(Promise.race([body(scene), stray]), timeout)
  } catch (error) {
    errors.push(error)
  }
  const trace = scene.report()
  try {
    await limited(scene.close(), 5_000)
  } catch (error) {
    errors.push(error)
  }
  current = undefined
  const ok = errors.length === 0
  say({
    scenario: name,
    ok,
    ms: Math.round(performance.now() - started),
    ...(ok ? {} : { error: errors.map(describe).join('\n'), trace }),
  })
}

/** Runs all registered scenarios one after the other and ends the process. */
export async function run(finish = () => {}) {
  const only = process.env.CONFORMANCE_ONLY ? new RegExp(process.env.CONFORMANCE_ONLY) : /(?:)/
  const chosen = scenarios.filter(({ name }) => only.test(name))
  say({ plan: chosen.map(({ name }) => name) })
  for (const one of chosen) {
    const missing = one.needs && !env[one.needs]
    if (missing) say({ scenario: one.name, ok: true, skipped: `this server under test has no ${one.needs}` })
    else await play(one)
  }
  await finish()
  process.exit(0)
}

function stray(error) {
  if (current) current.fail(error)
  else {
    process.stderr.write(describe(error) + '\n')
    process.exit(1)
  }
}
process.on('unhandledRejection', stray)
process.on('uncaughtException', stray)
