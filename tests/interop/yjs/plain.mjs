// What Yjs shows as our JSON says it: nested shared types as plain values, bytes as {"/":{"bytes":base64}}.
import * as Y from 'yjs'

export const plain = value => {
  if (value === undefined || value === null) return null
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (value instanceof Uint8Array) return { '/': { bytes: Buffer.from(value).toString('base64').replace(/=+$/, '') } }
  if (value instanceof Y.Map) return Object.fromEntries([...value.entries()].map(([key, inner]) => [key, plain(inner)]))
  if (value instanceof Y.Array) return value.toArray().map(plain)
  if (value instanceof Y.AbstractType) return value.toString()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
  return value
}
