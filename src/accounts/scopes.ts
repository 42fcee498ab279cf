/** What an API key may be allowed to do. A route names the scope that it needs. */
export const scopes = [
  'media:read',
  'media:write',
  'uploads',
  'links',
  'analytics:read',
  'courses:read',
  'courses:write',
  'progress',
  'webhooks',
  'audit:read',
  'users:admin'
] as const
export type Scope = (typeof scopes)[number]
