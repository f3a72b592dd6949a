import type { Loss } from '../../model/loss.ts'
import type { GraphSession } from './onnx-tensors.ts'

/** Steps, compiled when they are first asked for: whoever only serves never does. */
export class SessionsByLoss {
  readonly #open: (loss: Loss) => Promise<GraphSession>
  readonly #sessions = new Map<string, Promise<GraphSession>>()

  constructor(open: (loss: Loss) => Promise<GraphSession>) {
    this.#open = open
  }

  of(loss: Loss): Promise<GraphSession> {
    const key = JSON.stringify(loss)
    const session = this.#sessions.get(key) ?? this.#open(loss)
    this.#sessions.set(key, session)
    return session
  }

  async release(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release()
  }
}
