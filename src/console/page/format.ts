import type { Maybe } from '../api.ts'

/** Numbers and times for people. Nothing known is a dash. */

const none = '–'

export function count(value: Maybe): string {
  return value === null ? none : Math.round(value).toLocaleString('en-US')
}

export function rate(value: Maybe): string {
  if (value === null) return none
  return value < 10 ? value.toFixed(1) : count(value)
}

export function share(value: Maybe): string {
  return value === null ? none : value.toFixed(3)
}

export function delay(ms: Maybe): string {
  if (ms === null) return none
  if (ms < 1_000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  return ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : duration(ms)
}

export function duration(ms: Maybe): string {
  if (ms === null) return none
  const seconds = Math.max(0, ms) / 1_000
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${(seconds / 3_600).toFixed(1)} h`
  return `${Math.round(seconds / 86_400)} days`
}

export function ago(atMs: Maybe, nowMs: number): string {
  return atMs === null ? none : `${duration(nowMs - atMs)} ago`
}

/** UTC, as everything else in freshet is. */
export function clock(atMs: Maybe, hasMilliseconds = false): string {
  return atMs === null
    ? none
    : `${new Date(atMs).toISOString().slice(11, hasMilliseconds ? 23 : 19)}Z`
}

export function moment(atMs: Maybe): string {
  return atMs === null ? none : `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

export function bytes(value: Maybe): string {
  if (value === null) return none
  return value < 1e6 ? `${Math.ceil(value / 1e3)} kB` : `${(value / 1e6).toFixed(1)} MB`
}

export function signed(value: number): string {
  return `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(4)}`
}
