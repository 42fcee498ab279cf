// Loaded before each test file (.taprc). tap adds its coverage loader to each process that a test starts: a server
// would start slower, take more memory and handle signals otherwise than the one that ships. This takes the loader
// away.

const hooks = globalThis as unknown as Record<symbol, { unwrap?(): void } | undefined>
hooks[Symbol.for('process-on-spawn@*:singletonId')]?.unwrap?.()
// What `fork` hands on.
process.execArgv = []
