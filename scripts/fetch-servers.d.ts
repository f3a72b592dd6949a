/** `done` of `total` steps of one download. */
export type OnProgress = (done: number, total: number) => void

export const kafkaVersion: string
export function fetchKafka(cacheDir: string, onProgress?: OnProgress): Promise<string>
export function fetchRedis(cacheDir: string, onProgress?: OnProgress): Promise<string>
export function fetchPromtool(cacheDir: string): Promise<string>
