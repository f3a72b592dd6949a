import type { InferenceSession } from 'onnxruntime-node'
import type { Loss } from '../../model/loss.ts'

/** Steps, compiled when they are first asked for: whoever only serves never does. */
export class SessionsByLoss {
  readonly #open: (loss: Loss) => Promise<InferenceSession>
  readonly #sessions = new Map<string, Promise<InferenceSession>>()

  constructor(open: (loss: Loss) => Promise<InferenceSession>) {
    this.#open = open
  }

  of(loss: Loss): Promise<InferenceSession> {
    const key = JSON.stringify(loss)
    const session = this.#sessions.get(key) ?? this.#open(loss)
    this.#sessions.set(key, session)
    return session
  }

  async release(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release()
  }
}
