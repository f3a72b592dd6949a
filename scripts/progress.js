// Progress of the steps that run at the same time: one line rewritten in place on a terminal, plain lines elsewhere.

const plainEveryMs = 10_000
const redrawEveryMs = 200

export function createProgress(out = process.stdout) {
  const active = new Set()
  const startedMs = performance.now()
  const draw = () => {
    if (!out.isTTY) return
    const text = [...active].map(describe).join('   ')
    out.write(`\r\x1b[K${text.slice(0, (out.columns ?? 80) - 1)}`)
  }
  const print = (line) => {
    out.write(`${out.isTTY ? '\r\x1b[K' : ''}${line}\n`)
    draw()
  }
  const speakUp = () => {
    if (out.isTTY) return draw()
    for (const step of active) print(describe(step))
  }
  let timer = null

  /** Runs `body(report)` as a step; report(done, total) moves its bar. */
  async function step(name, body) {
    const state = { name, startedMs: performance.now(), done: 0, total: 0 }
    active.add(state)
    timer ??= setInterval(speakUp, out.isTTY ? redrawEveryMs : plainEveryMs)
    if (!out.isTTY) print(`${name} …`)
    try {
      const result = await body((done, total) => Object.assign(state, { done, total }))
      active.delete(state)
      print(`${name}: ${secondsSince(state.startedMs)} s`)
      return result
    } finally {
      active.delete(state)
      if (active.size === 0) {
        clearInterval(timer)
        timer = null
        draw()
      }
    }
  }

  return { step, secondsSinceStart: () => secondsSince(startedMs) }
}

function describe({ name, startedMs, done, total }) {
  const elapsed = (performance.now() - startedMs) / 1_000
  if (done === 0 || total === 0) return `${name} ${Math.round(elapsed)} s`
  const width = 12
  const filled = Math.round((width * done) / total)
  const eta = Math.ceil((elapsed / done) * (total - done))
  return `${name} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total}, ${eta} s to go`
}

function secondsSince(startedMs) {
  return ((performance.now() - startedMs) / 1_000).toFixed(1)
}
